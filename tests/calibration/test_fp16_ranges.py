"""What is measured inside a graph, and what follows from it."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sovits_calibration.fp16_ranges import Margins, needs_fp32
from sovits_calibration.fp32_nodes import choose
from sovits_calibration.measure import measure

EYE = np.eye(2, dtype=np.float32)


def measured(tmp_path, text, runs, **weights):
    parsed = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 24]> g {text}')
    parsed.graph.initializer.extend(onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
    path = tmp_path / "g.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(parsed, strict_mode=True), path)
    feeds = [{"x": np.array(x, np.float32)} for x in runs]
    return ir.load(path).graph, measure(path, feeds)


def reasons(graph, found, margins=None):
    kept = {}
    for node, reason, detail in needs_fp32(graph, found, margins or Margins()):
        kept.setdefault(node.outputs[0].name, (reason, detail))
    return kept


LAYERS = "(float[1,2] x) => (float[1,2] y) { a = MatMul(x, up)  b = Tanh(a)  y = MatMul(b, down) }"


def test_ranges_and_sums_are_the_largest_over_all_runs(tmp_path):
    up = np.array([[3, 0], [-3, 1]], np.float32)
    graph, found = measured(tmp_path, LAYERS, [[[1, 1]], [[-2, 0]]], up=up, down=EYE)
    assert found.largest["a"] == 6
    assert found.sums["a"] == 6  # |1 * 3| + |1 * -3|, although the terms cancel in the first run
    assert reasons(graph, found) == {}


def test_a_tensor_near_the_end_keeps_its_producer_and_its_users(tmp_path):
    graph, found = measured(tmp_path, LAYERS, [[[1, 0]]], up=EYE * 9000, down=EYE)
    kept = reasons(graph, found)
    assert kept == {name: ("range", "a reaches 9000, 8 times that is beyond 65504") for name in ("a", "b")}
    assert reasons(graph, found, Margins(range=7)) == {}


def test_a_sum_that_could_pass_the_end_on_the_way(tmp_path):
    weights = np.array([[30000, 0], [-30000, 1]], np.float32) / 4
    graph, found = measured(tmp_path, LAYERS, [[[3, 3]]], up=weights, down=EYE)
    assert found.largest["a"] == 0.75  # the large terms cancel
    assert reasons(graph, found)["a"][0] == "sums"


def test_digits_lost_by_a_difference_of_close_numbers(tmp_path):
    text = """(float[1,2] x) => (float[1,2] y) {
        a = MatMul(x, up)
        b = Sub(a, offset)
        c = Tanh(b)
        y = MatMul(c, down)
    }"""
    offset = np.full(2, 1000, np.float32)
    graph, found = measured(tmp_path, text, [[[1000.3, 1000.2]]], up=EYE, down=EYE, offset=offset)
    kept = reasons(graph, found)
    assert {name: reason for name, (reason, _) in kept.items()} == {"a": "error", "b": "error"}
    assert "rounding changes b by" in kept["b"][1]


def test_an_infinite_number_is_out_of_range(tmp_path):
    text = "(float[1,2] x) => (float[1,2] y) { a = Log(x)  b = Neg(a)  y = MatMul(b, down) }"
    graph, found = measured(tmp_path, text, [[[0, 1]]], down=EYE)
    assert found.largest["a"] == float("inf")
    assert {"a", "b", "y"} <= reasons(graph, found).keys()


@pytest.mark.parametrize("which", ["up", "down"])
def test_a_weight_that_one_graph_keeps_is_kept_by_the_other(tmp_path, which):
    weights = {"up": EYE, "down": EYE, which: EYE * 20000}
    measured(tmp_path, LAYERS, [[[1, 0]]], **weights)
    model = ir.load(tmp_path / "g.onnx")
    found = measure(tmp_path / "g.onnx", [{"x": np.ones((1, 2), np.float32)}])
    first, second = choose([model, ir.load(tmp_path / "g.onnx")], [found, None], Margins())
    node = {"up": "a", "down": "y"}[which]
    assert first[node].reason == "range"
    assert second[node].reason == "shared"
    assert set(second) == {n for n in second if second[n].reason == "shared"}
