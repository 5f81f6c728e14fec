"""Linear layers of an exported graph to int8 or int4, as ONNX Runtime's CPU kernels take them.

- int8: `DynamicQuantizeMatMul`. One scale per output channel for the weights, symmetric; activations become uint8 by
  the range of the whole input at run time. The fastest for the one row of a step; over the many rows of a prefill one
  range for all of them costs ten times the error.
- int4: `MatMulNBits`. One scale per 32 weights of an output channel, symmetric; activations become int8 in the same
  blocks, row by row, at run time (`accuracy_level` 4).

Either reads a quarter to an eighth of FP32's bytes, and reading weights is what a token's step waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from sovits_engines.passes.cpu_step import CONTRIB
from sovits_engines.passes.edits import constant, take_place
from sovits_runtime.errors import BundleError

BLOCK = 32
_INT8_MAX, _INT4_MAX, _INT4_ZERO = 127, 7, 8
_SMALLEST_SCALE = 1e-12
_INT8_ACTIVATIONS = 4  # MatMulNBits' accuracy_level that computes in int8


@dataclass(frozen=True)
class Linear:
    """A linear layer: `x @ weight.T + bias`.

    Attributes:
        node: Its Gemm.
        name: Name of its weight.
        weight: float32 [out, in].
    """

    node: ir.Node
    name: str
    weight: NDArray[np.float32]


def linears(model: ir.Model) -> Iterator[Linear]:
    """The linear layers of an exported graph."""
    for node in model.graph:
        if node.op_type != "Gemm" or len(node.inputs) < 2:
            continue
        weight = node.inputs[1]
        if weight is None or not weight.is_initializer() or weight.const_value is None:
            continue
        plain = all(node.attributes.get_float(k, 1.0) == 1.0 for k in ("alpha", "beta"))
        if not plain or node.attributes.get_int("transA"):
            continue
        numbers = weight.const_value.numpy()
        if not node.attributes.get_int("transB"):
            numbers = numbers.T
        yield Linear(node, weight.name or "", numbers)


def quantize_linears(model: ir.Model, *, form: str) -> bool:
    """Changes every linear layer of an FP32 model.

    Args:
        model: An exported FP32 model.
        form: What the layers become, a key of `FORMS`.

    Raises:
        BundleError: A weight is not finite, or int4's blocks do not fit its width.
    """
    layers = list(linears(model))
    if not layers:
        return False
    for linear in layers:
        if not np.isfinite(linear.weight).all():
            raise BundleError(f"graph {model.graph.name}: {linear.name} holds numbers that are not finite")
        take_place(FORMS[form](linear, model.graph), linear.node)
    model.opset_imports[CONTRIB] = 1
    RemoveUnusedNodesPass()(model)
    return True


def int8_weights(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rounds weights [out, in] to int8 [in, out] and one scale per output channel, float32 [out]."""
    scale = np.maximum(np.abs(weight).max(axis=1) / _INT8_MAX, _SMALLEST_SCALE).astype(np.float32)
    return np.rint(weight / scale[:, None]).astype(np.int8).T.copy(), scale


def int4_weights(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rounds weights [out, in] to int4 in blocks of 32 inputs, two in a byte.

    Returns:
        uint8 [out, in / 32, 16], the earlier weight in the lower half of a byte, 8 standing for zero; and one scale per
        block, float32 [out, in / 32].

    Raises:
        BundleError: The width is no multiple of 32.
    """
    rows, width = weight.shape
    if width % BLOCK:
        raise BundleError(
            f"a layer of {width} inputs does not divide into blocks of {BLOCK}; use int8 or fp32"
        )
    blocks = weight.reshape(rows, -1, BLOCK)
    scale = np.maximum(np.abs(blocks).max(axis=2) / _INT4_MAX, _SMALLEST_SCALE).astype(np.float32)
    rounded = (np.rint(blocks / scale[..., None]) + _INT4_ZERO).astype(np.uint8)
    return rounded[..., 0::2] | (rounded[..., 1::2] << 4), scale


def _int8_node(linear: Linear, graph: ir.Graph) -> ir.Node:
    numbers, scale = int8_weights(linear.weight)
    inputs = [
        linear.node.inputs[0],
        constant(graph, f"{linear.name}.int8", numbers),
        constant(graph, f"{linear.name}.scale", scale),
        constant(graph, f"{linear.name}.zero", np.zeros(len(scale), np.int8)),
        *_bias(linear.node),
    ]
    return ir.node("DynamicQuantizeMatMul", inputs, domain=CONTRIB, name=linear.node.name)


def _int4_node(linear: Linear, graph: ir.Graph) -> ir.Node:
    rows, width = linear.weight.shape
    numbers, scale = int4_weights(linear.weight)
    inputs = [
        linear.node.inputs[0],
        constant(graph, f"{linear.name}.int4", numbers),
        constant(graph, f"{linear.name}.scale", scale),
    ]
    bias = _bias(linear.node)
    if bias:
        inputs += [None, None, *bias]
    attributes = {
        "K": width,
        "N": rows,
        "bits": 4,
        "block_size": BLOCK,
        "accuracy_level": _INT8_ACTIVATIONS,
    }
    return ir.node("MatMulNBits", inputs, domain=CONTRIB, attributes=attributes, name=linear.node.name)


def _bias(node: ir.Node) -> list[ir.Value | None]:
    return [node.inputs[2]] if len(node.inputs) > 2 else []


FORMS: Mapping[str, Callable[[Linear, ir.Graph], ir.Node]] = {
    "int8": _int8_node,
    "int4": _int4_node,
}
