"""Rules on element types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx

from sovits_engines.lint.flow import moved
from sovits_engines.lint.graph import Complaint, LintGraph, Rule, operand, title, type_name

_SMALLER = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
_CASTS = ("Cast", "CastLike")
_READ_BYTES = (*_CASTS, "Identity", "Shape", "Size")
_ALIKE: dict[str, Sequence[int]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "MatMul", "Equal", "Less", "LessOrEqual"), range(2)),
    **dict.fromkeys(("Greater", "GreaterOrEqual", "Mod", "PRelu", "TensorScatter"), range(2)),
    **dict.fromkeys(("Gemm", "Conv", "ConvTranspose", "Attention"), range(3)),
    **dict.fromkeys(("Concat", "Max", "Min", "Sum", "Mean", "Einsum"), range(1 << 16)),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), (0, 1, 2, 3, 5, 6)),
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
    """DOUBLE is cut to FP32; that is no loss where a constant is cast to a smaller type anyway."""
    for name, tensor_type in g.types.items():
        if tensor_type.elem_type == onnx.TensorProto.DOUBLE and not (
            name in g.constants and _only_cast(g, name)
        ):
            yield name, "is DOUBLE, which TensorRT computes in FP32, clamped; export it in FP32"


def _only_cast(g: LintGraph, name: str) -> bool:
    return name not in g.outputs and all(
        node.op_type in _CASTS and operand(node, 0) == name and g.kind(node.output[0]) in _SMALLER
        for node in g.readers.get(name, ())
    )


def bytes_inside(g: LintGraph) -> Iterator[Complaint]:
    """UINT8 exists at the ends of a graph only, and inputs of it can only be cast; constants are read as INT32."""
    wide, inputs, outputs = _bytes(g, g.constants), set(g.inputs), set(g.outputs)
    for node in (n for n in g.nodes if n.op_type != "Constant"):
        read, written = _bytes(g, node.input), _bytes(g, node.output)
        if read and read <= wide.intersection(moved(node)):
            wide |= written
            wrong = written & outputs
        else:
            wrong = written - outputs
        if node.op_type not in _READ_BYTES:
            wrong |= read & inputs
        for name in sorted(wrong):
            yield name, "is UINT8 inside the graph, TensorRT has it at inputs and outputs only; cast it first"


def _bytes(g: LintGraph, names: Iterable[str]) -> set[str]:
    return {name for name in names if g.kind(name) == onnx.TensorProto.UINT8}


def strings(g: LintGraph) -> Iterator[Complaint]:
    """There are no strings."""
    for name, tensor_type in g.types.items():
        if tensor_type.elem_type == onnx.TensorProto.STRING:
            yield name, "is STRING, which TensorRT does not have; turn text into numbers outside"


RULES = (
    Rule("operand-types", "error", operand_types),
    Rule("norm-types", "error", norm_types),
    Rule("double", "error", doubles),
    Rule("uint8-inside", "error", bytes_inside),
    Rule("string", "error", strings),
)
