"""The precision transform on graphs of a few nodes."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sovits_engines.passes.fp16 import casts, lower_to_fp16
from sovits_engines.passes.fp16_simulation import simulate_fp16
from sovits_runtime.errors import BundleError

RNG = np.random.default_rng(0)


def model(text, **weights):
    parsed = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 24]> g {text}')
    parsed.graph.initializer.extend(onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
    return ir.from_proto(onnx.shape_inference.infer_shapes(parsed, strict_mode=True))


def run(m, **feeds):
    proto = ir.to_proto(m)
    onnx.checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(proto.SerializeToString(), options).run(None, feeds)


def types(m):
    return {v.name: v.dtype.numpy().name for n in m.graph for v in n.outputs}


CHAIN = """(float[2,8] x) => (float[2,8] y) {
    a = MatMul(x, w)
    b = Exp(a)
    c = Neg(b)
    d = Sigmoid(c)
    y = MatMul(d, w)
}"""


def test_weights_and_compute_become_half_and_io_does_not():
    w = RNG.normal(0, 0.3, (8, 8)).astype(np.float32)
    m, full = model(CHAIN, w=w), model(CHAIN, w=w)
    assert lower_to_fp16(m, fp32_nodes={"b"}, fp16_io=()).fp32_nodes == {"b"}
    assert m.graph.initializers["w"].dtype == ir.DataType.FLOAT16
    assert list(m.graph.initializers) == ["w"]
    assert {k: t for k, t in types(m).items() if k in "abcd"} == {
        "a": "float16", "b": "float32", "c": "float16", "d": "float16",
    }  # fmt: skip
    assert len(list(casts(m.graph))) == 4
    x = RNG.normal(size=(2, 8)).astype(np.float32)
    assert np.abs(run(m, x=x)[0] - run(full, x=x)[0]).max() < 5e-3


def test_what_lies_between_fp32_nodes_joins_them():
    m = model(CHAIN, w=np.eye(8, dtype=np.float32))
    assert lower_to_fp16(m, fp32_nodes={"b", "d"}, fp16_io=()).fp32_nodes == {"b", "c", "d"}
    assert len(list(casts(m.graph))) == 4


def test_a_weight_used_in_both_precisions_is_stored_in_both():
    m = model(CHAIN, w=np.eye(8, dtype=np.float32))
    lower_to_fp16(m, fp32_nodes={"a"}, fp16_io=())
    assert {k: v.dtype.numpy().name for k, v in m.graph.initializers.items()} == {
        "w": "float32", "w.fp16": "float16",
    }  # fmt: skip


def test_a_constant_that_only_an_fp32_node_reads_is_not_rounded_on_its_way():
    m = model(
        "(float[2,8] x) => (float[2,4] y) { t = Transpose(w)  y = MatMul(x, t) }",
        w=RNG.normal(size=(4, 8)).astype(np.float32),
    )
    assert lower_to_fp16(m, fp32_nodes={"y"}, fp16_io=()).fp32_nodes == {"t", "y"}
    assert {k: v.dtype.numpy().name for k, v in m.graph.initializers.items()} == {"w": "float32"}
    assert list(casts(m.graph)) == []


def test_inputs_whose_type_the_operator_fixes_keep_it():
    text = '(float[1,1,4] x) => (float[1,1,8] y) { y = Resize <mode = "nearest"> (x, , scales) }'
    m = model(text, scales=np.array([1, 1, 2], np.float32))
    lower_to_fp16(m, fp32_nodes=(), fp16_io=())
    assert m.graph.initializers["scales"].dtype == ir.DataType.FLOAT
    assert run(m, x=np.arange(4, dtype=np.float32).reshape(1, 1, 4))[0].ravel().tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
        3,
        3,
    ]


def test_a_constant_too_large_for_half_is_never_saturated():
    m = model("(float[2,2] x) => (float[2,2] y) { y = MatMul(x, w) }", w=np.full((2, 2), 7e4, np.float32))
    with pytest.raises(BundleError, match=r"w holds 7e\+04"):
        lower_to_fp16(m, fp32_nodes=(), fp16_io=())


ATTENTION = """(float[1,2,n,8] q, float[1,2,m,8] k, float[1,2,m,8] v, bool[1,1,n,m] mask) => (float[1,2,n,8] y) {
    y = Attention(q, k, v, mask)
}"""


def test_attention_that_stays_fp32_is_taken_apart():
    feeds = {
        name: RNG.normal(size=(1, 2, n, 8)).astype(np.float32) for name, n in (("q", 3), ("k", 5), ("v", 5))
    }
    feeds["mask"] = RNG.random((1, 1, 3, 5)) < 0.7
    feeds["mask"][..., 0] = True
    m = model(ATTENTION)
    lower_to_fp16(m, fp32_nodes={"y"}, fp16_io=())
    assert [n.op_type for n in m.graph] == ["Mul", "Transpose", "MatMul", "Where", "Softmax", "MatMul"]
    assert np.abs(run(m, **feeds)[0] - run(model(ATTENTION), **feeds)[0]).max() < 1e-6


def test_a_custom_operator_is_refused():
    m = model("(float[2] x) => (float[2] y) { y = Tanh(x) }")
    next(iter(m.graph)).domain = "com.example"
    with pytest.raises(BundleError, match=r"com\.example::Tanh is not a standard ONNX operator"):
        lower_to_fp16(m, fp32_nodes=(), fp16_io=())


def test_the_simulation_sees_an_overflow_that_onnx_runtime_hides():
    """ONNX Runtime's CPU keeps FP32 between FP16 operators; rounding after each is what hardware does."""
    text = "(float[1,2] x) => (float[1,2] y) { a = MatMul(x, up)  b = Relu(a)  y = MatMul(b, down) }"
    m = model(text, up=np.eye(2, dtype=np.float32) * 300, down=np.eye(2, dtype=np.float32) / 256)
    lower_to_fp16(m, fp32_nodes=(), fp16_io=())
    x = np.array([[3, 300]], np.float32)
    assert run(m, x=x)[0].tolist() == [[900 / 256, 90000 / 256]]
    simulate_fp16(m)
    assert not np.isfinite(run(m, x=x)[0]).any()
