"""Semantic tokens and phones to the frame-rate state that the flow starts from.

Source: GPT-SoVITS, module/models.py, TextEncoder; module/mrte_model.py, MRTE.
"""

from __future__ import annotations

from torch import Tensor, nn

from sovits_exporter.modeling.attentions import Encoder, MultiHeadAttention

MRTE_WIDTH = 512
MRTE_HEADS = 4


class MRTE(nn.Module):
    """Brings the phones to the semantic frames by cross attention, and adds the global speaker embedding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cross_attention = MultiHeadAttention(MRTE_WIDTH, MRTE_HEADS)
        self.c_pre = nn.Conv1d(channels, MRTE_WIDTH, 1)
        self.text_pre = nn.Conv1d(channels, MRTE_WIDTH, 1)
        self.c_post = nn.Conv1d(MRTE_WIDTH, channels, 1)

    def forward(self, frames: Tensor, text: Tensor, style: Tensor) -> Tensor:
        """Frames [1, C, N], text [1, C, T], style [1, 512, 1] to [1, C, N]."""
        frames = self.c_pre(frames)
        return self.c_post(self.cross_attention(frames, self.text_pre(text)) + frames + style)


class TextEncoder(nn.Module):
    """The part called `enc_p`: everything before the prior."""

    def __init__(
        self,
        *,
        ssl_width: int,
        channels: int,
        filter_channels: int,
        heads: int,
        layers: int,
        kernel: int,
        n_symbols: int,
        out_channels: int,
    ) -> None:
        super().__init__()
        sizes = (channels, filter_channels, heads)
        self.ssl_proj = nn.Conv1d(ssl_width, channels, 1)
        self.encoder_ssl = Encoder(*sizes, layers // 2, kernel)
        self.encoder_text = Encoder(*sizes, layers, kernel)
        self.text_embedding = nn.Embedding(n_symbols, channels)
        self.mrte = MRTE(channels)
        self.encoder2 = Encoder(*sizes, layers // 2, kernel)
        self.proj = nn.Conv1d(channels, 2 * out_channels, 1)

    def forward(self, quantized: Tensor, phones: Tensor, style: Tensor) -> Tensor:
        """Codebook rows at frame rate [1, 768, N], phones int64 [1, T], style [1, 512, 1] to state [1, C, N]."""
        frames = self.encoder_ssl(self.ssl_proj(quantized))
        text = self.encoder_text(self.text_embedding(phones).transpose(1, 2))
        return self.encoder2(self.mrte(frames, text, style))
