"""The diffusion transformer that predicts the velocity of the flow matching, without masks: all frames count.

Source: GPT-SoVITS, f5_tts/model/backbones/dit.py, DiT; f5_tts/model/modules.py. Attribute names equal the official
state dict, but that queries, keys and values are one matrix. Rows [B * T, width] throughout the blocks, so that every
linear layer is one Gemm.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.modeling.convnext import TextEmbedding
from sovits_exporter.modeling.hifigan import FlatConv
from sovits_exporter.modeling.sizes import HEAD_WIDTH, MEL_BANDS, DitDims

ROTARY_PAIRS = HEAD_WIDTH // 2
TIME_FEATURES = 256
TIME_SCALE = 1000.0
POSITION_KERNEL, POSITION_GROUPS = 31, 16
EPS = 1e-6


class TimestepEmbedding(nn.Module):
    """Sines and cosines of one number, through a small network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))
        half = TIME_FEATURES // 2
        frequencies = torch.exp(torch.arange(half).float() * -(math.log(10000) / (half - 1)))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.frequencies: Tensor

    def forward(self, number: Tensor) -> Tensor:
        """Maps a number [1] to [1, width]."""
        phase = TIME_SCALE * number[:, None] * self.frequencies
        embedding: Tensor = self.time_mlp(torch.cat([torch.sin(phase), torch.cos(phase)], dim=1))
        return embedding


class ConvPositionEmbedding(nn.Module):
    """Two grouped convolutions with Mish."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1d = nn.Sequential(
            FlatConv(width, width, POSITION_KERNEL, groups=POSITION_GROUPS),
            nn.Mish(),
            FlatConv(width, width, POSITION_KERNEL, groups=POSITION_GROUPS),
            nn.Mish(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, T, width] to the same shape."""
        return self.conv1d(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)


class InputEmbedding(nn.Module):
    """Noisy mel, prompt mel and text of each frame, joined.

    The official matrix is in three parts, so that what stays the same in all steps is multiplied once a window.

    Source: GPT-SoVITS, f5_tts/model/backbones/dit.py, DiT.prepare_static_cache.
    """

    def __init__(self, dims: DitDims) -> None:
        super().__init__()
        self.proj_x = nn.Linear(MEL_BANDS, dims.width, bias=False)
        self.proj_prompt = nn.Linear(MEL_BANDS, dims.width, bias=False)
        self.proj_text = nn.Linear(dims.text_width, dims.width)
        self.conv_pos_embed = ConvPositionEmbedding(dims.width)

    def prepare(self, prompt: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Maps prompt [B, 100, T] and text [B, T, text_width] to [B, T, width] without the prompt, and with it."""
        unprompted = self.proj_text(text)
        return unprompted, unprompted + self.proj_prompt(prompt.transpose(1, 2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Maps x [B, 100, T] and a condition [B, T, width] of `prepare` to [B, T, width]."""
        joined = x.transpose(1, 2)
        rows = self.proj_x(joined.flatten(0, 1)).view(condition.shape) + condition
        return self.conv_pos_embed(rows) + rows

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        weight = state_dict.pop(f"{prefix}proj.weight")
        parts = weight.split([MEL_BANDS, MEL_BANDS, weight.shape[1] - 2 * MEL_BANDS], dim=1)
        for name, part in zip(("proj_x", "proj_prompt", "proj_text"), parts, strict=True):
            state_dict[f"{prefix}{name}.weight"] = part.contiguous()
        state_dict[f"{prefix}proj_text.bias"] = state_dict.pop(f"{prefix}proj.bias")
        super()._load_from_state_dict(state_dict, prefix, *args)


class RotaryEmbedding(nn.Module):
    """Turns the first head only; the frequencies are those of the file, where FP16 has rounded them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("inv_freq", torch.empty(ROTARY_PAIRS))
        self.inv_freq: Tensor

    def forward(self, frames: int) -> Tensor:
        """Returns cosines and sines, [2, frames, 32]."""
        angles = torch.arange(frames, dtype=torch.float32)[:, None] * self.inv_freq
        return torch.stack([torch.cos(angles), torch.sin(angles)])


class Attention(nn.Module):
    """Self-attention as plain matrix products, which every backend builds and runs fast.

    When official weights are loaded, the columns of the first head are put into another order, even ones before odd
    ones, for queries and keys alike: scores stay the same, and a turn of neighbouring pairs becomes a turn of halves.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], batch: int) -> Tensor:
        """Maps rows [B * T, width] to rows; `turn` holds cosines and sines [T, 32]."""
        qkv = self.to_qkv(x).view(batch, -1, 3, self.heads, HEAD_WIDTH).permute(2, 0, 3, 1, 4)
        q, k = _turn_first_head(qkv[0], turn), _turn_first_head(qkv[1], turn)
        p = torch.softmax(torch.matmul(q * HEAD_WIDTH**-0.5, k.transpose(2, 3)), dim=-1)
        joined = torch.matmul(p, qkv[2]).transpose(1, 2).reshape(x.shape)
        out: Tensor = self.to_out[0](joined)
        return out

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        order = torch.arange(self.heads * HEAD_WIDTH)
        order[:HEAD_WIDTH] = torch.cat([order[:HEAD_WIDTH:2], order[1:HEAD_WIDTH:2]])
        for kind in ("weight", "bias"):
            q, k, v = (state_dict.pop(f"{prefix}to_{part}.{kind}") for part in "qkv")
            state_dict[f"{prefix}to_qkv.{kind}"] = torch.cat([q[order], k[order], v])
        super()._load_from_state_dict(state_dict, prefix, *args)


def _turn_first_head(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turns head 0 of x [B, H, T, 64]."""
    cos, sin = turn
    a, b = x[:, :1].chunk(2, dim=3)
    turned = torch.cat([a * cos - b * sin, b * cos + a * sin], dim=3)
    return torch.cat([turned, x[:, 1:]], dim=1)


class FeedForward(nn.Module):
    """Two linear layers around a GELU, under the official names `ff.0.0` and `ff.2`."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        widen = nn.Sequential(nn.Linear(width, inner), nn.GELU(approximate="tanh"))
        self.ff = nn.Sequential(widen, nn.Identity(), nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [n, width] to rows."""
        return self.ff(x)


class AdaLayerNorm(nn.Module):
    """What the time makes of a layer norm: its gains and offsets, and the gates of a block."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear = nn.Linear(width, parts * width)

    def forward(self, t: Tensor) -> tuple[Tensor, ...]:
        """Maps the embedded time [1, width], after SiLU, to `parts` vectors [width]."""
        return self.linear(t)[0].chunk(self.parts)


class DiTBlock(nn.Module):
    """Attention and feed-forward, each normed and gated by the time."""

    def __init__(self, dims: DitDims) -> None:
        super().__init__()
        self.attn_norm = AdaLayerNorm(dims.width, 6)
        self.attn = Attention(dims.width)
        self.ff = FeedForward(dims.width, dims.inner)

    def forward(self, x: Tensor, t: Tensor, turn: tuple[Tensor, Tensor], batch: int) -> Tensor:
        """Maps rows [B * T, width] to rows; t [1, width] is the embedded time after SiLU."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self.attn_norm(t)
        x = x + gate_a * self.attn(norm(x, scale_a, shift_a), turn, batch)
        return x + gate_f * self.ff(norm(x, scale_f, shift_f))


def norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Layer norm of rows [n, width] with gain 1 + scale and offset shift, each [width]."""
    return F.layer_norm(x, scale.shape, 1.0 + scale, shift, EPS)


class DiT(nn.Module):
    """The part called `cfm.estimator`: what is prepared once a window, and the velocity of a step.

    Source: GPT-SoVITS, f5_tts/model/backbones/dit.py, DiT.forward, DiT.prepare_static_cache.

    Args:
        dims: Its sizes.
        step_size_embedding: Whether it is told the size of its steps beside the time.
    """

    def __init__(self, dims: DitDims, *, step_size_embedding: bool) -> None:
        super().__init__()
        self.width = dims.width
        self.time_embed = TimestepEmbedding(dims.width)
        self.d_embed = TimestepEmbedding(dims.width) if step_size_embedding else None
        self.text_embed = TextEmbedding(dims.text_width, dims.text_layers)
        self.input_embed = InputEmbedding(dims)
        self.rotary_embed = RotaryEmbedding()
        self.transformer_blocks = nn.ModuleList(DiTBlock(dims) for _ in range(dims.depth))
        self.norm_out = AdaLayerNorm(dims.width, 2)
        self.proj_out = nn.Linear(dims.width, MEL_BANDS)

    def prepare(self, features: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is the same in all steps of a window.

        Args:
            features: float32 [B, 512, T].
            prompt: float32 [B, 100, T], zero after the prompt.

        Returns:
            Conditions float32 [B, T, width] with the prompt's mel and without it; cosines and sines [2, T, 32] that
            turn the first head.
        """
        unprompted, condition = self.input_embed.prepare(prompt, self.text_embed(features))
        return condition, unprompted, self.rotary_embed(features.shape[2])

    def velocity(self, x: Tensor, condition: Tensor, turn: Tensor, time: Tensor, step_size: Tensor) -> Tensor:
        """Predicts where x moves.

        Args:
            x: float32 [B, 100, T].
            condition: float32 [B, T, width], of `prepare`.
            turn: float32 [2, T, 32], of `prepare`.
            time: float32 [1], from 0 to 1.
            step_size: float32 [1].

        Returns:
            float32 [B, 100, T].
        """
        embedded = self.time_embed(time)
        if self.d_embed is not None:
            embedded = embedded + self.d_embed(step_size)
        t, halves = F.silu(embedded), (turn[0], turn[1])
        batch, frames, _ = condition.shape
        rows = self.input_embed(x, condition).flatten(0, 1)
        for block in self.transformer_blocks:
            rows = block(rows, t, halves, batch)
        scale, shift = self.norm_out(t)
        out = self.proj_out(norm(rows, scale, shift))
        return out.view(batch, frames, MEL_BANDS).transpose(1, 2)
