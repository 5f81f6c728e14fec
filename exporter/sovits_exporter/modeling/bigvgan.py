"""BigVGAN v2: mel frames to waveform, with activations that do not alias.

Source: GPT-SoVITS, BigVGAN/bigvgan.py, BigVGAN, AMPBlock1; BigVGAN/activations.py, SnakeBeta;
BigVGAN/alias_free_activation/torch. As in `hifigan`, 1-D convolutions run as 2-D ones of height 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.modeling.hifigan import FlatConv, FlatConvTranspose, HifiganConfig

TAPS = 12
PHASE_TAPS = TAPS // 2
ACTIVATION_CONTEXT = 5  # samples to either side that an activation sees
TINY = 1e-9


class Activation(nn.Module):
    """x + sin(a x)^2 / b at twice the rate: up through one filter, down through another, edges repeated.

    The samples of the doubled rate are never put in line: those at even and at odd places are channels of their own,
    and each filter is a pair of depthwise convolutions with half of its taps. Loading an official state dict splits
    the filters, and turns a and b, which are stored as logarithms, into a frequency and a strength.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        for name in ("rise", "fall"):
            self.register_buffer(name, torch.empty(2 * channels, 1, 1, PHASE_TAPS))
        for name in ("frequency", "strength"):
            self.register_buffer(name, torch.empty(1, 2 * channels, 1, 1))
        self.rise: Tensor
        self.fall: Tensor
        self.frequency: Tensor
        self.strength: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Maps [1, C, 1, T] to the same shape."""
        padded = F.pad(x, (3, 3, 0, 0), mode="replicate")
        shifted = torch.cat([padded[..., :-1], padded[..., 1:]], dim=1)
        risen = F.conv2d(shifted, self.rise, groups=2 * self.channels)
        wave = torch.sin(risen * self.frequency)
        even, odd = (risen + self.strength * (wave * wave)).chunk(2, dim=1)
        first, last = even[..., :1], odd[..., -1:]  # what is beyond the edges, at odd and even places alike
        before = torch.cat([first, first, first, odd, last, last], dim=3)
        after = torch.cat([first, first, even, last, last, last], dim=3)
        fallen = F.conv2d(torch.cat([before, after], dim=1), self.fall, groups=2 * self.channels)
        by_odd, by_even = fallen.chunk(2, dim=1)
        return by_odd + by_even

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        rise = 2.0 * state_dict.pop(f"{prefix}upsample.filter").flatten().flip(0)
        fall = state_dict.pop(f"{prefix}downsample.lowpass.filter").flatten()
        frequency = torch.exp(state_dict.pop(f"{prefix}act.alpha"))
        strength = 1.0 / (torch.exp(state_dict.pop(f"{prefix}act.beta")) + TINY)
        state_dict |= {f"{prefix}rise": self._by_phase(rise), f"{prefix}fall": self._by_phase(fall)}
        for name, value in (("frequency", frequency), ("strength", strength)):
            state_dict[f"{prefix}{name}"] = torch.cat([value, value])[None, :, None, None]
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _by_phase(self, taps: Tensor) -> Tensor:
        """Splits taps [12] into those at even and at odd places, for all channels each: [2 C, 1, 1, 6]."""
        return (
            taps.view(PHASE_TAPS, 1, 2)
            .expand(-1, self.channels, -1)
            .permute(2, 1, 0)
            .reshape(-1, 1, 1, PHASE_TAPS)
        )


class AmpBlock(nn.Module):
    """Pairs of dilated and plain convolutions, an activation before each, each pair residual."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(FlatConv(channels, channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(FlatConv(channels, channels, kernel) for _ in dilations)
        self.activations = nn.ModuleList(Activation(channels) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [1, C, 1, T] to the same shape."""
        pairs = zip(self.convs1, self.convs2, self.activations[::2], self.activations[1::2], strict=True)
        for conv_1, conv_2, act_1, act_2 in pairs:
            x = x + conv_2(act_2(conv_1(act_1(x))))
        return x


class Bigvgan(nn.Module):
    """The vocoder of v3."""

    def __init__(self, config: HifiganConfig) -> None:
        super().__init__()
        self.config = config
        channels = [config.channels // 2**i for i in range(len(config.upsample_rates) + 1)]
        rates = zip(config.upsample_rates, config.upsample_kernels, strict=True)
        self.conv_pre = FlatConv(config.in_channels, channels[0], 7)
        self.ups = nn.ModuleList(
            nn.Sequential(FlatConvTranspose(channels[i], channels[i + 1], kernel, rate))
            for i, (rate, kernel) in enumerate(rates)
        )
        self.resblocks = nn.ModuleList(
            AmpBlock(width, kernel, dilations)
            for width in channels[1:]
            for kernel, dilations in zip(config.resblock_kernels, config.resblock_dilations, strict=True)
        )
        self.activation_post = Activation(channels[-1])
        self.conv_post = FlatConv(channels[-1], 1, 7, bias=config.output_bias)

    def context(self) -> int:
        """Returns how many frames to either side a sample depends on."""
        return self.config.context(ACTIVATION_CONTEXT)

    def forward(self, mel: Tensor) -> Tensor:
        """Maps ln mel [1, in_channels, F] to a waveform [1, F * hop] in [-1, 1]."""
        x = self.conv_pre(mel.unsqueeze(2))
        per_stage = len(self.config.resblock_kernels)
        for i, up in enumerate(self.ups):
            x = up(x)
            first, *others = self.resblocks[i * per_stage : (i + 1) * per_stage]
            total = first(x)
            for block in others:
                total = total + block(x)
            x = total / per_stage
        return torch.clamp(self.conv_post(self.activation_post(x)), -1.0, 1.0)[:, 0, 0]
