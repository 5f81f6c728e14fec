"""The weights of a HiFi-GAN, found in its graph by what the graph computes; see `modeling/hifigan.py` of the exporter.

The graph is walked from the waveform back to the latent. Whatever is not this network, such as BigVGAN, or one whose
convolutions are int8, is told from it on the way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.external_weights import read_weights
from sovits_runtime.bundle.graph_nodes import Node, read_nodes
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BundleError

Floats = NDArray[np.float32]
Stored = NDArray[Any]
"""float32, or float16 where the graph has it so."""
MOST_DILATION = 1 << 10
_PLAIN = frozenset({"Cast", "Unsqueeze", "Squeeze", "Gather", "Identity"})
"""Operators that change no number but its type."""


@dataclass(frozen=True)
class Conv:
    """A convolution that keeps the length, or a transposed one to `rate` times the length.

    Attributes:
        name: Of its weights, as the graph calls them.
        weight: [outputs, inputs, kernel], of a transposed one [inputs, outputs, kernel]; as stored.
        bias: float32 [outputs]; None where there is none.
        dilation: Distance of what its kernel reads.
        rate: 0: it keeps the length.
    """

    name: str
    weight: Stored
    bias: Floats | None
    dilation: int
    rate: int

    @property
    def inputs(self) -> int:
        """Channels that it reads."""
        return int(self.weight.shape[0 if self.rate else 1])

    @property
    def outputs(self) -> int:
        """Channels that it gives."""
        return int(self.weight.shape[1 if self.rate else 0])

    @property
    def kernel(self) -> int:
        """Frames that it reads for one."""
        return int(self.weight.shape[2])


@dataclass(frozen=True)
class HifiganWeights:
    """All that a HiFi-GAN is made of.

    Attributes:
        pre: From the latent, or the mel, to the first channels.
        condition: What is added to that, from the style; None: the network has no style.
        ups: The transposed convolution of each stage.
        blocks: Of each stage; of each of its blocks; of each of the block's pairs: two convolutions.
        post: To the waveform.
        slope: Of the leaky rectifiers.
        last_slope: Of that before `post`.
    """

    pre: Conv
    condition: Conv | None
    ups: tuple[Conv, ...]
    blocks: tuple[tuple[tuple[tuple[Conv, Conv], ...], ...], ...]
    post: Conv
    slope: float
    last_slope: float

    def residuals(self) -> Iterator[Conv]:
        """The convolutions of the blocks, in the order in which they run."""
        return (conv for stage in self.blocks for block in stage for pair in block for conv in pair)


def find_hifigan(path: Path, spec: GraphSpec) -> HifiganWeights | None:
    """Maps the weights from a graph's file; None where it is another network.

    Args:
        path: The `.onnx` file.
        spec: Of the graph: one input with frames, which may have a style beside it, and the waveform.

    Raises:
        BundleError: The file, or that of its weights, is damaged.
    """
    try:
        return _Walk(read_nodes(path), read_weights(path)).network(spec)
    except _AnotherError:
        return None
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise BundleError(f"{path}: is damaged ({error}); build the voice again") from error


class _AnotherError(Exception):
    """The graph is not of this network."""


class _Walk:
    """A graph, from its output back to its inputs."""

    def __init__(self, nodes: Sequence[Node], weights: Mapping[str, Stored]) -> None:
        self._made_by = {name: node for node in nodes for name in node.outputs}
        self._weights = weights
        self._slopes: list[float] = []

    def network(self, spec: GraphSpec) -> HifiganWeights:
        """All of it."""
        (waveform,) = spec.output_names
        post, before = self._conv(self._taken(waveform, "Tanh").inputs[0])
        x = self._rectified(before)
        last_slope = self._slopes.pop()
        ups: list[Conv] = []
        blocks: list[tuple[tuple[tuple[Conv, Conv], ...], ...]] = []
        while self._node(x).operator == "Div":
            stage, up_at = self._stage(x)
            up, before = self._conv(up_at, "ConvTranspose")
            ups.insert(0, up)
            blocks.insert(0, stage)
            x = self._rectified(before)
        pre, condition = self._edge(x, spec)
        shapes = {(len(stage), len(block)) for stage in blocks for block in stage}
        _require(len(shapes) == 1 and len(set(self._slopes)) == 1)
        return HifiganWeights(pre, condition, tuple(ups), tuple(blocks), post, self._slopes[0], last_slope)

    def _stage(self, name: str) -> tuple[tuple[tuple[tuple[Conv, Conv], ...], ...], str]:
        """The blocks of a stage, and where what they read was made."""
        total, count = self._taken(name, "Div").inputs
        ends = self._summands(total)
        divisor = self._weights.get(count)
        _require(divisor is not None and divisor.size == 1 and float(divisor.ravel()[0]) == len(ends))
        made = [self._block(end) for end in ends]
        _require(len({id(self._node(up)) for _, up in made}) == 1)
        return tuple(block for block, _ in made), made[0][1]

    def _summands(self, name: str) -> list[str]:
        """The ends of the blocks that a sum is made of."""
        parts = self._taken(name, "Add").inputs
        if any(self._node(part).operator == "Conv" for part in parts):
            return [name]
        return [end for part in parts for end in self._summands(part)]

    def _block(self, name: str) -> tuple[tuple[tuple[Conv, Conv], ...], str]:
        """The pairs of a block, and where what it reads was made."""
        pairs: list[tuple[Conv, Conv]] = []
        while self._node(name).operator == "Add":
            residual, branch = sorted(self._node(name).inputs, key=lambda n: self._node(n).operator == "Conv")
            second, before = self._conv(branch)
            first, before = self._conv(self._rectified(before))
            _require(self._node(self._rectified(before)) is self._node(residual))
            pairs.insert(0, (first, second))
            name = residual
        return tuple(pairs), name

    def _edge(self, name: str, spec: GraphSpec) -> tuple[Conv, Conv | None]:
        """What reads the graph's inputs."""
        node = self._node(name)
        ends = node.inputs if node.operator == "Add" else (name,)
        (frames,) = (t.name for t in spec.inputs if isinstance(t.shape[-1], str))
        found = {self._source(before): conv for conv, before in map(self._conv, ends)}
        _require(len(found) == len(ends) and set(found) == set(spec.input_names) and frames in found)
        style = [conv for source, conv in found.items() if source != frames]
        return found[frames], style[0] if style else None

    def _conv(self, name: str, operator: str = "Conv") -> tuple[Conv, str]:
        """A convolution, and what it reads."""
        node = self._taken(name, operator)
        before, weight, *bias = node.inputs
        stored = self._stored(weight)
        _require(stored.ndim in (3, 4) and (stored.ndim == 3 or stored.shape[2] == 1))
        flat = stored.reshape(*stored.shape[:2], stored.shape[-1])
        rate = node.ints["strides"][-1] if operator == "ConvTranspose" else 0
        values = np.asarray(self._stored(bias[0]), np.float32) if bias else None
        conv = Conv(weight, flat, values, node.ints["dilations"][-1], rate)
        _require(_keeps_length(node, conv))
        return conv, before

    def _stored(self, name: str) -> Stored:
        """A weight, of which only the type was changed."""
        while name in self._made_by:
            name = self._taken(name, "Cast").inputs[0]
        array = self._weights.get(name)
        if array is None or array.dtype not in (np.float32, np.float16):
            raise _AnotherError
        return array

    def _rectified(self, name: str) -> str:
        """What a leaky rectifier reads; its slope is kept."""
        node = self._taken(name, "LeakyRelu")
        self._slopes.append(node.floats.get("alpha", 0.01))
        return node.inputs[0]

    def _source(self, name: str) -> str:
        """The graph's input that a name is, up to its type and shape."""
        while name in self._made_by:
            node = self._made_by[name]
            _require(node.operator in _PLAIN)
            name = node.inputs[0]
        return name

    def _node(self, name: str) -> Node:
        """What made a number, whatever its type."""
        while (node := self._made_by.get(name)) is not None and node.operator in _PLAIN:
            name = node.inputs[0]
        if node is None:
            raise _AnotherError
        return node

    def _taken(self, name: str, operator: str) -> Node:
        node = self._node(name)
        _require(node.operator == operator)
        return node


def _keeps_length(node: Node, conv: Conv) -> bool:
    """Whether a convolution is one of those that `Conv` describes."""
    if conv.dilation > MOST_DILATION:
        return False
    group, padding = node.ints.get("group", (1,)), node.ints.get("pads", ())
    if conv.bias is not None and conv.bias.shape != (conv.outputs,):
        return False
    if conv.rate:
        before = (conv.kernel - conv.rate) / 2
        plain = conv.dilation == 1 and not any(node.ints.get("output_padding", (0,)))
    else:
        before = (conv.kernel - 1) * conv.dilation / 2
        plain = conv.kernel % 2 == 1 and all(stride == 1 for stride in node.ints.get("strides", (1,)))
    ends = (padding[len(padding) // 2 - 1], padding[-1]) if padding else (0, 0)
    return group == (1,) and plain and ends == (before, before) and math.prod(conv.weight.shape) > 0


def _require(holds: bool) -> None:
    if not holds:
        raise _AnotherError
