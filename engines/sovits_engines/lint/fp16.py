"""Rules on constants that FP16 cannot hold, masks above all, which TensorRT builds without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx

from sovits_engines.lint.flow import is_official, moved
from sovits_engines.lint.graph import Complaint, LintGraph, Rule, attribute, operand, title
from sovits_runtime.bundle.graph_spec import Array

_FP16 = onnx.TensorProto.FLOAT16
_FLOATS = (onnx.TensorProto.FLOAT, _FP16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)
_MAX = 65504
_SUM_SAFE = _MAX / 2
_CASTS = ("Cast", "CastLike")
_FIRST = (*_CASTS, "Neg", "Abs")
_BOTH = ("Add", "Mul")


def fp16_constants(g: LintGraph) -> Iterator[Complaint]:
    """Constants that FP16 turned into infinity, or that are none."""
    message = f"an FP16 constant that is not finite; {_MAX} is the largest, keep this part in FP32"
    for name, tensor in g.constants.items():
        if tensor.data_type == _FP16 and not _is_finite(g.value(name)):
            yield name, message
    for node in g.of("ConstantOfShape"):
        value = attribute(node, "value")
        if value is not None and value.data_type == _FP16 and not _is_finite(g.read(value)):
            yield title(node), message


def fp16_casts(g: LintGraph) -> Iterator[Complaint]:
    """FP32 constants beyond FP16 that a cast turns into infinity, wherever they were moved, picked or scaled before."""
    casts = [node for node in g.of(*_CASTS) if _to_fp16(g, node)]
    magnitudes = _magnitudes(g, [operand(node, 0) for node in casts])
    for node in casts:
        largest = magnitudes.get(operand(node, 0), 0.0)
        if not largest <= _MAX:
            yield (
                title(node),
                f"casts to FP16 what holds a constant of {largest:g}, and FP16 holds {_MAX}; choose a smaller one, or "
                "a boolean mask with Where",
            )


def fp16_masks(g: LintGraph) -> Iterator[Complaint]:
    """Masks that are added in FP16 and leave no room for what they are added to."""
    sums = [(node, name) for node in g.of("Add", "Sub") for name in node.input if g.kind(name) == _FP16]
    magnitudes = _magnitudes(g, [name for _, name in sums])
    for node, name in sums:
        largest = magnitudes.get(name, 0.0)
        if _SUM_SAFE < largest <= _MAX:
            yield (
                title(node),
                f"adds a constant of {largest:g} in FP16, where sums beyond {_MAX} overflow; take -3e4, or a boolean "
                "mask with Where",
            )


def _magnitudes(g: LintGraph, names: Iterable[str]) -> dict[str, float]:
    """Largest magnitude of the constants that tensors hold; tensors of which nothing is known are left out."""
    relevant = _origins(g, names)
    largest_of: dict[str, float] = {}
    for name in relevant & set(g.constants):
        value = g.value(name)
        if value is not None and g.constants[name].data_type in _FLOATS:
            largest_of[name] = _largest(value)
    for node in g.nodes:
        if relevant.intersection(node.output):
            largest = _result(g, node, largest_of)
            if largest is not None:
                largest_of.update(dict.fromkeys(node.output, largest))
    return largest_of


def _origins(g: LintGraph, names: Iterable[str]) -> set[str]:
    origins: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in origins:
            origins.add(name)
            todo += _operands(g.producers[name]) if name in g.producers else []
    return origins


def _operands(node: onnx.NodeProto) -> list[str]:
    """Operands whose constants are found again in the result."""
    if is_official(node) and node.op_type in (*_FIRST, *_BOTH):
        return [operand(node, 0)] if node.op_type in _FIRST else list(node.input)
    return moved(node)


def _result(g: LintGraph, node: onnx.NodeProto, magnitudes: dict[str, float]) -> float | None:
    """Largest magnitude of the constants in a node's result, from those of its operands."""
    if node.op_type == "ConstantOfShape":
        value = attribute(node, "value")
        fill = None if value is None or value.data_type not in _FLOATS else g.read(value)
        return None if fill is None else _largest(fill)
    known = [magnitudes[name] for name in _operands(node) if name in magnitudes]
    if not known:
        return None
    if node.op_type == "Mul" and len(known) == 2:
        return known[0] * known[1]
    largest = max(known)
    if node.op_type in _BOTH and largest < _MAX:
        return None  # a factor of what is not known; only masks have factors beyond this
    if node.op_type in _CASTS and (_target(g, node) not in _FLOATS or (_to_fp16(g, node) and largest > _MAX)):
        return None
    is_sum = node.op_type == "Add" and g.kind(node.output[0]) == _FP16
    return None if is_sum else largest


def _to_fp16(g: LintGraph, node: onnx.NodeProto) -> bool:
    return _target(g, node) == _FP16


def _target(g: LintGraph, node: onnx.NodeProto) -> int:
    return int(attribute(node, "to", 0)) if node.op_type == "Cast" else g.kind(operand(node, 1))


def _is_finite(value: Array | None) -> bool:
    return value is None or bool(np.isfinite(value).all())


def _largest(value: Array) -> float:
    return float(np.abs(value).max(initial=0))


RULES = (
    Rule("fp16-constant", "error", fp16_constants),
    Rule("fp16-cast", "error", fp16_casts),
    Rule("fp16-mask", "warning", fp16_masks),
)
