"""Transformer encoder with relative positions, and cross attention, over channel-first sequences [1, C, T].

Source: GPT-SoVITS, module/attentions.py, Encoder, MultiHeadAttention, FFN.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 4  # relative positions reach from -4 to +4


class ChannelNorm(nn.Module):
    """Layer norm over the channels of [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalises [B, C, T]."""
        return F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, 1e-5).transpose(1, 2)


class Heads(nn.Module):
    """The 1x1 convolutions for q, k, v and output; heads split channel-major."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)

    def project(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries from x [B, C, T], keys and values from context [B, C, S], in heads [B, H, T or S, D]."""
        return (
            self._split(self.conv_q(x)),
            self._split(self.conv_k(context)),
            self._split(self.conv_v(context)),
        )

    def join(self, out: Tensor, shape: torch.Size) -> Tensor:
        """Heads [B, H, T, D] to the output of the given shape [B, C, T]."""
        joined: Tensor = self.conv_o(out.transpose(2, 3).reshape(shape))
        return joined

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], self.heads, x.shape[1] // self.heads, x.shape[2]).transpose(2, 3)


class MultiHeadAttention(Heads):
    """Cross attention as plain matrix products, which every backend builds."""

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Attends from x [B, C, T] to context [B, C, S]; returns [B, C, T]."""
        q, k, v = self.project(x, context)
        p = torch.softmax(torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3)), dim=-1)
        return self.join(torch.matmul(p, v), x.shape)


class Band(NamedTuple):
    """Where the window around each position lies, the same for all layers of a sequence.

    Attributes:
        near: bool [T, T], whether a key is within the window of a query.
        slot: int64 [B, H, T, T], which of the 9 offsets a key has from a query, clamped to the window.
        inside: bool [T, 9], whether a query has a key at an offset.
        column: int64 [B, H, T, 9], that key, clamped to the sequence.
    """

    near: Tensor
    slot: Tensor
    inside: Tensor
    column: Tensor


def band(x: Tensor, heads: int) -> Band:
    """The band of a sequence [B, C, T]."""
    index = torch.arange(x.shape[2], device=x.device)
    offset = index[None, :] - index[:, None]  # [T, T], key - query
    near = (offset >= -WINDOW) & (offset <= WINDOW)
    slot = torch.clamp(offset, -WINDOW, WINDOW) + WINDOW
    column = index[:, None] + torch.arange(-WINDOW, WINDOW + 1, device=x.device)[None, :]  # [T, 9]
    last = index[-1]
    inside = (column >= 0) & (column <= last)
    column = torch.minimum(torch.clamp(column, min=0), last)
    everywhere = (x.shape[0], heads, -1, -1)
    return Band(near, slot.expand(everywhere), inside, column.expand(everywhere))


class RelativeAttention(Heads):
    """Self-attention with a learned term for each offset within the window, in scores and in values.

    The original shifts padded matrices by Python-computed sizes; here both terms are gathers along the band, which is
    the same sum and right at every length.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.emb_rel_k = nn.Parameter(torch.empty(1, 2 * WINDOW + 1, channels // heads))
        self.emb_rel_v = nn.Parameter(torch.empty(1, 2 * WINDOW + 1, channels // heads))

    def forward(self, x: Tensor, band: Band) -> Tensor:
        """Maps [B, C, T] to the same shape."""
        q, k, v = self.project(x, x)
        q = q * q.shape[-1] ** -0.5
        by_offset = torch.matmul(q, self.emb_rel_k[0].T)  # [B, H, T, 9]
        relative = torch.where(band.near, torch.gather(by_offset, 3, band.slot), 0.0)
        p = torch.softmax(torch.matmul(q, k.transpose(2, 3)) + relative, dim=-1)
        around = torch.where(band.inside, torch.gather(p, 3, band.column), 0.0)  # [B, H, T, 9]
        return self.join(torch.matmul(p, v) + torch.matmul(around, self.emb_rel_v[0]), x.shape)


class FeedForward(nn.Module):
    """Convolution, ReLU, convolution; zero padded to the same length."""

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        left = (kernel - 1) // 2
        self.pad = (left, kernel - 1 - left)
        self.conv_1 = nn.Conv1d(channels, hidden, kernel)
        self.conv_2 = nn.Conv1d(hidden, channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, T] to [B, C, T]."""
        return self.conv_2(F.pad(F.relu(self.conv_1(F.pad(x, self.pad))), self.pad))


class Encoder(nn.Module):
    """Post-norm encoder layers."""

    def __init__(self, channels: int, hidden: int, heads: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn_layers = nn.ModuleList(RelativeAttention(channels, heads) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(FeedForward(channels, hidden, kernel) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, T] to [B, C, T]."""
        parts = (self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2)
        window = band(x, self.heads)
        for attn, norm_1, ffn, norm_2 in zip(*parts, strict=True):
            x = norm_1(x + attn(x, window))
            x = norm_2(x + ffn(x))
        return x
