"""Attention written out in smaller operators."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sovits_engines.passes.attention import decompose_attention, has_fused_kernel, is_plain

FLOAT, FLOAT16 = ir.DataType.FLOAT, ir.DataType.FLOAT16
WRITTEN_OUT = ["Mul", "Transpose", "MatMul", "Where", "Softmax", "MatMul"]


def attention(parse, dtype, width, rows, *, mask=None, heads=4):
    """One attention over 24 rows, the last 8 masked away."""
    seen = np.arange(24) < 16
    kind = {FLOAT: "float", FLOAT16: "float16"}[dtype]
    values = np.where(seen, 0, -3e4).astype(mask.numpy()) if mask else seen
    shape = f"1,{heads},24,{width}"
    text = f"""({kind}[1,{heads},{rows},{width}] q, {kind}[{shape}] k, {kind}[{shape}] v)
        => ({kind}[1,{heads},{rows},{width}] y) {{ y = Attention(q, k, v, mask) }}"""
    wide = np.broadcast_to(values, (1, 1, rows if isinstance(rows, int) else 1, 24)).copy()
    return parse(text, mask=wide)


def operators(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize(
    ("dtype", "width", "rows", "fused"),
    [
        (FLOAT16, 32, "n", True),
        (FLOAT16, 8, "n", False),
        (FLOAT16, 8, 1, True),
        (FLOAT16, 33, "n", False),
        (FLOAT16, 264, 1, False),
        (FLOAT, 32, 1, True),
        (FLOAT, 32, "n", False),
        (FLOAT, 32, 2, False),
    ],
)
def test_only_attention_without_a_fused_kernel_is_written_out(parse, dtype, width, rows, fused):
    model = attention(parse, dtype, width, rows)
    assert decompose_attention(model) is not fused
    assert operators(model) == (["Attention"] if fused else WRITTEN_OUT)
    assert has_fused_kernel((1, 4, rows, width), dtype) is fused


def test_one_row_of_few_heads_is_written_out(parse):
    model = attention(parse, FLOAT, 32, 1, heads=3)
    assert decompose_attention(model)
    assert operators(model) == WRITTEN_OUT


@pytest.mark.parametrize("dtype", [FLOAT16, FLOAT])
@pytest.mark.parametrize("boolean", [True, False])
def test_written_out_attention_equals_the_operator(parse, compute, dtype, boolean):
    model = attention(parse, dtype, 32, 3, mask=None if boolean else dtype)
    rng = np.random.default_rng(0)
    arrays = {
        n: rng.standard_normal([1, 4, r, 32]).astype(dtype.numpy())
        for n, r in (("q", 3), ("k", 24), ("v", 24))
    }
    expected = compute(model, **arrays)["y"]
    assert decompose_attention(model, every=True)
    assert operators(model) == [*WRITTEN_OUT[:3], "Where" if boolean else "Add", *WRITTEN_OUT[4:]]
    np.testing.assert_allclose(
        compute(model, **arrays)["y"], expected, atol=2e-3 if dtype == FLOAT16 else 1e-6
    )


def test_a_given_scale_is_kept(parse, compute):
    text = """(float[1,2,3,8] q, float[1,2,5,8] k, float[1,2,5,8] v) => (float[1,2,3,8] y) {
        y = Attention<scale=0.5>(q, k, v)
    }"""
    model = parse(text)
    rng = np.random.default_rng(1)
    arrays = {n: rng.standard_normal((1, 2, r, 8)).astype("f") for n, r in (("q", 3), ("k", 5), ("v", 5))}
    expected = compute(model, **arrays)["y"]
    assert decompose_attention(model)
    assert float(model.graph.initializers["y/scale"].const_value.numpy()) == 0.5
    np.testing.assert_allclose(compute(model, **arrays)["y"], expected, atol=1e-6)


@pytest.mark.parametrize("attribute", ["is_causal = 1", "softcap = 2.0", "qk_matmul_output_mode = 1"])
def test_a_form_that_is_not_exported_stays(parse, attribute):
    text = f"""(float[1,2,3,8] q, float[1,2,5,8] k, float[1,2,5,8] v) => (float[1,2,3,8] y) {{
        y = Attention<{attribute}>(q, k, v)
    }}"""
    model = parse(text)
    (node,) = model.graph
    assert not is_plain(node, node.inputs)
    assert not decompose_attention(model, every=True)
    assert operators(model) == ["Attention"]


def test_types_that_the_file_does_not_tell_are_inferred():
    text = """(float[1,2,3,8] q, float[1,2,5,8] k) => (float[1,2,3,8] y) {
        turned = Neg(q)
        y = Attention(turned, k, k)
    }"""
    model = ir.from_proto(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 24]> g {text}'))
    assert decompose_attention(model)
    assert operators(model) == ["Neg", "Mul", "Transpose", "MatMul", "Softmax", "MatMul"]
