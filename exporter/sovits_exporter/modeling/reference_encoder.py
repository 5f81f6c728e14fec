"""Reference audio to the global speaker embedding `ge`, which the graphs call style.

Source: GPT-SoVITS, module/mel_processing.py, spectrogram_torch; module/modules.py, MelStyleEncoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N_FFT = 2048
HOP = 640
WIDTH = 128
HEADS = 2
KERNEL = 5


class LinearSpectrogram(nn.Module):
    """Magnitude spectrogram without centring, reflect padded by (n_fft - hop) / 2 on both sides.

    The Fourier transform is written as two small matrix products (2048 = 32 x 64, Cooley and Tukey's split) with a
    twiddle between them: every backend runs it on its fastest kernels, where the STFT operator of ONNX Runtime is
    slower than all the rest of this graph.
    """

    SPLIT = (32, 64)

    def __init__(self) -> None:
        super().__init__()
        n1, n2 = self.SPLIT
        n_k2 = n2 // 2 + 1  # k = k1 + n1 * k2 up to n_fft / 2
        inner = _dft(n1, n1, n1)  # [k1, n1]
        twiddle = _dft(n1, n2, N_FFT)  # [k1, n2]
        outer = _dft(n2, n_k2, n2)  # [n2, k2]
        self.register_buffer(
            "window", torch.hann_window(N_FFT, dtype=torch.float64).float(), persistent=False
        )
        self.register_buffer("inner", torch.cat([inner.real, inner.imag]).float(), persistent=False)
        self.register_buffer("twiddle", torch.stack([twiddle.real, twiddle.imag]).float(), persistent=False)
        # Rows: real then imaginary part of the input; columns: real then imaginary part of the output.
        product = torch.cat([torch.cat([outer.real, outer.imag], 1), torch.cat([-outer.imag, outer.real], 1)])
        self.register_buffer("outer", product.float(), persistent=False)
        self.window: Tensor
        self.inner: Tensor
        self.twiddle: Tensor
        self.outer: Tensor

    def forward(self, wave: Tensor) -> Tensor:
        """Maps wave [1, n] at 32 kHz to [1, 1025, frames]."""
        n1, n2 = self.SPLIT
        pad = (N_FFT - HOP) // 2
        padded = F.pad(wave[:, None], (pad, pad), mode="reflect")[0, 0]
        frames = _frames(padded) * self.window
        real, imag = torch.matmul(self.inner, frames.view(-1, n1, n2)).chunk(2, dim=1)  # [frames, k1, n2]
        cos, sin = self.twiddle[0], self.twiddle[1]
        turned = torch.cat([real * cos - imag * sin, real * sin + imag * cos], dim=2)
        real, imag = torch.matmul(turned, self.outer).chunk(2, dim=2)  # [frames, k1, k2]
        power = (real * real + imag * imag).transpose(1, 2).flatten(1)  # [frames, k2 * n1 + k1]
        return torch.sqrt(power[:, : N_FFT // 2 + 1].T + 1e-8)[None]


def _frames(x: Tensor) -> Tensor:
    """Cuts x [n] into overlapping frames [(n - n_fft) // hop + 1, n_fft], by slices of whole hops."""
    n_frames = (x.shape[0] - N_FFT) // HOP + 1
    whole, rest = divmod(N_FFT, HOP)
    hops = F.pad(x, (0, HOP))[: (n_frames + whole) * HOP].view(-1, HOP)
    parts = [hops[i : i + n_frames] for i in range(whole)]
    return torch.cat([*parts, hops[whole : whole + n_frames, :rest]], dim=1)


def _dft(rows: int, columns: int, size: int) -> Tensor:
    """exp(-2 pi i r c / size) as complex128 [rows, columns]."""
    phase = torch.outer(torch.arange(rows), torch.arange(columns)).remainder(size).double() / size
    return torch.polar(torch.ones_like(phase), -2.0 * torch.pi * phase)


class LinearNorm(nn.Module):
    """Linear layer under the official name `fc`."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.fc = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [..., n_in] to [..., n_out]."""
        return self.fc(x)


class ConvNorm(nn.Module):
    """Convolution under the official name `conv`."""

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [1, n_in, T] to [1, n_out, T]."""
        return self.conv(x)


class GatedConv(nn.Module):
    """Residual convolution with a gated linear unit."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, 2 * width, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [1, width, T] to the same shape."""
        return x + F.glu(self.conv1(x), dim=1)


class StyleAttention(nn.Module):
    """Self-attention whose temperature is the square root of the model width, not of the head width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.w_qs = nn.Linear(width, width)
        self.w_ks = nn.Linear(width, width)
        self.w_vs = nn.Linear(width, width)
        self.fc = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [1, T, width] to the same shape, residual included."""
        q, k, v = (
            w(x).view(x.shape[0], -1, self.heads, x.shape[2] // self.heads).transpose(1, 2)
            for w in (self.w_qs, self.w_ks, self.w_vs)
        )
        p = torch.softmax(torch.matmul(q * x.shape[2] ** -0.5, k.transpose(2, 3)), dim=-1)
        out = torch.matmul(p, v)
        return self.fc(out.transpose(1, 2).reshape(x.shape)) + x


class ReferenceEncoder(nn.Module):
    """The part called `ref_enc`: mean over time of a small spectral and temporal encoder."""

    def __init__(self, bins: int, style_width: int) -> None:
        super().__init__()
        self.bins = bins
        self.spectral = nn.Sequential(
            LinearNorm(bins, WIDTH), nn.Mish(), nn.Identity(), LinearNorm(WIDTH, WIDTH), nn.Mish()
        )
        self.temporal = nn.Sequential(GatedConv(WIDTH, KERNEL), GatedConv(WIDTH, KERNEL))
        self.slf_attn = StyleAttention(WIDTH, HEADS)
        self.fc = LinearNorm(WIDTH, style_width)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Maps the spectrogram [1, 1025, T] to the style [1, style_width, 1]."""
        x = self.spectral(spectrogram[:, : self.bins].transpose(1, 2))
        x = self.temporal(x.transpose(1, 2)).transpose(1, 2)
        return self.fc(self.slf_attn(x)).mean(dim=1).unsqueeze(-1)
