"""BERT (chinese-roberta-wwm-ext-large): token ids to one 1024-wide feature a character.

Architecture and attribute names are those of transformers' BertModel. GPT-SoVITS reads the hidden state two
layers before the last, so the last two layers, the pooler and the language-model head are not built. Rows
[T, width] throughout, so that every linear layer is one Gemm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from sovits_exporter.modeling.pretrained_encoder import PretrainedEncoder, read_fields, without_prefix
from sovits_exporter.modeling.row_attention import attend_rows
from sovits_runtime.errors import CheckpointError

DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
FIXED = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
LIMITS = {"vocab_size": 1 << 18, "num_hidden_layers": 128, "max_position_embeddings": 1 << 16}
UNUSED_LAYERS = 2  # layers after the hidden state that is read
UNUSED_TENSORS = ("pooler.", "cls.", "embeddings.position_ids", "embeddings.token_type_ids")
LAYER = "encoder.layer."


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT.

    Attributes:
        vocab: Token ids.
        width: Width of the hidden states.
        heads: Attention heads; divides `width`.
        layers: Layers of the official model; the last two are not built.
        inner: Width of the feed-forward.
        positions: Longest sequence, first and last token included.
        token_types: Rows of the token type table, of which the first is used.
        eps: Epsilon of the layer norms.
    """

    vocab: int
    width: int
    heads: int
    layers: int
    inner: int
    positions: int
    token_types: int
    eps: float

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise CheckpointError(
                f"BERT config: width {self.width} is not a multiple of {self.heads} heads; get the file again"
            )
        if self.layers <= UNUSED_LAYERS:
            raise CheckpointError(
                f"BERT config: {self.layers} layers, expected at least {UNUSED_LAYERS + 1}:"
                " the feature is the hidden state two layers before the last"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BertConfig:
        """Reads a BERT config.json; fields it does not name have transformers' defaults.

        Raises:
            CheckpointError: A field is damaged, or asks for an architecture that is not supported.
        """
        c = read_fields(config, DEFAULTS, fixed=FIXED, what="BERT", limits=LIMITS)
        return cls(
            vocab=c["vocab_size"],
            width=c["hidden_size"],
            heads=c["num_attention_heads"],
            layers=c["num_hidden_layers"],
            inner=c["intermediate_size"],
            positions=c["max_position_embeddings"],
            token_types=c["type_vocab_size"],
            eps=c["layer_norm_eps"],
        )


class Embeddings(nn.Module):
    """Word, position and token type tables, summed and normed; every token has type 0."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab, config.width)
        self.position_embeddings = nn.Embedding(config.positions, config.width)
        self.token_type_embeddings = nn.Embedding(config.token_types, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.eps)

    def forward(self, ids: Tensor) -> Tensor:
        """Maps ids [T] to rows [T, width]."""
        positions = self.position_embeddings.weight[: ids.shape[0]]
        summed = self.word_embeddings(ids) + self.token_type_embeddings.weight[0] + positions
        rows: Tensor = self.LayerNorm(summed)
        return rows


class SelfAttention(nn.Module):
    """Projections and attention, without the output projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [T, width] to rows."""
        return attend_rows(self.query(x), self.key(x), self.value(x), heads=self.heads)


class AddAndNorm(nn.Module):
    """Projects, adds the residual, norms."""

    def __init__(self, width_in: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.eps)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """Maps rows [T, width_in] and the residual [T, width] to rows [T, width]."""
        rows: Tensor = self.LayerNorm(self.dense(x) + residual)
        return rows


class Attention(nn.Module):
    """Self-attention with its residual, under the official names."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = AddAndNorm(config.width, config)

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [T, width] to rows."""
        rows: Tensor = self.output(self.self(x), x)
        return rows


class Intermediate(nn.Module):
    """First half of the feed-forward."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.inner)

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [T, width] to [T, inner]."""
        return F.gelu(self.dense(x))


class Layer(nn.Module):
    """Post-norm transformer layer."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = AddAndNorm(config.inner, config)

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [T, width] to rows."""
        x = self.attention(x)
        rows: Tensor = self.output(self.intermediate(x), x)
        return rows


class Encoder(nn.Module):
    """The layers up to the one whose output is read."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.layers - UNUSED_LAYERS))

    def forward(self, x: Tensor) -> Tensor:
        """Maps rows [T, width] to rows."""
        for layer in self.layer:
            x = layer(x)
        return x


class Bert(PretrainedEncoder):
    """Graph `bert`: hidden_states[-3] of one sentence, without its first and last token.

    Source: GPT-SoVITS, TTS_infer_pack/TextPreprocessor.py, TextPreprocessor.get_bert_feature.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Encodes a sentence.

        Args:
            input_ids: int64 [1, T], [CLS] and [SEP] included, 3 <= T <= `config.positions`.

        Returns:
            float32 [T - 2, width].
        """
        rows: Tensor = self.encoder(self.embeddings(input_ids[0]))
        return rows[1:-1]

    @property
    def width(self) -> int:
        """Width of the features."""
        return self.config.width

    def own_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Strips the `bert.` prefix, spells norms the new way, leaves out the head and the last layers."""
        built = len(self.encoder.layer)
        own: dict[str, Tensor] = {}
        for name, tensor in without_prefix(tensors, "bert.").items():
            index = name.removeprefix(LAYER).split(".")[0] if name.startswith(LAYER) else ""
            is_late = index.isdecimal() and int(index) >= built
            if not is_late and not name.startswith(UNUSED_TENSORS):
                name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
                own[name.replace("LayerNorm.beta", "LayerNorm.bias")] = tensor
        return own
