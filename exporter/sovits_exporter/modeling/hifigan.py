"""HiFi-GAN decoder: latent frames to waveform.

Source: GPT-SoVITS, module/models.py, Generator; module/modules.py, ResBlock1.

The weights are the official 1-D ones; the arithmetic runs as 2-D convolutions of height 1, which is exactly the same
sum and the form for which ONNX Runtime has its blocked kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1
EDGE_KERNEL = 7  # of conv_pre and conv_post
LAST_SLOPE = 0.01  # the original leaves the final activation at PyTorch's default


@dataclass(frozen=True)
class HifiganConfig:
    """Sizes of the decoder, from the checkpoint's config; `style_width` 0: no global speaker embedding."""

    in_channels: int
    channels: int
    style_width: int
    upsample_rates: Sequence[int]
    upsample_kernels: Sequence[int]
    resblock_kernels: Sequence[int]
    resblock_dilations: Sequence[Sequence[int]]
    output_bias: bool = False

    def context(self, activation: int = 0) -> int:
        """Returns how many input frames to either side a sample depends on; an activation sees `activation` samples."""
        reach = (
            EDGE_KERNEL // 2 + activation
        )  # in units of the stage's input, from the waveform back to the latent
        for rate, kernel in reversed(list(zip(self.upsample_rates, self.upsample_kernels, strict=True))):
            reach += max(
                (k // 2) * sum(d + 1 for d in dilations) + 2 * len(dilations) * activation
                for k, dilations in zip(self.resblock_kernels, self.resblock_dilations, strict=True)
            )
            reach = (reach + (kernel + rate) // 2 - 1) // rate
        return reach + EDGE_KERNEL // 2


class _FlatWeight(nn.Module):
    """Takes the official 1-D weights [a, b, k] as 2-D ones [a, b, 1, k] when a state dict is loaded."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        weight = state_dict[f"{prefix}weight"]
        state_dict[f"{prefix}weight"] = weight.unsqueeze(2) if weight.ndim == 3 else weight
        super()._load_from_state_dict(state_dict, prefix, *args)


class FlatConv(_FlatWeight, nn.Conv2d):
    """1-D convolution that keeps the length, computed over [1, C, 1, T]."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, dilation: int = 1, *, groups: int = 1, bias: bool = True
    ) -> None:
        padding = (0, (kernel - 1) * dilation // 2)
        super().__init__(
            n_in, n_out, (1, kernel), padding=padding, dilation=(1, dilation), groups=groups, bias=bias
        )


class FlatConvTranspose(_FlatWeight, nn.ConvTranspose2d):
    """1-D transposed convolution over [1, C, 1, T], to `rate` times the length."""

    def __init__(self, n_in: int, n_out: int, kernel: int, rate: int) -> None:
        super().__init__(n_in, n_out, (1, kernel), stride=(1, rate), padding=(0, (kernel - rate) // 2))


class ResBlock(nn.Module):
    """Pairs of dilated and plain convolutions, each pair residual."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(FlatConv(channels, channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(FlatConv(channels, channels, kernel) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [1, C, 1, T] to the same shape."""
        for conv_1, conv_2 in zip(self.convs1, self.convs2, strict=True):
            x = x + conv_2(F.leaky_relu(conv_1(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Generator(nn.Module):
    """The part called `dec`, or the vocoder of v4."""

    def __init__(self, config: HifiganConfig) -> None:
        super().__init__()
        self.config = config
        channels = [config.channels // 2**i for i in range(len(config.upsample_rates) + 1)]
        self.conv_pre = FlatConv(config.in_channels, channels[0], EDGE_KERNEL)
        self.ups = nn.ModuleList(
            FlatConvTranspose(channels[i], channels[i + 1], kernel, rate)
            for i, (rate, kernel) in enumerate(
                zip(config.upsample_rates, config.upsample_kernels, strict=True)
            )
        )
        self.resblocks = nn.ModuleList(
            ResBlock(width, kernel, dilations)
            for width in channels[1:]
            for kernel, dilations in zip(config.resblock_kernels, config.resblock_dilations, strict=True)
        )
        self.conv_post = FlatConv(channels[-1], 1, EDGE_KERNEL, bias=config.output_bias)
        self.cond = FlatConv(config.style_width, channels[0], 1) if config.style_width else None

    def context(self) -> int:
        """Returns how many frames to either side a sample depends on."""
        return self.config.context()

    def forward(self, z: Tensor, style: Tensor | None = None) -> Tensor:
        """Maps latent z [1, in_channels, F] and style [1, style_width, 1] to a waveform [1, F * hop] in [-1, 1]."""
        x = self.conv_pre(z.unsqueeze(2))
        if self.cond is not None:
            assert style is not None
            x = x + self.cond(style.unsqueeze(2))
        per_stage = len(self.config.resblock_kernels)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            first, *others = self.resblocks[i * per_stage : (i + 1) * per_stage]
            total = first(x)
            for block in others:
                total = total + block(x)
            x = total / per_stage
        return torch.tanh(self.conv_post(F.leaky_relu(x, LAST_SLOPE)))[:, 0, 0]
