"""Text to semantic tokens: the GPT of GPT-SoVITS.

Source: GPT-SoVITS, AR/models/t2s_model.py, Text2SemanticDecoder; AR/modules/embedding.py. Attribute names equal the
official state dict (less its `model.` prefix).

Linear layers work on 2-D rows [batch * length, width], so that the exporter writes one Gemm with the official weight
as it is, and the two graphs made from this module share one weight file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.modeling.kv_cache import kv_cache_update
from sovits_exporter.modeling.sampling import SamplingInputs, sample

BERT_WIDTH = 1024

Caches = tuple[Tensor, ...]  # keys and values of layer 0, 1, ...: 2 * n_layer tensors [B, H, S, D]


@dataclass(frozen=True)
class T2SConfig:
    """Sizes of the GPT, from the checkpoint's config."""

    width: int
    heads: int
    layers: int
    vocab: int
    phone_vocab: int
    eos: int

    @classmethod
    def from_checkpoint(cls, config: Mapping[str, Any]) -> T2SConfig:
        """Reads the `model` section of a GPT checkpoint's config."""
        m = config["model"]
        return cls(
            m["hidden_dim"], m["head"], m["n_layer"], m["vocab_size"], m["phoneme_vocab_size"], m["EOS"]
        )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


class TokenEmbedding(nn.Module):
    """Embedding table under the official name."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(size, width)

    def forward(self, ids: Tensor) -> Tensor:
        """Looks up ids [..., n] -> [..., n, width]."""
        return self.word_embeddings(ids)


class SinePosition(nn.Module):
    """Scaled sine position, computed rather than stored: even columns sin, odd columns cos."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))
        self.register_buffer(
            "div_term",
            torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * -(math.log(10000.0) / width)),
            persistent=False,
        )
        self.div_term: Tensor

    def forward(self, positions: Tensor) -> Tensor:
        """Returns alpha * PE of int64 positions [..., n] as [..., n, width]."""
        angle = positions.float().unsqueeze(-1) * self.div_term
        return self.alpha * torch.stack((torch.sin(angle), torch.cos(angle)), dim=-1).flatten(-2)


class SelfAttention(nn.Module):
    """Packed-QKV attention; reading and writing of the cache is left to the caller."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def qkv(self, x: Tensor, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Projects rows [batch * n, width] to three tensors [batch, heads, n, head_dim]."""
        width = x.shape[-1]
        packed = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        packed = packed.view(batch, -1, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return packed[0], packed[1], packed[2]

    def merge(self, attended: Tensor) -> Tensor:
        """Joins heads [B, H, n, D] to rows [B * n, width] and projects them."""
        rows = attended.transpose(1, 2).reshape(-1, self.out_proj.in_features)
        return self.out_proj(rows)


class Layer(nn.Module):
    """Post-norm transformer layer with a ReLU feed-forward of four times the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Everything after attention: rows [n, width] and heads [B, H, n, D] to rows."""
        x = self.norm1(x + self.self_attn.merge(attended))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class Stack(nn.Module):
    """The layers, under the official name `h`."""

    def __init__(self, config: T2SConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config.width, config.heads) for _ in range(config.layers))

    def __iter__(self) -> Iterator[Layer]:
        return iter(cast("list[Layer]", list(self.layers)))


class Text2Semantic(nn.Module):
    """The GPT's weights and the pieces that prefill, step and the eager loop are made of."""

    def __init__(self, config: T2SConfig) -> None:
        super().__init__()
        self.config = config
        self.bert_proj = nn.Linear(BERT_WIDTH, config.width)
        self.ar_text_embedding = TokenEmbedding(config.phone_vocab, config.width)
        self.ar_text_position = SinePosition(config.width)
        self.ar_audio_embedding = TokenEmbedding(config.vocab, config.width)
        self.ar_audio_position = SinePosition(config.width)
        self.h = Stack(config)
        self.ar_predict_layer = nn.Linear(config.width, config.vocab, bias=False)

    def embed_text(self, phones: Tensor, bert: Tensor) -> Tensor:
        """Phones int64 [1, T] and their BERT features [1, T, 1024] to [1, T, width]."""
        x = self.ar_text_embedding(phones)[0] + self.bert_proj(bert[0])
        return x[None] + self.ar_text_position(torch.arange(phones.shape[1], device=phones.device)[None])

    def embed_audio(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Tokens and their positions, int64 [B, n], to [B, n, width]."""
        return self.ar_audio_embedding(tokens) + self.ar_audio_position(positions)

    def prefill_hidden(self, phones: Tensor, bert: Tensor, prompt: Tensor) -> tuple[Tensor, Caches]:
        """Runs text and prompt.

        Returns:
            Hidden state of the last position [1, width], and keys and values [1, H, T + P, D] of every layer.
        """
        text_len = phones.shape[1]
        positions = torch.arange(prompt.shape[1], device=prompt.device)[None]
        x = torch.cat([self.embed_text(phones, bert), self.embed_audio(prompt, positions)], dim=1)[0]
        # Text rows see all text; an audio row sees all text and the audio up to itself.
        index = torch.arange(x.shape[0], device=x.device)
        mask = (index[None, :] < text_len) | (index[None, :] <= index[:, None])
        kv: list[Tensor] = []
        for layer in self.h:
            q, k, v = layer.self_attn.qkv(x, 1)
            x = layer.finish(x, F.scaled_dot_product_attention(q, k, v, attn_mask=mask[None, None]))
            kv += [k, v]
        return x[-1:], tuple(kv)


class GptPrefill(nn.Module):
    """Graph `gpt_prefill`: text and prompt in, filled caches and the first token out."""

    def __init__(self, t2s: Text2Semantic) -> None:
        super().__init__()
        self.t2s = t2s

    def forward(self, phones: Tensor, bert: Tensor, prompt: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Runs text and prompt and samples the first token.

        Args:
            phones: int64 [1, T], phones of the reference and of the target.
            bert: float32 [1, T, 1024].
            prompt: int64 [1, P], tokens of the reference; P may be 0.
            rest: The fields of `SamplingInputs`, then the caches [1, H, S, D]; positions 0 .. T+P-1 are written.

        Returns:
            token int64 [1], stop bool [1], seen bool [1, V], logits float32 [1, V], the caches.
        """
        sampling, caches = _split(rest)
        hidden, kv = self.t2s.prefill_hidden(phones, bert, prompt)
        start = torch.zeros(1, dtype=torch.int64, device=prompt.device)
        updated = (kv_cache_update(c, new, start) for c, new in zip(caches, kv, strict=True))
        return (*_sample(self.t2s, hidden, sampling), *updated)


class GptStep(nn.Module):
    """Graph `gpt_step`: the last token in, the next one out; caches are updated in place."""

    def __init__(self, t2s: Text2Semantic) -> None:
        super().__init__()
        self.t2s = t2s

    def forward(
        self, token: Tensor, text_len: Tensor, prompt_len: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        """Runs one token and samples the next.

        Args:
            token: int64 [B], token of the previous step.
            text_len: int64 [B], phones in the cache.
            prompt_len: int64 [B], prompt tokens in the cache.
            rest: The fields of `SamplingInputs` (`step` counts the new tokens so far: 1 in the first call), then the
                caches [B, H, S, D], of which position text_len + prompt_len + step - 1 is written.

        Returns:
            token int64 [B], stop bool [B], seen bool [B, V], logits float32 [B, V], the caches.
        """
        sampling, caches = _split(rest)
        position = prompt_len + sampling.step - 1
        row = text_len + position
        x = self.t2s.embed_audio(token[:, None], position[:, None])[:, 0]
        slots = torch.arange(caches[0].shape[2], device=x.device)
        mask = (slots[None, :] <= row[:, None])[:, None, None, :]
        updated: list[Tensor] = []
        for layer, keys, values in zip(self.t2s.h, caches[::2], caches[1::2], strict=True):
            q, k, v = layer.self_attn.qkv(x, x.shape[0])
            keys, values = kv_cache_update(keys, k, row), kv_cache_update(values, v, row)
            x = layer.finish(x, F.scaled_dot_product_attention(q, keys, values, attn_mask=mask))
            updated += [keys, values]
        return (*_sample(self.t2s, x, sampling), *updated)


def _split(rest: Caches) -> tuple[SamplingInputs, Caches]:
    n = len(SamplingInputs._fields)
    return SamplingInputs(*rest[:n]), rest[n:]


def _sample(t2s: Text2Semantic, hidden: Tensor, s: SamplingInputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logits = t2s.ar_predict_layer(hidden).float()
    token, stop = sample(logits, s, t2s.config.eos)
    ids = torch.arange(t2s.config.vocab, device=hidden.device)[None, :]
    return token, stop, s.seen | (ids == token[:, None]), logits
