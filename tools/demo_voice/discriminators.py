"""Small judges of a waveform, for adversarial training: of its periods, and of its spectrograms.

Source: HiFi-GAN (multi-period discriminator) and UnivNet (multi-resolution spectrogram discriminator), in a small size.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = ((1024, 240), (2048, 480), (512, 100))
SLOPE = 0.1


class PeriodJudge(nn.Module):
    """Looks at a wave folded into rows of one period."""

    def __init__(self, period: int, channels: int = 16) -> None:
        super().__init__()
        self.period = period
        widths = [1, channels, 2 * channels, 4 * channels, 8 * channels]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)) for a, b in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, wave: Tensor) -> list[Tensor]:
        """Maps waves [B, n] to the outputs of all layers, the verdict last."""
        cut = wave.shape[1] // self.period * self.period
        x = wave[:, :cut].reshape(wave.shape[0], 1, -1, self.period)
        return _run(self.convs, self.last, x)


class SpectrumJudge(nn.Module):
    """Looks at a magnitude spectrogram."""

    def __init__(self, size: int, hop: int, channels: int = 16) -> None:
        super().__init__()
        self.size, self.hop = size, hop
        self.convs = nn.ModuleList(
            nn.Conv2d(1 if i == 0 else channels, channels, (5, 3), (2 if i < 4 else 1, 1), (2, 1))
            for i in range(5)
        )
        self.last = nn.Conv2d(channels, 1, 3, padding=1)
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        self.window: Tensor

    def forward(self, wave: Tensor) -> list[Tensor]:
        """Maps waves [B, n] to the outputs of all layers, the verdict last."""
        spectrum = torch.stft(wave, self.size, self.hop, window=self.window, return_complex=True)
        magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-6)
        return _run(self.convs, self.last, torch.log(magnitude + 1e-2)[:, None])


def _run(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> list[Tensor]:
    outputs = []
    for conv in convs:
        x = F.leaky_relu(conv(x), SLOPE)
        outputs.append(x)
    return [*outputs, last(x)]


class Judges(nn.Module):
    """All of them."""

    def __init__(self) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [*(PeriodJudge(p) for p in PERIODS), *(SpectrumJudge(*r) for r in RESOLUTIONS)]
        )

    def forward(self, wave: Tensor) -> list[list[Tensor]]:
        """Maps waves [B, n] to what each judge's layers say."""
        return [judge(wave) for judge in self.judges]


def judge_loss(real: list[list[Tensor]], made: list[list[Tensor]]) -> Tensor:
    """Least squares: real waves are worth 1, made ones 0."""
    pairs = zip(real, made, strict=True)
    return torch.stack([((r[-1] - 1) ** 2).mean() + (m[-1] ** 2).mean() for r, m in pairs]).sum()


def maker_losses(real: list[list[Tensor]], made: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
    """What a generator pays: for being recognised, and for features unlike those of the real waves."""
    recognised = torch.stack([((m[-1] - 1) ** 2).mean() for m in made]).sum()
    unlike = torch.stack(
        [
            F.l1_loss(b, a.detach())
            for r, m in zip(real, made, strict=True)
            for a, b in zip(r[:-1], m[:-1], strict=True)
        ]
    ).sum()
    return recognised, unlike
