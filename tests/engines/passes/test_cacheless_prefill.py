"""The prefill that hands out rows in place of caches."""

from __future__ import annotations

import numpy as np
import pytest

from sovits_engines.passes.cacheless_prefill import cacheless_prefill
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec
from sovits_runtime.errors import BundleError

CACHE = (1, 2, "cache_size", 4)
SPEC = GraphSpec(
    "gpt_prefill",
    (TensorSpec("x", "float32", (1, 2, "n", 4)), TensorSpec("k_cache", "float32", CACHE)),
    (TensorSpec("k_cache_out", "float32", CACHE), TensorSpec("y", "float32", (1, 2, "n", 4))),
    (DimRange("n", 1, 4, 8), DimRange("cache_size", 8, 8, 16)),
    (("k_cache", "k_cache_out"),),
)
HEAD = "(float[1,2,n,4] x, float[1,2,cache_size,4] k_cache) => (float[1,2,cache_size,4] k_cache_out, float[1,2,n,4] y)"


def test_rows_in_place_of_a_cache(parse, compute):
    text = f"{HEAD} {{ rows = Abs(x) k_cache_out = TensorScatter(k_cache, rows, start) y = Neg(rows) }}"
    model = parse(text, start=np.zeros(1, np.int64), unread=np.zeros(1, np.float32))
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 4)).astype(np.float32)
    whole = compute(model, x=x, k_cache=np.zeros((1, 2, 8, 4), np.float32))
    assert cacheless_prefill(model, spec=SPEC)
    assert [v.name for v in model.graph.inputs] == ["x"]
    assert model.graph.outputs[0].shape == (1, 2, "rows", 4)
    assert not model.graph.initializers
    given = compute(model, x=x)
    np.testing.assert_array_equal(given["k_cache_out"], whole["k_cache_out"][:, :, :3])
    np.testing.assert_array_equal(given["y"], whole["y"])


def test_a_cache_that_is_read_is_refused(parse):
    text = f"{HEAD} {{ k_cache_out = TensorScatter(k_cache, x, start) z = ReduceMax(k_cache) y = Add(x, z) }}"
    model = parse(text, start=np.zeros(1, np.int64))
    with pytest.raises(BundleError, match="used for more than being filled"):
        cacheless_prefill(model, spec=SPEC)
    assert [n.op_type for n in model.graph] == ["TensorScatter", "ReduceMax", "Add"]
