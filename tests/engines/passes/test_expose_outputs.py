"""Inner values given out."""

import numpy as np

from sovits_engines.passes.expose_outputs import expose_outputs

TEXT = "(float[2] x) => (float[2] y) { a = Abs(x) b = Neg(a) y = Exp(b) }"


def test_inner_values_follow_the_outputs(parse, compute):
    model = parse(TEXT)
    assert expose_outputs(model, values=["b", "x", "y", "a", "b"])
    assert [v.name for v in model.graph.outputs] == ["y", "b", "a"]
    got = compute(model, x=np.array([1, -2], np.float32))
    np.testing.assert_array_equal(got["a"], [1, 2])
    np.testing.assert_array_equal(got["b"], [-1, -2])
