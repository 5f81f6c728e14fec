"""Linear layers in int8 and int4: what is stored, and what ONNX Runtime computes with it."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from sovits_engines.passes.int8_linear import BLOCK, int4_weights, int8_weights, linears, quantize_linears
from sovits_runtime.errors import BundleError

RNG = np.random.default_rng(5)


def model_of(weight: np.ndarray, *, bias: bool = True, transposed: bool = True) -> ir.Model:
    def constant(name: str, numbers: np.ndarray) -> ir.Value:
        tensor = ir.Tensor(numbers, name=name)
        return ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor)

    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["n", weight.shape[1]]))
    stored = weight if transposed else np.ascontiguousarray(weight.T)
    constants = [constant("layer.weight", stored)]
    if bias:
        constants.append(constant("layer.bias", np.arange(len(weight), dtype=np.float32)))
    gemm = ir.node("Gemm", [x, *constants], attributes={"transB": int(transposed)})
    (y,) = gemm.outputs
    y.name, y.type, y.shape = "y", ir.TensorType(ir.DataType.FLOAT), ir.Shape(["n", len(weight)])
    graph = ir.Graph([x], [y], nodes=[gemm], initializers=constants, opset_imports={"": 24}, name="linear")
    return ir.Model(graph, ir_version=10)


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    return np.asarray(session.run(None, {"x": x})[0])


def int4_values(packed: np.ndarray, scale: np.ndarray) -> np.ndarray:
    halves = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:2], BLOCK)
    return ((halves.astype(np.float32) - 8) * scale[..., None]).reshape(len(packed), -1)


def test_rounding_is_off_by_at_most_half_a_step_of_its_scale():
    weight = (RNG.standard_normal((7, 96)) * np.geomspace(1e-4, 1e3, 7)[:, None]).astype(np.float32)
    weight[3] = 0
    numbers, scale = int8_weights(weight)
    assert (numbers.shape, numbers.dtype, scale.shape) == ((96, 7), np.int8, (7,))
    assert (np.abs(numbers.T * scale[:, None] - weight) <= 0.501 * scale[:, None]).all()
    packed, scales = int4_weights(weight)
    assert (packed.shape, packed.dtype, scales.shape) == ((7, 3, 16), np.uint8, (7, 3))
    error = np.abs(int4_values(packed, scales) - weight)
    assert (error <= 0.501 * np.repeat(scales, BLOCK, axis=1)).all()


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_int8_rounds_activations_by_their_range(bias, transposed):
    weight = RNG.standard_normal((48, 64)).astype(np.float32)
    model = model_of(weight, bias=bias, transposed=transposed)
    quantize_linears(model, form="int8")
    x = RNG.standard_normal((1, 64)).astype(np.float32)
    step = (max(x.max(), 0) - min(x.min(), 0)) / 255
    zero = np.rint(-min(x.min(), 0) / step)
    rounded = (np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step
    numbers, scale = int8_weights(weight)
    expected = rounded @ (numbers * scale) + (np.arange(48) if bias else 0)
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-4, atol=1e-4)


def test_int8_is_exact_where_pairs_of_products_overflow_16_bits():
    """What processors without VNNI get wrong unless told otherwise: 255 x 127 + 255 x 127 is more than int16 holds."""
    from sovits_runtime.machine.onnx_runtime import EXACT_INT8

    model = model_of(np.ones((16, 64), np.float32), bias=False)
    quantize_linears(model, form="int8")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*EXACT_INT8)
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), options)
    got = session.run(None, {"x": np.full((1, 64), 3.0, np.float32)})[0]
    np.testing.assert_allclose(got, 192.0, rtol=1e-5)


def test_int4_is_near_its_stored_numbers():
    weight = RNG.standard_normal((48, 64)).astype(np.float32)
    model = model_of(weight)
    quantize_linears(model, form="int4")
    x = RNG.standard_normal((1, 64)).astype(np.float32)
    expected = x @ int4_values(*int4_weights(weight)).T + np.arange(48)
    assert np.abs(run(model, x) - expected).max() < 0.02 * np.abs(expected - np.arange(48)).max()


def test_nothing_of_fp32_is_left_behind():
    model = model_of(RNG.standard_normal((48, 64)).astype(np.float32))
    assert [layer.name for layer in linears(model)] == ["layer.weight"]
    quantize_linears(model, form="int8")
    assert not list(linears(model))
    assert "layer.weight" not in model.graph.initializers


def test_what_cannot_be_rounded_is_refused():
    with pytest.raises(BundleError, match="layer of 40 inputs"):
        quantize_linears(model_of(np.ones((8, 40), np.float32)), form="int4")
    broken = np.ones((8, 64), np.float32)
    broken[2, 3] = np.inf
    with pytest.raises(BundleError, match=r"linear: layer\.weight holds numbers that are not finite"):
        quantize_linears(model_of(broken), form="int8")
