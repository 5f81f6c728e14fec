"""The weights of a GPT, described once for all who read them: the CPU's kernels, the GPU's kernel, and packing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.external_weights import read_weights
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BundleError

EPSILON = 1e-5  # of the norms, as PyTorch's

Floats = NDArray[np.float32]
Stored = NDArray[Any]
"""float32, or float16 where the graph has it so."""


@dataclass(frozen=True)
class Linear:
    """y = W x + b.

    Attributes:
        name: Of the matrix, as the checkpoint calls it.
        weight: [outputs, inputs], as stored.
        bias: float32 [outputs]; None where there is none.
    """

    name: str
    weight: Stored
    bias: Floats | None

    @property
    def outputs(self) -> int:
        """Rows of the matrix."""
        return int(self.weight.shape[0])

    @property
    def inputs(self) -> int:
        """Columns of the matrix."""
        return int(self.weight.shape[1])


@dataclass(frozen=True)
class Norm:
    """A layer norm; both float32 [width]."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class LayerWeights:
    """One layer: attention, norm, feed-forward, norm.

    Attributes:
        qkv: Gives queries, keys and values, one behind the other.
        out: Of attention.
        up: To four times the width.
        down: Back from there.
        norm1: After attention.
        norm2: After the feed-forward.
    """

    qkv: Linear
    out: Linear
    up: Linear
    down: Linear
    norm1: Norm
    norm2: Norm

    @property
    def linears(self) -> tuple[Linear, Linear, Linear, Linear]:
        """The matrices, in the order in which a step needs them."""
        return self.qkv, self.out, self.up, self.down


@dataclass(frozen=True)
class GptWeights:
    """All weights that a step reads.

    Attributes:
        heads: Of attention.
        layers: In order.
        head: Gives the logits; has no bias.
        embedding: float32 [vocabulary, width].
        position_scale: What the sine positions are multiplied by.
    """

    heads: int
    layers: tuple[LayerWeights, ...]
    head: Linear
    embedding: Floats
    position_scale: float

    @classmethod
    def read(cls, path: Path, spec: GraphSpec) -> GptWeights:
        """Maps the weights from a graph's file; this is the one place that knows what the checkpoint calls them.

        Args:
            path: The `.onnx` file of the prefill or the step, in FP32 or FP16.
            spec: Of the step; gives the sizes.

        Raises:
            BundleError: They are not those of a GPT of these sizes.
        """
        file = _File(path, read_weights(path))
        _, heads, _, head_width = spec.tensor("k_cache_0").shape
        width, vocab = int(heads) * int(head_width), int(spec.tensor("seen").shape[1])

        def layer(i: int) -> LayerWeights:
            at = f"t2s.h.layers.{i}."
            return LayerWeights(
                qkv=file.linear(f"{at}self_attn.in_proj_", 3 * width, width),
                out=file.linear(f"{at}self_attn.out_proj.", width, width),
                up=file.linear(f"{at}linear1.", 4 * width, width),
                down=file.linear(f"{at}linear2.", width, 4 * width),
                norm1=file.norm(f"{at}norm1.", width),
                norm2=file.norm(f"{at}norm2.", width),
            )

        head = "t2s.ar_predict_layer.weight"
        return cls(
            heads=int(heads),
            layers=tuple(layer(i) for i in range(len(spec.aliases) // 2)),
            head=Linear(head, file.stored(head, vocab, width), None),
            embedding=file.floats("t2s.ar_audio_embedding.word_embeddings.weight", vocab, width),
            position_scale=float(file.floats("t2s.ar_audio_position.alpha", 1)[0]),
        )

    @property
    def width(self) -> int:
        """Of the residual row."""
        return int(self.embedding.shape[1])

    @property
    def vocab(self) -> int:
        """Tokens; the last one ends speech."""
        return int(self.embedding.shape[0])

    def linears(self) -> Iterator[Linear]:
        """All matrices, the head's last."""
        for layer in self.layers:
            yield from layer.linears
        yield self.head

    def frequencies(self) -> Floats:
        """Angles per position of the sine positions, float32 [width / 2]."""
        return _frequencies(self.width)


@dataclass(frozen=True)
class TextWeights:
    """What a prefill reads besides: how text becomes rows.

    Attributes:
        embedding: float32 [phones, width].
        bert: From BERT's features to the width.
        position_scale: What the sine positions are multiplied by.
    """

    embedding: Floats
    bert: Linear
    position_scale: float

    @classmethod
    def read(cls, path: Path, spec: GraphSpec, width: int) -> TextWeights:
        """Maps the weights from the prefill's file.

        Args:
            path: The `.onnx` file.
            spec: Of the prefill.
            width: Of the residual row.

        Raises:
            BundleError: They are not those of a GPT of this width.
        """
        file = _File(path, read_weights(path))
        features = spec.tensor("bert").shape[2]
        return cls(
            embedding=file.table("t2s.ar_text_embedding.word_embeddings.weight", width),
            bert=file.linear("t2s.bert_proj.", width, int(features)),
            position_scale=float(file.floats("t2s.ar_text_position.alpha", 1)[0]),
        )


def sine_positions(count: int, width: int) -> Floats:
    """The sine positions from 0 on, float32 [count, width]: even columns sines, odd ones cosines."""
    angles = np.arange(count, dtype=np.float32)[:, None] * _frequencies(width)
    waves: Floats = np.empty((count, width), np.float32)
    waves[:, ::2], waves[:, 1::2] = np.sin(angles), np.cos(angles)
    return waves


def _frequencies(width: int) -> Floats:
    columns = np.arange(0, width, 2, dtype=np.float32)
    angles: Floats = np.exp(columns * np.float32(-np.log(10000.0) / width)).astype(np.float32)
    return angles


@dataclass(frozen=True)
class _File:
    """The weights of one graph, each checked when it is read."""

    path: Path
    weights: Mapping[str, Stored]

    def stored(self, name: str, *shape: int) -> Stored:
        array, problem = self.weights.get(name), ""
        if array is None:
            problem = "no such weight"
        elif array.dtype not in (np.float32, np.float16) or array.size != math.prod(shape):
            problem = f"{array.dtype}{list(array.shape)}"
        if array is None or problem:
            raise BundleError(
                f"{self.path}: {name}: {problem}, expected float32 or float16 {list(shape)}; build it again"
            )
        return array.reshape(shape)

    def floats(self, name: str, *shape: int) -> Floats:
        return np.asarray(self.stored(name, *shape), np.float32)

    def table(self, name: str, width: int) -> Floats:
        array = self.weights.get(name)
        return self.floats(name, 1 if array is None else max(len(array), 1), width)

    def linear(self, prefix: str, outputs: int, inputs: int) -> Linear:
        name = f"{prefix}weight"
        return Linear(name, self.stored(name, outputs, inputs), self.floats(f"{prefix}bias", outputs))

    def norm(self, prefix: str, width: int) -> Norm:
        return Norm(self.floats(f"{prefix}weight", width), self.floats(f"{prefix}bias", width))
