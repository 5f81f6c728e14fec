"""Every pass leaves a graph that has nothing for it to do as it is, to the byte, and says so."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import onnx_ir as ir
import pytest

from sovits_engines import passes
from sovits_runtime.bundle.graph_spec import GraphSpec, TensorSpec

HELPERS = {"edits", "model_file", "operator_rules", "tensor_types"}
"""Modules of the room that hold no pass."""
FLOATS = "(float[2,2] x) => (float[2,2] y) { a = Abs(x) b = Exp(a) y = Neg(b) }"
LAYER = "(float[1,4,n] x) => (float[1,4,m] y) { a = Abs(x) b = Conv(a, w) y = Relu(b) }"
SEEN = GraphSpec("gpt_step", (TensorSpec("seen", "bool", (1, 5)),), ())


class Case(NamedTuple):
    """A graph that a pass leaves alone.

    Attributes:
        name: The pass.
        text: The graph.
        options: What the pass is told.
        opset: Of the graph.
        twice: Whether the pass does something the first time, for the text cannot tell all of the graph.
    """

    name: str
    text: str
    options: Mapping[str, Any] = MappingProxyType({})
    opset: int = 24
    twice: bool = False


CASES = {
    "attention": Case(
        "decompose_attention",
        "(float16[1,4,n,32] x) => (float16[1,4,n,32] y) { a = Abs(x) b = Attention(a, a, a) y = Neg(b) }",
    ),
    "cacheless_prefill": Case(
        "cacheless_prefill",
        FLOATS,
        {"spec": GraphSpec("gpt_prefill", (TensorSpec("x", "float32", (2, 2)),), ())},
    ),
    "cpu_step": Case(
        "fuse_step",
        """(float[1,1,12] row, float[1,2,8,2] k, float[1,2,8,2] v, int32[1] at, int32 all) => (float[1,1,4] y) {
            a, k_out, v_out = com.microsoft.GroupQueryAttention<num_heads=2, kv_num_heads=2>(row, , , k, v, at, all)
            y = Neg(a)
        }""",
    ),
    "cuda_ops": Case("for_cuda", FLOATS, {"spec": SEEN}, opset=18),
    "expose_outputs": Case("expose_outputs", FLOATS, {"values": ["x", "y"]}),
    "fixed_sizes": Case("fix_sizes", LAYER, {"sizes": {"batch": 1}}),
    "fold": Case("fold", FLOATS, twice=True),
    "fp16": Case("lower_to_fp16", FLOATS, {"fp32_nodes": {"a", "b", "y"}, "fp16_io": ()}),
    "fp16_simulation": Case("simulate_fp16", FLOATS),
    "int8_conv": Case("quantize_convs", LAYER, {"layers": (), "ranges": {}}),
    "int8_linear": Case("quantize_linears", FLOATS, {"form": "int8"}),
    "metadata": Case("strip_metadata", FLOATS),
    "only_node": Case(
        "only_node", "(float[2] x) => (float[2] y) { y = Abs(x) }", {"output": "y", "shapes": {}}
    ),
    "opset": Case("lower_opset", FLOATS, {"opset": 24}),
    "probes": Case("add_probes", "(int64[2] x) => (int64[2] y) { a = Abs(x) b = Neg(a) y = Abs(b) }"),
    "self_feeding_step": Case(
        "self_feeding_step",
        "(float[64,5] noise_block, int64[1] step) => (float[1,5] y) { a = Gather(noise_block, step) y = Neg(a) }",
        {"spec": SEEN},
    ),
    "turing": Case(
        "without_fp32_products",
        "(float16[2,2] x) => (float16[2,2] y) { a = Abs(x) b = MatMul(a, a) y = Neg(b) }",
        {"folder": Path()},
    ),
    "weight_names": Case("name_after_weights", LAYER),
}


def pass_of(module: str) -> Callable[..., Any]:
    return getattr(import_module(f"sovits_engines.passes.{module}"), CASES[module].name)


def test_every_pass_is_here():
    modules = {found.name for found in iter_modules(passes.__path__)}
    assert modules == CASES.keys() | HELPERS


@pytest.mark.parametrize("module", CASES)
def test_nothing_to_do_changes_nothing(parse, module):
    case = CASES[module]
    weights = {"w": np.ones((4, 4, 1), np.float32)} if "w)" in case.text else {}
    model = parse(case.text, opset=case.opset, **weights)
    if case.twice:
        assert pass_of(module)(model, **case.options)
    before = ir.to_proto(model).SerializeToString()
    result = pass_of(module)(model, **case.options)
    assert getattr(result, "changed", result) is False
    assert ir.to_proto(model).SerializeToString() == before


@pytest.mark.parametrize("module", CASES)
def test_passes_have_one_shape(module):
    """A model first, everything else by name; true or false comes back, or what has a `changed`."""
    made = pass_of(module)
    model, *others = inspect.signature(made).parameters.values()
    assert model.annotation == "ir.Model"
    assert {p.kind for p in others} <= {inspect.Parameter.KEYWORD_ONLY}
    returned = get_type_hints(made)["return"]
    assert returned is bool or "changed" in {*dir(returned), *get_type_hints(returned)}


def test_passes_apply_in_order_and_say_whether_any_changed(parse):
    seen = []

    def first(model: ir.Model) -> bool:
        seen.append("first")
        return True

    def second(model: ir.Model) -> bool:
        seen.append("second")
        return False

    model = parse(FLOATS)
    assert passes.apply(model, (first, second))
    assert not passes.apply(model, (second,))
    assert not passes.apply(model, ())
    assert seen == ["first", "second", "second"]
