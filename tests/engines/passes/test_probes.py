"""Operators that measure a graph while it runs."""

import numpy as np
import pytest

from sovits_engines.passes.probes import add_probes

TEXT = "(float[1,2] x) => (float[1,2] y) { a = MatMul(x, w) y = Tanh(a) }"
WEIGHT = np.array([[3, 0], [-3, 1]], np.float32)


def test_ranges_sums_and_errors_leave_the_graph_beside_its_outputs(parse, compute):
    model = parse(TEXT, w=WEIGHT)
    probes = add_probes(model)
    assert probes.changed
    assert probes.names == ("largest:x", "largest:a", "error:a", "sums:a", "largest:y", "error:y")
    assert [v.name for v in model.graph.outputs] == ["y", *probes.names]
    got = compute(model, x=np.array([[1, 1 + 2**-12]], np.float32))
    assert got["largest:a"] == pytest.approx(1, abs=1e-3)
    assert got["sums:a"] == pytest.approx(6, abs=1e-3)  # the terms cancel, what they reach does not
    assert 0 < got["error:a"] < 1e-3
