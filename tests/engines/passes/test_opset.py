"""A graph is stamped with an older opset where nothing in it would change its meaning."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from sovits_engines.passes.opset import lower_opset
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.errors import BundleError


def model_of(op: str, opset: int, inputs: int = 1, **attributes) -> ir.Model:
    values = [ir.Value(name=f"x{i}", type=ir.TensorType(ir.DataType.FLOAT)) for i in range(inputs)]
    node = ir.node(op, values, attributes=attributes)
    graph = ir.Graph(values, node.outputs, nodes=[node], opset_imports={"": opset}, name="small")
    return ir.Model(graph, ir_version=10)


@pytest.mark.parametrize(("op", "inputs"), [("Relu", 1), ("Reshape", 2), ("Squeeze", 2)])
def test_operators_that_only_got_more_types_are_restamped(op, inputs):
    model = model_of(op, 24, inputs)
    assert lower_opset(model, opset=21)
    assert model.opset_imports[""] == 21
    assert not lower_opset(model, opset=21)


def test_a_new_attribute_is_no_obstacle_unless_it_is_set():
    assert lower_opset(model_of("Cast", 24, to=1), opset=21)
    with pytest.raises(BundleError, match="Cast of opset 24 cannot be written in opset 21"):
        lower_opset(model_of("Cast", 24, to=1, round_mode="down"), opset=21)


@pytest.mark.parametrize("op", ["TensorScatter", "Attention", "Swish"])
def test_new_operators_are_refused_and_nothing_is_changed(op):
    model = model_of(op, 24, 3 if op != "Swish" else 1)
    with pytest.raises(BundleError, match=f"graph small: {op} of opset 24"):
        lower_opset(model, opset=21)
    assert model.opset_imports[""] == 24


def test_operators_whose_meaning_changed_are_refused():
    """ReduceMax took its axes as an attribute before opset 18."""
    with pytest.raises(BundleError, match="ReduceMax"):
        lower_opset(model_of("ReduceMax", 21, 2), opset=17)


def test_the_cpus_step_is_stamped_so(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    assert ir.load(bundle.graph_path("gpt_step", form=CPU_FILE)).opset_imports[""] == 21
