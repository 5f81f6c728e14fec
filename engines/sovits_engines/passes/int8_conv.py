"""Convolutions to int8: uint8 activations, weights of 7 bits per output channel, sums in int32.

The graph says it with QuantizeLinear and DequantizeLinear around each convolution, which ONNX Runtime fuses into
QLinearConv; a LeakyRelu between two quantized convolutions becomes a table of 256 entries. Everything else stays FP32.

Weights take 7 of their 8 bits, because processors without VNNI or a dot-product instruction multiply bytes in pairs and
add each pair in 16 bits with saturation: 2 * 255 * 64 still fits, 2 * 255 * 127 does not. So the int32 sums are exact
and equal on every machine (ONNX Runtime 1.31 on an emulated Haswell: weights up to 64 exact, weights up to 127 wrong by
60 of 255 levels). The eighth bit is worth 0.1 dB of the waveform; rounding activations costs far more. Signed
activations or unsigned weights are exact too, but 1.3 and 2.2 times as slow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from sovits_engines.passes.edits import constant
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.errors import BundleError

Ranges = Mapping[str, tuple[float, float]]

LARGEST_WEIGHT = 64
LEVELS = 255
_SMALLEST_SCALE = 1e-20  # of a tensor that is always 0; the square of it is still a normal number
_LARGEST_BIAS = 2**30
_CHANNELS_PER_WORD = 4  # the int8 kernels read whole words


def quantizable_convs(model: ir.Model) -> list[ir.Node]:
    """The convolutions that can become int8: not depthwise or grouped, constant weights, whole words of channels."""
    return [
        node
        for node in model.graph
        if node.op_type == "Conv"
        and node.attributes.get_int("group", 1) == 1
        and all(v is None or v.const_value is not None for v in node.inputs[1:])
        and _weight(node).shape[1] % _CHANNELS_PER_WORD == 0
    ]


def quantize_convs(model: ir.Model, *, layers: Collection[str], ranges: Ranges) -> bool:
    """Turns convolutions of an FP32 model into int8.

    Args:
        model: An FP32 model.
        layers: The convolutions, each by its first output.
        ranges: Smallest and largest number of each convolution's input and output, by value; what lies outside is
            clipped.

    Raises:
        BundleError: A layer is not there or cannot become int8, or its range is missing or not finite; nothing is
            changed then.
    """
    nodes = {n.outputs[0].name or "": n for n in quantizable_convs(model)}
    for name in sorted(set(layers)):
        if name not in nodes:
            raise BundleError(
                f"int8: {name} is not a convolution of graph {model.graph.name} that can be int8"
            )
        for value in (nodes[name].inputs[0], nodes[name].outputs[0]):
            _check(ranges, name, value)
    quantizer = _Quantizer(model.graph, ranges)
    for name in [n for n in nodes if n in layers]:
        quantizer.convert(nodes[name])
    return bool(layers)


def _check(ranges: Ranges, layer: str, value: ir.Value | None) -> None:
    name = (value.name if value else None) or ""
    if name not in ranges:
        raise BundleError(f"int8: layer {layer}: no range of {name} was measured")
    low, high = ranges[name]
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise BundleError(
            f"int8: layer {layer}: the range of {name} is {low} to {high}, expected finite numbers"
        )


def _weight(node: ir.Node) -> Array:
    weight = node.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    return weight.const_value.numpy()


def scale_and_zero(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Returns the step and the zero point of uint8 numbers that reach from min(low, 0) to max(high, 0)."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / LEVELS, _SMALLEST_SCALE)
    return np.float32(scale), np.uint8(np.clip(np.rint(-low / scale), 0, LEVELS))


class _Quantizer:
    """Adds the operators; a value is quantized once, however many read it."""

    def __init__(self, graph: ir.Graph, ranges: Ranges) -> None:
        self.graph = graph
        self.ranges = ranges
        self.quantized: dict[ir.Value, ir.Value] = {}

    def convert(self, node: ir.Node) -> None:
        data = node.inputs[0]
        assert data is not None
        source = self._source(data)
        scale, _ = scale_and_zero(*self.ranges[source.name or ""])
        node.replace_input_with(0, self._pair(source))
        self._replace_constants(node, scale)
        result = node.outputs[0]
        uses = list(result.uses())
        pair = self._pair(result)
        for use in uses:
            use.node.replace_input_with(use.idx, pair)
        if result.is_graph_output():
            self._swap_output(result, pair)

    def _source(self, value: ir.Value) -> ir.Value:
        """The value of which `value` is the rounded copy, or `value` itself."""
        return next((exact for exact, pair in self.quantized.items() if pair is value), value)

    def _pair(self, value: ir.Value) -> ir.Value:
        """The value rounded to uint8 and back."""
        if value not in self.quantized:
            scale, zero = scale_and_zero(*self.ranges[value.name or ""])
            parameters = [
                constant(self.graph, f"{value.name}.scale", np.array(scale)),
                constant(self.graph, f"{value.name}.zero", np.array(zero)),
            ]
            quantize = ir.node("QuantizeLinear", [value, *parameters])
            restore = ir.node("DequantizeLinear", [quantize.outputs[0], *parameters])
            quantize.outputs[0].name, restore.outputs[0].name = f"{value.name}.uint8", f"{value.name}.rounded"
            quantize.outputs[0].type = ir.TensorType(ir.DataType.UINT8)
            restore.outputs[0].type = value.type
            quantize.outputs[0].shape = restore.outputs[0].shape = value.shape
            producer = value.producer()
            if producer is None:
                self.graph.insert_before(self.graph[0], [quantize, restore])
            else:
                self.graph.insert_after(producer, [quantize, restore])
            self.quantized[value] = restore.outputs[0]
        return self.quantized[value]

    def _replace_constants(self, node: ir.Node, scale: np.float32) -> None:
        weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
        numbers = _weight(node)
        offsets = np.zeros(len(numbers), np.float32)
        if bias is not None:
            assert bias.const_value is not None
            offsets = bias.const_value.numpy()
        steps = weight_steps(numbers, offsets, scale)
        rounded = np.rint(numbers / steps[:, None, None, None]).astype(np.int8)
        assert weight is not None
        self._constant_input(node, 1, weight, (rounded, steps))
        if bias is not None:
            sums = steps * scale
            self._constant_input(node, 2, bias, (np.rint(offsets / sums).astype(np.int32), sums))

    def _constant_input(
        self, node: ir.Node, index: int, value: ir.Value, numbers: tuple[Array, Array]
    ) -> None:
        whole, steps = numbers
        name = f"{value.name}.{node.outputs[0].name}"
        zeros = np.zeros(len(steps), whole.dtype)
        inputs = [
            constant(self.graph, f"{name}.{part}", array)
            for part, array in (("int", whole), ("scale", steps), ("zero", zeros))
        ]
        restore = ir.node("DequantizeLinear", inputs, attributes={"axis": 0})
        restore.outputs[0].name = f"{name}.rounded"
        restore.outputs[0].type, restore.outputs[0].shape = value.type, value.shape
        self.graph.insert_before(node, restore)
        node.replace_input_with(index, restore.outputs[0])
        if not value.uses() and value.is_initializer():
            del self.graph.initializers[value.name or ""]

    def _swap_output(self, result: ir.Value, pair: ir.Value) -> None:
        self.graph.outputs[list(self.graph.outputs).index(result)] = pair
        name, result.name = result.name, f"{result.name}.exact"
        pair.name = name


def weight_steps(weight: Array, bias: Array, scale: np.float32) -> Array:
    """Chooses the step of each output channel's weights.

    Args:
        weight: [n_out, n_in, height, width] float32.
        bias: [n_out] float32, a channel's constant.
        scale: Step of the layer's input.

    Returns:
        [n_out] float32: the largest weight becomes 64, unless the bias in units of both steps would not fit int32.
    """
    largest = np.abs(weight).max(axis=(1, 2, 3)) / LARGEST_WEIGHT
    fitting = np.abs(bias) / (np.float64(scale) * _LARGEST_BIAS)
    steps: Array = np.maximum(np.maximum(largest, fitting), _SMALLEST_SCALE).astype(np.float32)
    return steps
