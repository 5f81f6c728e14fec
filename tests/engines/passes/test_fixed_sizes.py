"""Sizes that vary made fixed."""

from sovits_engines.passes.fixed_sizes import fix_sizes


def test_named_sizes_are_fixed_everywhere(parse):
    model = parse("(float[batch,n] x) => (float[batch,n] y) { a = Abs(x) y = Neg(a) }")
    assert fix_sizes(model, sizes={"batch": 3})
    (inner,) = (v for node in model.graph for v in node.outputs if v.name == "a")
    for value in (*model.graph.inputs, inner, *model.graph.outputs):
        assert value.shape == (3, "n")
