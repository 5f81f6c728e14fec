"""FP32 products equal the convolutions and sums that replace them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from sovits_engines.passes.turing import without_fp32_products

RNG = np.random.default_rng(0)
MATRIX = RNG.standard_normal((5, 7)).astype(np.float32)
BIAS = RNG.standard_normal(7).astype(np.float32)


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], name=output, **attributes)


PRODUCTS = {
    "rows": ((4, 5), [node("MatMul", ["x", "w"], "y")]),
    "batched rows": ((2, 4, 5), [node("MatMul", ["x", "w"], "y")]),
    "constant on the left": ((2, 7, 4), [node("MatMul", ["w", "x"], "y")]),
    "gemm": ((4, 7), [node("Gemm", ["x", "w"], "y", transB=1)]),
    "gemm with bias": ((4, 5), [node("Gemm", ["x", "w", "b"], "y")]),
    "transposed": ((4, 7), [node("Transpose", ["w"], "t"), node("MatMul", ["x", "t"], "y")]),
    "cast": (
        (4, 5),
        [node("Cast", ["half"], "c", to=TensorProto.FLOAT), node("MatMul", ["x", "c"], "y")],
    ),
}
VARIABLES = {
    "matrices": ((4, 4), [node("MatMul", ["x", "x"], "y")]),
    "heads by a constant": ((2, 3, 4, 5), [node("MatMul", ["x", "w"], "y")]),
    "heads": (
        (2, 3, 4, 5),
        [node("Transpose", ["x"], "t", perm=[0, 1, 3, 2]), node("MatMul", ["x", "t"], "y")],
    ),
}
KEPT = {
    "scaled": ((4, 5), [node("Gemm", ["x", "w"], "y", alpha=2.0)]),
    "turned": ((5, 4), [node("Gemm", ["x", "w"], "y", transA=1)]),
}


def make(shape, nodes, kind=TensorProto.FLOAT):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    constants = {"w": MATRIX.astype(dtype), "b": BIAS.astype(dtype), "half": MATRIX.astype(np.float16)}
    used = {name for n in nodes for name in n.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, [None] * len(shape))],
        [numpy_helper.from_array(v, k) for k, v in constants.items() if k in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=11)
    return ir.from_proto(model)


def answer(model, x):
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize("case", PRODUCTS | VARIABLES)
def test_what_stands_in_equals_the_product(case, tmp_path):
    shape, nodes = (PRODUCTS | VARIABLES)[case]
    model = make(shape, nodes)
    x = RNG.standard_normal(shape).astype(np.float32)
    expected = answer(model, x)
    assert without_fp32_products(model, folder=tmp_path)
    assert not {"MatMul", "Gemm"} & {n.op_type for n in model.graph}
    np.testing.assert_allclose(answer(model, x), expected, atol=1e-5)


@pytest.mark.parametrize("case", KEPT)
def test_other_products_stay(case, tmp_path):
    model = make(*KEPT[case])
    assert not without_fp32_products(model, folder=tmp_path)
    assert {n.op_type for n in model.graph} == {"Gemm"}


def test_fp16_products_stay(tmp_path):
    model = make(*PRODUCTS["rows"], kind=TensorProto.FLOAT16)
    assert not without_fp32_products(model, folder=tmp_path)
    assert {n.op_type for n in model.graph} == {"MatMul"}


def test_weights_in_files_are_read(tmp_path):
    model = ir.to_proto(make(*PRODUCTS["rows"]))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    outside = ir.load(tmp_path / "m.onnx")
    assert isinstance(outside.graph.initializers["w"].const_value, ir.ExternalTensor)
    assert without_fp32_products(outside, folder=tmp_path)
    kernel = outside.graph.initializers["y/kernel"].const_value.numpy()
    np.testing.assert_array_equal(kernel[:, :, 0], MATRIX.T)
