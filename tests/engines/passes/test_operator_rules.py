"""Which operators stay FP32 by what they mean, on graphs of a few nodes."""

import onnx
import onnx_ir as ir
import pytest

from sovits_engines.passes.operator_rules import fp32_by_meaning


def graph(text):
    """A graph in ONNX's text form, types inferred."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 24]> g {text}')
    return ir.from_proto(onnx.shape_inference.infer_shapes(model, strict_mode=True)).graph


def found(text):
    return {n.outputs[0].name: reason for n, reason in fp32_by_meaning(graph(text)).items()}


def test_a_choice_reaches_back_to_the_nearest_layer():
    text = """(float[2,4] x, float[4,4] w) => (int64[2] y) {
        first = MatMul(x, w)
        active = Relu(first)
        second = MatMul(active, w)
        doubled = Add(second, second)
        y = ArgMax <axis = -1, keepdims = 0> (doubled)
    }"""
    assert found(text) == dict.fromkeys(["second", "doubled", "y"], "choice")


def test_squares_under_a_root_and_the_layer_before_them():
    text = """(float[2,4] x, float[4,4] w) => (float[2,4] y) {
        spectrum = MatMul(x, w)
        power = Mul(spectrum, spectrum)
        magnitude = Sqrt(power)
        y = MatMul(magnitude, w)
    }"""
    assert found(text) == dict.fromkeys(["spectrum", "power", "magnitude"], "root")


def test_positions_stay_and_what_they_are_added_to_does_not():
    text = """(int64[n] i, float[n] x, float f) => (float[n] y) {
        position = Cast <to = 1> (i)
        angle = Mul(position, f)
        wave = Sin(angle)
        active = Tanh(x)
        y = Add(active, wave)
    }"""
    assert found(text) == dict.fromkeys(["position", "angle", "wave"], "position")


def test_a_sine_of_given_time_stays_and_one_of_activations_is_left_to_the_numbers():
    text = """(float[1] t, float[1,4] x, float[4,4] w) => (float[1,4] y) {
        time = Sin(t)
        layer = MatMul(x, w)
        snake = Sin(layer)
        y = Add(snake, time)
    }"""
    assert found(text) == {"time": "position"}


def test_a_mask_of_truth_values_is_no_position():
    text = """(bool[4] m, float[4] x) => (float[4] y) {
        mask = Cast <to = 1> (m)
        active = Tanh(x)
        y = Mul(active, mask)
    }"""
    assert found(text) == {}


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("Softmax(h)", "sum"),
        ("Exp(h)", "exponential"),
        ("LogSoftmax(h)", "sum"),
        ("Log(h)", "root"),
        ("Tanh(h)", None),
    ],
)
def test_operators_by_themselves(call, reason):
    text = f"(float[2,4] x) => (float[2,4] z) {{ h = Tanh(x)  y = {call}  z = Relu(y) }}"
    assert found(text).get("y") == reason
