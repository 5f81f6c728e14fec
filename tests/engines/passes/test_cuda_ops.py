"""Graphs in the older operators that ONNX Runtime has CUDA kernels for."""

from __future__ import annotations

import numpy as np

from sovits_engines.passes.cuda_ops import for_cuda
from sovits_runtime.bundle.graph_spec import GraphSpec, TensorSpec

CACHE = TensorSpec("k_cache", "float32", (1, 2, 8, 4))
OUT = TensorSpec("k_cache_out", "float32", (1, 2, 8, 4))
SPEC = GraphSpec("gpt_step", (CACHE,), (OUT,), (), (("k_cache", "k_cache_out"),))
TEXT = """(float[1,2,8,4] k_cache, float[1,2,8,4] v_cache, float[1,2,1,4] row, int64[1] place)
    => (float[1,2,8,4] k_cache_out, float[1,2,8,4] v_cache_out) {
    k_cache_out = TensorScatter(k_cache, row, place)
    v_cache_out = TensorScatter(v_cache, row, place)
}"""


def test_a_row_is_scattered_as_before(parse, compute):
    model = parse(TEXT)
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal((1, 2, 8, 4)).astype("f") for name in ("k_cache", "v_cache")}
    arrays |= {"row": rng.standard_normal((1, 2, 1, 4)).astype("f"), "place": np.array([5])}
    expected = compute(model, **arrays)
    assert for_cuda(model, spec=SPEC)
    # The place is written out once for both caches.
    assert [n.op_type for n in model.graph] == ["Reshape", "Expand", "ScatterElements", "ScatterElements"]
    assert (model.opset_imports, model.ir_version) == ({"": 18}, 10)
    for name, got in compute(model, **arrays).items():
        np.testing.assert_array_equal(got, expected[name])


def test_attention_is_written_out(parse):
    text = "(float16[1,4,1,32] q, float16[1,4,8,32] k) => (float16[1,4,1,32] y) { y = Attention(q, k, k) }"
    model = parse(text)
    assert for_cuda(model, spec=SPEC)
    assert "Attention" not in {n.op_type for n in model.graph}
