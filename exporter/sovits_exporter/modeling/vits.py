"""SoVITS: the parts that inference needs, and the graphs made of them.

Source: GPT-SoVITS, module/models.py, SynthesizerTrn; module/core_vq.py, EuclideanCodebook. Attribute names equal the
official state dict with weight norm folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sovits_exporter.modeling.flow import Flow
from sovits_exporter.modeling.hifigan import Generator, HifiganConfig
from sovits_exporter.modeling.reference_encoder import LinearSpectrogram, ReferenceEncoder
from sovits_exporter.modeling.text_encoder import TextEncoder
from sovits_runtime.bundle.model_spec import ModelSpec

SSL_WIDTH = 768
TEXT_STYLE_WIDTH = 512
FRAMES_PER_TOKEN = ModelSpec.frames_per_token


class Codebook(nn.Module):
    """Nearest-neighbour codebook."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.empty(size, width))
        self.embed: Tensor

    def encode(self, x: Tensor) -> Tensor:
        """Rows [n, width] to the ids [n] of their nearest entries."""
        distance = (x * x).sum(1, keepdim=True) - 2 * x @ self.embed.T + (self.embed * self.embed).sum(1)
        return torch.argmax(-distance, dim=-1)

    def decode(self, ids: Tensor) -> Tensor:
        """Ids [..., n] to entries [..., n, width]."""
        return nn.functional.embedding(ids, self.embed)


class _Layer(nn.Module):
    def __init__(self, codebook: Codebook) -> None:
        super().__init__()
        self._codebook = codebook


class _VectorQuantization(nn.Module):
    def __init__(self, codebook: Codebook) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Layer(codebook)])


class Quantizer(nn.Module):
    """The codebook under its official name `quantizer.vq.layers.0._codebook`."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.vq = _VectorQuantization(Codebook(size, width))

    @property
    def codebook(self) -> Codebook:
        """The only codebook."""
        book = self.vq.layers[0]._codebook
        assert isinstance(book, Codebook)
        return book


class Sovits(nn.Module):
    """The weights that every SoVITS checkpoint has: codebook, reference encoder, and the encoder up to the state."""

    def __init__(self, config: Mapping[str, Any], spec: ModelSpec) -> None:
        super().__init__()
        m = config["model"]
        self.channels: int = m["inter_channels"]
        self.state_channels: int = m["hidden_channels"]
        self.style_width: int = m["gin_channels"]
        self.ssl_proj = nn.Conv1d(SSL_WIDTH, SSL_WIDTH, 2, stride=2)
        self.quantizer = Quantizer(spec.codebook_size, SSL_WIDTH)
        self.ref_enc = ReferenceEncoder(spec.reference_bins, self.style_width)
        self.speaker_network = spec.speaker_network
        if spec.speaker_network:
            self.sv_emb = nn.Linear(spec.speaker_width, self.style_width)
            self.prelu = nn.PReLU(self.style_width)
            self.ge_to512 = nn.Linear(self.style_width, TEXT_STYLE_WIDTH)
        self.enc_p = TextEncoder(
            ssl_width=SSL_WIDTH,
            channels=m["hidden_channels"],
            filter_channels=m["filter_channels"],
            heads=m["n_heads"],
            layers=m["n_layers"],
            kernel=m["kernel_size"],
            n_symbols=spec.n_symbols,
            out_channels=self.channels,
        )


class SynthesizerTrn(Sovits):
    """Weights of one SoVITS checkpoint whose decoder is HiFi-GAN."""

    def __init__(self, config: Mapping[str, Any], spec: ModelSpec) -> None:
        super().__init__(config, spec)
        m = config["model"]
        self.flow = Flow(self.channels, m["hidden_channels"], self.style_width)
        self.dec = Generator(
            HifiganConfig(
                in_channels=self.channels,
                channels=m["upsample_initial_channel"],
                style_width=self.style_width,
                upsample_rates=m["upsample_rates"],
                upsample_kernels=m["upsample_kernel_sizes"],
                resblock_kernels=m["resblock_kernel_sizes"],
                resblock_dilations=m["resblock_dilation_sizes"],
            )
        )


class PromptTokens(nn.Module):
    """Graph `prompt_tokens`: SSL features of the reference to its semantic tokens."""

    def __init__(self, vits: Sovits) -> None:
        super().__init__()
        self.ssl_proj = vits.ssl_proj
        self.codebook = vits.quantizer.codebook

    def forward(self, ssl: Tensor) -> Tensor:
        """Features [1, T, 768] to tokens int64 [1, T // 2]; an odd last frame is dropped."""
        return self.codebook.encode(self.ssl_proj(ssl.transpose(1, 2))[0].T)[None]


class ReferenceStyle(nn.Module):
    """Graph `reference_style`: reference audio to the global speaker embedding `ge`, here called style.

    Versions with a speaker network add its embedding.
    """

    def __init__(self, vits: Sovits) -> None:
        super().__init__()
        self.spectrogram = LinearSpectrogram()
        self.ref_enc = vits.ref_enc
        if vits.speaker_network:
            self.sv_emb, self.prelu = vits.sv_emb, vits.prelu

    def forward(self, wave: Tensor, speaker: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Wave [1, n] at 32 kHz to style [1, gin, 1] and the spectrogram [1, 1025, frames]."""
        spectrogram = self.spectrogram(wave)
        return self.style(spectrogram, speaker), spectrogram

    def style(self, spectrogram: Tensor, speaker: Tensor | None) -> Tensor:
        """Spectrogram [1, 1025, T], for some versions a speaker embedding [1, 20480], to the style [1, gin, 1]."""
        style: Tensor = self.ref_enc(spectrogram)
        return style if speaker is None else self.prelu(style + self.sv_emb(speaker).unsqueeze(-1))


class SemanticEncoder(nn.Module):
    """Graph `sovits_encoder`: semantic tokens and phones to the state before the prior."""

    def __init__(self, vits: Sovits) -> None:
        super().__init__()
        self.codebook = vits.quantizer.codebook
        self.enc_p = vits.enc_p
        self.ge_to512 = vits.ge_to512 if vits.speaker_network else None

    def forward(self, tokens: Tensor, phones: Tensor, style: Tensor) -> Tensor:
        """Tokens int64 [1, n], phones int64 [1, T] of the target, style [1, gin, 1] to state [1, 192, 2n]."""
        rows = self.codebook.decode(tokens[0]).T  # [768, n]
        frames = rows.unsqueeze(2).expand(-1, -1, FRAMES_PER_TOKEN).reshape(1, rows.shape[0], -1)
        state: Tensor = self.enc_p(frames, phones, self.text_style(style))
        return state

    def text_style(self, style: Tensor) -> Tensor:
        """Style [1, gin, 1] to the one the text encoder takes [1, 512, 1]; of several references, their mean."""
        return style if self.ge_to512 is None else self.ge_to512(style.transpose(1, 2)).transpose(1, 2)


class PriorAndFlow(nn.Module):
    """Graph `sovits_flow`: state to the vocoder's latent.

    The number of frames comes from the noise: 2n at speed 1, int(2n / speed) + 1 otherwise, chosen by the caller.
    """

    def __init__(self, vits: SynthesizerTrn) -> None:
        super().__init__()
        self.prior, self.flow = vits.enc_p.proj, vits.flow

    def forward(
        self, state: Tensor, style: Tensor, noise: Tensor, noise_scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Samples the prior and runs the flow.

        Args:
            state: float32 [1, 192, N].
            style: float32 [1, gin, 1], the global speaker embedding.
            noise: float32 [1, C, F], standard normal.
            noise_scale: float32 [1].

        Returns:
            Latent z, the prior's mean and its log standard deviation, each [1, C, F].
        """
        mean, log_scale = self.prior(stretch(state, noise.shape[2])).chunk(2, dim=1)
        z = self.flow.reverse(mean + noise * torch.exp(log_scale) * noise_scale, style)
        return z, mean, log_scale


class Vocoder(nn.Module):
    """Graph `sovits_vocoder`: latent to waveform."""

    def __init__(self, vits: SynthesizerTrn) -> None:
        super().__init__()
        self.dec = vits.dec

    def forward(self, z: Tensor, style: Tensor) -> Tensor:
        """Latent [1, C, F] and style [1, gin, 1] to a waveform [1, 640 F]."""
        return self.dec(z, style)


def stretch(x: Tensor, size: int) -> Tensor:
    """Linear interpolation of x [1, C, N] to `size` frames, half-pixel centres.

    Equals `torch.nn.functional.interpolate(mode="linear", align_corners=False)`; at the same size it returns `x`
    unchanged. Written as two gathers, so that every backend computes the same positions.
    """
    n = x.shape[2]
    target = torch.arange(size, device=x.device, dtype=torch.float32)
    source = torch.clamp((target + 0.5) * (n / size) - 0.5, min=0.0)
    left = torch.clamp(torch.floor(source).long(), max=n - 1)
    right = torch.clamp(left + 1, max=n - 1)
    weight = source - left.float()
    return x.index_select(2, left) * (1.0 - weight) + x.index_select(2, right) * weight
