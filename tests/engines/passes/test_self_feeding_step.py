"""The step that feeds itself: state in, state out, and heads that are not moved."""

from __future__ import annotations

import numpy as np
import pytest

from sovits_engines.passes.self_feeding_step import self_feeding_step
from sovits_runtime.bundle.graph_spec import GraphSpec, TensorSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import HISTORY, NOISE_ROWS, STOPPED

SPEC = GraphSpec("gpt_step", (TensorSpec("seen", "bool", (1, 5)),), ())
STEP = """(float[1,5] noise, int64[1] step, bool[1,5] seen)
    => (int64[1] next_token, bool[1] stop, bool[1,5] next_seen) {
    next_token = ArgMax<axis=1, keepdims=0>(noise)
    stop = Equal(next_token, end)
    next_seen = Identity(seen)
}"""
HEADS = """(float[1,5] noise, int64[1] step, bool[1,5] seen, float[1,12] row)
    => (int64[1] next_token, bool[1] stop, bool[1,5] next_seen, float[1,4] merged) {
    cut = Reshape(row, parts)
    moved = Transpose<perm=[2,0,3,1,4]>(cut)
    keys = Gather<axis=0>(moved, one)
    back = Transpose<perm=[0,2,1,3]>(keys)
    merged = Reshape(back, width)
    next_token = ArgMax<axis=1, keepdims=0>(noise)
    stop = Equal(next_token, end)
    next_seen = Identity(seen)
}"""
END = np.array([3])


def state(step, drawn):
    """A block of noise whose row for the step has its largest number at `drawn`."""
    block = np.zeros((NOISE_ROWS, 5), np.float32)
    block[step % NOISE_ROWS, drawn] = 1
    return {
        "step": np.array([step]), "seen": np.zeros((1, 5), bool), "noise_block": block,
        "stopped": np.zeros(1, bool), "history": np.arange(HISTORY)[None],
    }  # fmt: skip


@pytest.mark.parametrize(("drawn", "said"), [(2, 2), (3, STOPPED)])
def test_a_step_writes_what_it_drew_and_counts_on(parse, compute, drawn, said):
    model = parse(STEP, end=END)
    assert self_feeding_step(model, spec=SPEC)
    assert [v.name for v in model.graph.inputs] == ["step", "seen", "noise_block", "stopped", "history"]
    got = compute(model, **state(70, drawn))
    assert "stop" not in got
    assert got["next_step"] == [71]
    assert got["next_stopped"] == [said == STOPPED]
    expected = np.arange(HISTORY)[None]
    expected[0, 70] = said
    np.testing.assert_array_equal(got["next_history"], expected)


def test_the_end_sticks(parse, compute):
    model = parse(STEP, end=END)
    self_feeding_step(model, spec=SPEC)
    got = compute(model, **{**state(4, 2), "stopped": np.ones(1, bool)})
    assert got["next_stopped"] == [True]
    assert got["next_history"][0, 4] == STOPPED


def test_heads_of_one_row_are_cut_and_merged_without_moving(parse, compute):
    shapes = {"parts": np.array([1, 1, 3, 2, 2]), "width": np.array([1, 4])}
    model = parse(HEADS, **shapes, one=np.array(1), end=END)
    row = np.arange(12, dtype=np.float32)[None]
    assert self_feeding_step(model, spec=SPEC)
    assert "Transpose" not in {n.op_type for n in model.graph}
    np.testing.assert_array_equal(compute(model, **state(0, 1), row=row)["merged"], row[:, 4:8])


def test_another_graph_is_refused(parse):
    model = parse("(float[2] x) => (float[2] y) { y = Abs(x) }")
    with pytest.raises(BundleError, match="expected a gpt_step"):
        self_feeding_step(model, spec=SPEC)
