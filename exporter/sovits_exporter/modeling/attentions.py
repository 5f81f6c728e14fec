"""Transformer encoder with relative positions, and cross attention, over channel-first sequences [1, C, T].

Source: GPT-SoVITS, module/attentions.py, Encoder, MultiHeadAttention, FFN.
"""

from __future__ import annotations

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


class MultiHeadAttention(nn.Module):
    """Attention with 1x1 convolutions for q, k, v and output; heads split channel-major."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)

    def split(self, x: Tensor) -> Tensor:
        """Splits [B, C, T] to [B, H, T, C / H]."""
        return x.reshape(x.shape[0], self.heads, -1, x.shape[2]).transpose(2, 3)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attends in heads [B, H, T, D]."""
        return F.scaled_dot_product_attention(q, k, v)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Queries from x [B, C, T], keys and values from context [B, C, S]; returns [B, C, T]."""
        q, k, v = self.conv_q(x), self.conv_k(context), self.conv_v(context)
        out = self.attend(self.split(q), self.split(k), self.split(v))
        return self.conv_o(out.transpose(2, 3).reshape(x.shape))


class RelativeAttention(MultiHeadAttention):
    """Self-attention with a learned term for each offset within the window, in scores and in values.

    The original shifts padded matrices by Python-computed sizes; here both terms are gathers along the band, which is
    the same sum and right at every length.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.emb_rel_k = nn.Parameter(torch.empty(1, 2 * WINDOW + 1, channels // heads))
        self.emb_rel_v = nn.Parameter(torch.empty(1, 2 * WINDOW + 1, channels // heads))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attends in heads [B, H, T, D] with the relative terms."""
        q = q * q.shape[-1] ** -0.5
        index = torch.arange(q.shape[2], device=q.device)
        offset = index[None, :] - index[:, None]  # [T, T], key - query
        near = (offset >= -WINDOW) & (offset <= WINDOW)
        by_offset = torch.matmul(q, self.emb_rel_k[0].T)  # [B, H, T, 9]
        slot = torch.clamp(offset, -WINDOW, WINDOW) + WINDOW
        relative = torch.gather(by_offset, 3, slot.expand(q.shape[0], q.shape[1], -1, -1))
        scores = torch.matmul(q, k.transpose(2, 3)) + torch.where(near, relative, 0.0)
        p = torch.softmax(scores, dim=-1)

        column = index[:, None] + torch.arange(-WINDOW, WINDOW + 1, device=q.device)[None, :]  # [T, 9]
        last = index[-1]
        inside = (column >= 0) & (column <= last)
        column = torch.minimum(torch.clamp(column, min=0), last)
        band = torch.gather(p, 3, column.expand(q.shape[0], q.shape[1], -1, -1))
        return torch.matmul(p, v) + torch.matmul(torch.where(inside, band, 0.0), self.emb_rel_v[0])


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
        self.attn_layers = nn.ModuleList(RelativeAttention(channels, heads) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(FeedForward(channels, hidden, kernel) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, T] to [B, C, T]."""
        parts = (self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2)
        for attn, norm_1, ffn, norm_2 in zip(*parts, strict=True):
            x = norm_1(x + attn(x, x))
            x = norm_2(x + ffn(x))
        return x
