"""The text side of the diffusion transformer: features with positions, through ConvNeXt V2 blocks.

Source: GPT-SoVITS, f5_tts/model/backbones/dit.py, TextEmbedding; f5_tts/model/modules.py, ConvNeXtV2Block, GRN.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.modeling.hifigan import FlatConv

KERNEL = 7
WIDENING = 2
MAX_FRAMES = (
    1024  # the original's table has 4096 rows and repeats the last; its windows have at most 1000 frames
)


class GlobalResponseNorm(nn.Module):
    """Scales each channel by its norm over time, relative to the other channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(1, 1, width))
        self.beta = nn.Parameter(torch.empty(1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, T, width] to the same shape."""
        strength = torch.sqrt((x * x).sum(dim=1, keepdim=True))
        relative = strength / (strength.mean(dim=2, keepdim=True) + 1e-6)
        return x * (1.0 + self.gamma * relative) + self.beta


class ConvNeXtV2Block(nn.Module):
    """Depthwise convolution, then a feed-forward with global response norm; residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = FlatConv(width, width, KERNEL, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, WIDENING * width)
        self.grn = GlobalResponseNorm(WIDENING * width)
        self.pwconv2 = nn.Linear(WIDENING * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, T, width] to the same shape."""
        mixed = self.dwconv(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)
        widened = F.gelu(self.pwconv1(self.norm(mixed)))
        return x + self.pwconv2(self.grn(widened))


class TextEmbedding(nn.Module):
    """The part called `text_embed`; its text is features at the mel's frame rate."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.text_blocks = nn.Sequential(*(ConvNeXtV2Block(width) for _ in range(layers)))
        self.register_buffer("positions", _positions(width), persistent=False)
        self.positions: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Maps features [B, width, T], T <= 1024, to the condition [B, T, width]."""
        x = features.transpose(1, 2)
        condition: Tensor = self.text_blocks(x + self.positions[: x.shape[1]])
        return condition


def _positions(width: int) -> Tensor:
    """Cosines, then sines, of position * 10000^(-2i / width): float32 [MAX_FRAMES, width]."""
    frequencies = 1.0 / (10000.0 ** (torch.arange(0, width, 2).float() / width))
    angles = torch.outer(torch.arange(MAX_FRAMES).float(), frequencies)
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=1)
