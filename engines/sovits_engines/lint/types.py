"""Rules on element types, and on constants that FP16 cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from sovits_engines.lint.graph import Complaint, LintGraph, Rule, operand, title, type_name

_HALF = onnx.TensorProto.FLOAT16
_FP16_MAX = 65504
_SUM_SAFE = _FP16_MAX / 2
_FLOATS = (onnx.TensorProto.FLOAT, _HALF, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)
_ALIKE: dict[str, range] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "MatMul", "Equal", "Less", "LessOrEqual"), range(2)),
    **dict.fromkeys(("Greater", "GreaterOrEqual", "Mod", "PRelu", "TensorScatter"), range(2)),
    **dict.fromkeys(("Gemm", "Conv", "ConvTranspose", "Attention"), range(3)),
    **dict.fromkeys(("Concat", "Max", "Min", "Sum", "Mean", "Einsum"), range(1 << 16)),
    "Where": range(1, 3),
    "Clip": range(3),
}
_NORMS = {
    "LayerNormalization": range(1, 3),
    "InstanceNormalization": range(1, 3),
    "GroupNormalization": range(1, 3),
    "RMSNormalization": range(1, 2),
    "BatchNormalization": range(1, 5),
}


def operand_types(g: LintGraph) -> Iterator[Complaint]:
    """Strong typing: operands are of one type, and nothing is cast in between."""
    for node in g.of(*_ALIKE):
        kinds = [g.kind(name) for i, name in enumerate(node.input) if name and i in _ALIKE[node.op_type]]
        if len(set(kinds) - {0}) > 1:
            names = " and ".join(dict.fromkeys(type_name(k) for k in kinds if k))
            yield title(node), f"its operands are {names}; TensorRT wants one type, put a Cast before it"


def norm_types(g: LintGraph) -> Iterator[Complaint]:
    """Scale and bias of a norm are of the input's type."""
    for node in g.of(*_NORMS):
        data = g.kind(operand(node, 0))
        for i in _NORMS[node.op_type]:
            kind = g.kind(operand(node, i))
            if data and kind and kind != data:
                yield (
                    title(node),
                    f"{operand(node, i)} is {type_name(kind)}, the input {type_name(data)}; TensorRT wants one type",
                )


def doubles(g: LintGraph) -> Iterator[Complaint]:
    """DOUBLE is cut to FP32."""
    for name, found in g.types.items():
        if found.elem_type == onnx.TensorProto.DOUBLE:
            yield name, "is DOUBLE, which TensorRT computes in FP32, clamped; export it in FP32"


def bytes_inside(g: LintGraph) -> Iterator[Complaint]:
    """UINT8 exists at the ends of a graph only."""
    ends = {*g.inputs, *g.outputs}
    for name, found in g.types.items():
        producer = g.producers.get(name)
        cast = producer is not None and producer.op_type == "Cast"
        if found.elem_type == onnx.TensorProto.UINT8 and name not in ends and not cast:
            yield name, "is UINT8 inside the graph, TensorRT has it at inputs and outputs only; cast it first"


def half_constants(g: LintGraph) -> Iterator[Complaint]:
    """Constants that FP16 turned into infinity, or that are none."""
    for name, tensor in g.constants.items():
        if tensor.data_type == _HALF:
            value = g.value(name)
            if value is not None and not np.isfinite(value).all():
                yield (
                    name,
                    f"an FP16 constant that is not finite; {_FP16_MAX} is the largest, keep this part in FP32",
                )


def half_casts(g: LintGraph) -> Iterator[Complaint]:
    """FP32 constants beyond FP16 that a Cast turns into infinity."""
    for node in g.of("Cast"):
        value = g.value(operand(node, 0))
        if value is not None and g.kind(node.output[0]) == _HALF and value.dtype.kind == "f" and value.size:
            largest = float(np.abs(value).max())
            if not largest <= _FP16_MAX:
                yield (
                    title(node),
                    f"casts a constant of {largest:g} to FP16, which holds {_FP16_MAX}; choose a smaller one",
                )


def half_masks(g: LintGraph) -> Iterator[Complaint]:
    """Masks that are added in FP16 and leave no room for what they are added to."""
    for node in g.of("Add", "Sub"):
        for name in node.input:
            value = g.value(name)
            if value is not None and value.dtype == np.float16 and value.size:
                largest = float(np.abs(value).max())
                if _SUM_SAFE < largest <= _FP16_MAX:
                    yield (
                        title(node),
                        f"adds a constant of {largest:g} in FP16, where sums beyond {_FP16_MAX} overflow; take -3e4, "
                        "or a boolean mask with Where",
                    )


RULES = (
    Rule("operand-types", "error", operand_types),
    Rule("norm-types", "error", norm_types),
    Rule("double", "error", doubles),
    Rule("uint8-inside", "error", bytes_inside),
    Rule("fp16-constant", "error", half_constants),
    Rule("fp16-cast", "error", half_casts),
    Rule("fp16-mask", "warning", half_masks),
)
