"""One operator by itself."""

import numpy as np

from sovits_engines.passes.only_node import only_node

TEXT = """(float[1,4,n] x) => (float[1,4,m] y) {
    a = Conv(x, w1)
    b = Conv(a, w2)
    y = Relu(b)
}"""


def test_the_others_go_with_their_weights(parse, compute):
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal((4, 4, 1)).astype(np.float32) for name in ("w1", "w2")}
    model = parse(TEXT, **weights)
    assert only_node(model, output="b", shapes={"a": (1, 4, 6), "b": (1, 4, 6)})
    assert [n.op_type for n in model.graph] == ["Conv"]
    assert list(model.graph.initializers) == ["w2"]
    assert [v.name for v in (*model.graph.inputs, *model.graph.outputs)] == ["a", "b"]
    a = rng.standard_normal((1, 4, 6)).astype(np.float32)
    np.testing.assert_allclose(
        compute(model, a=a)["b"][0], weights["w2"][:, :, 0] @ a[0], rtol=1e-5, atol=1e-6
    )
