"""What an operator means for its precision: nodes that compute in FP32 whatever the numbers are.

Four reasons, none of them a name:

* `choice`: an ArgMax, a comparison or a rounding turns the number into a decision, and so does everything from the
  nearest linear layer on;
* `root`: a root or logarithm, and the squares it is taken of, double the range of exponents;
* `sum`: softmax, means and norms add up many terms; `exponential` multiplies absolute errors by its result;
* `position`: sines, cosines and indices computed from whole numbers, which FP16 holds exactly up to 2048 only.

LayerNormalization and RMSNormalization are not among them: by their `stash_type` they sum in FP32 in an FP16 graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import onnx_ir as ir

FP16_MAX = 65504.0
"""The largest number that FP16 holds."""

LINEAR = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum"})
"""Operators that multiply by weights, where most of the time goes."""

MOVES = frozenset(
    {
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "Pad",
        "Reshape",
        "Resize",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
    }
)
"""Operators that only move or pick numbers."""

SUMS = frozenset(
    {
        "AveragePool",
        "CumSum",
        "GlobalAveragePool",
        "GroupNormalization",
        "InstanceNormalization",
        "LogSoftmax",
        "ReduceL1",
        "ReduceL2",
        "ReduceMean",
        "ReduceSum",
        "ReduceSumSquare",
        "Softmax",
    }
)
ROOTS = frozenset({"Sqrt", "Log", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"})
EXPONENTIALS = frozenset({"Exp", "Softplus"})
WAVES = frozenset({"Sin", "Cos"})
ARITHMETIC = frozenset(
    {"Abs", "Add", "Clip", "Div", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "Sub", "Sum"}
)
CHOICES = frozenset({"ArgMax", "ArgMin", "TopK"})
COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
ROUNDINGS = frozenset({"Ceil", "Floor", "Round"})

_ELEMENTWISE = MOVES | ARITHMETIC | WAVES | EXPONENTIALS | ROOTS | ROUNDINGS | frozenset({"Cast"})
_CARRIES_A_CHOICE = _ELEMENTWISE | SUMS | CHOICES
_INTEGERS = frozenset({ir.DataType.INT64, ir.DataType.INT32})


def is_float(value: ir.Value | None) -> bool:
    """Whether a value is FP32 in the original graph."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def float_inputs(node: ir.Node) -> list[ir.Value]:
    """The FP32 inputs of a node."""
    return [v for v in node.inputs if v is not None and is_float(v)]


def fp32_by_meaning(graph: ir.Graph) -> dict[ir.Node, str]:
    """Nodes that must compute in FP32 by what they mean, each with its reason."""
    reasons: dict[ir.Node, str] = {}
    for rule, reason in (
        (_choices, "choice"),
        (_roots, "root"),
        (_positions, "position"),
        (_sums, "sum"),
        (_exponentials, "exponential"),
    ):
        for node in rule(graph):
            reasons.setdefault(node, reason)
    return reasons


def _choices(graph: ir.Graph) -> Iterator[ir.Node]:
    return back_to_layers(filter(_decides, graph), lambda n: n.op_type in _CARRIES_A_CHOICE)


def _decides(node: ir.Node) -> bool:
    if not float_inputs(node):
        return False
    to_integer = node.op_type == "Cast" and node.outputs[0].dtype in _INTEGERS
    return node.op_type in CHOICES | COMPARISONS | ROUNDINGS or to_integer


def loses_digits_with(node: ir.Node) -> bool:
    """Whether a node passes on what its inputs were rounded to, so that rounding before it does the same harm."""
    return node.op_type in MOVES | ARITHMETIC | SUMS


def after_choices(graph: ir.Graph) -> set[ir.Node]:
    """What is computed from a decision on computed numbers, such as the draw of a token.

    A tie can go either way there, so two runs that are both right may give other numbers.
    """
    exact, after = _exact(graph, set()), set[ir.Node]()
    for node in graph:
        producers = [v.producer() for v in node.inputs if v is not None]
        computed = any(v.producer() not in exact for v in float_inputs(node) if v.producer() is not None)
        if (_decides(node) and computed) or any(p in after for p in producers if p is not None):
            after.add(node)
    return after


def _roots(graph: ir.Graph) -> Iterator[ir.Node]:
    seeds = [n for n in graph if n.op_type in ROOTS]
    return back_to_layers(seeds, loses_digits_with)


def back_to_layers(seeds: Iterable[ir.Node], passes: Callable[[ir.Node], bool]) -> Iterator[ir.Node]:
    """The seeds and what they are computed from, back to and including the nearest linear layers."""
    waiting, seen = list(seeds), set[ir.Node]()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        if node.op_type in LINEAR:
            continue
        producers = [v.producer() for v in float_inputs(node)]
        waiting += [p for p in producers if p is not None and (passes(p) or p.op_type in LINEAR)]


def _positions(graph: ir.Graph) -> Iterator[ir.Node]:
    from_integers = _exact(graph, set())
    yield from from_integers
    from_inputs = _exact(graph, {v for v in graph.inputs if is_float(v)})
    waves = [n for n in graph if n.op_type in WAVES and n in from_inputs]
    yield from back_to_layers(waves, lambda n: n in from_inputs)


def _exact(graph: ir.Graph, exact: set[ir.Value]) -> dict[ir.Node, None]:
    """Nodes whose numbers come from whole numbers, the values `exact`, and constants, without any layer between."""
    nodes: dict[ir.Node, None] = {}
    for node in graph:
        inputs = float_inputs(node)
        if node.op_type == "Range":
            starts = is_float(node.outputs[0])
        elif node.op_type == "Cast" and not inputs:
            starts = node.inputs[0] is not None and node.inputs[0].dtype in _INTEGERS
        else:
            known = all(v in exact or v.is_initializer() for v in inputs)
            starts = node.op_type in _ELEMENTWISE and known and any(v in exact for v in inputs)
        if starts and any(is_float(v) for v in node.outputs):
            nodes[node] = None
            exact.update(node.outputs)
    return nodes


def _sums(graph: ir.Graph) -> Iterator[ir.Node]:
    return (n for n in graph if n.op_type in SUMS)


def _exponentials(graph: ir.Graph) -> Iterator[ir.Node]:
    return (n for n in graph if n.op_type in EXPONENTIALS)
