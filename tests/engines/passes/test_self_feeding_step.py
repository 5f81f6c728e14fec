"""The step that feeds itself: state in, state out, and heads that are not moved."""

from __future__ import annotations

import numpy as np
import pytest

from sovits_engines.passes.self_feeding_step import self_feeding_step
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import BATCH_STEPS, HISTORY, NOISE_ROWS, STOPPED

SPEC = GraphSpec("gpt_step", (TensorSpec("seen", "bool", (1, 5)),), ())
ROWS_SPEC = GraphSpec(
    "gpt_step", (TensorSpec("seen", "bool", ("batch", 5)),), (), (DimRange("batch", 1, 1, 4),)
)
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


def rows_state(steps, drawn, **given):
    """Rows at steps of their own, each with its largest noise at `drawn`."""
    count = len(steps)
    block = np.zeros((count, BATCH_STEPS, 5), np.float32)
    for row, (step, token) in enumerate(zip(steps, drawn, strict=True)):
        block[row, step % BATCH_STEPS, token] = 1
    return {
        "step": np.array(steps), "seen": np.zeros((count, 5), bool), "noise_block": block,
        "noise_place": BATCH_STEPS * np.arange(count), "last": np.full(count, 1000),
        "stopped": np.zeros(count, bool), "history": np.arange(count * BATCH_STEPS).reshape(count, BATCH_STEPS),
        **given,
    }  # fmt: skip


def test_rows_are_each_at_a_step_of_their_own(parse, compute):
    """The second one ends, the third one has ended, the fourth one makes its last token."""
    model = parse(STEP.replace("[1", "[batch"), end=END)
    assert self_feeding_step(model, spec=ROWS_SPEC, rows=True)
    assert not self_feeding_step(model, spec=ROWS_SPEC, rows=True)
    steps, drawn = [70, 4, 9, 12], [2, 3, 1, 4]
    given = rows_state(
        steps, drawn, stopped=np.array([False, False, True, False]), last=np.array([71, 99, 99, 12])
    )
    got = compute(model, **given)
    assert got["next_step"].tolist() == [71, 4, 9, 12]
    assert got["next_stopped"].tolist() == [False, True, True, True]
    expected = given["history"].copy()
    expected[0, 70 % BATCH_STEPS], expected[1, 4], expected[3, 12 % BATCH_STEPS] = 2, STOPPED, 4
    assert got["next_history"].tolist() == expected.tolist()


def test_noise_may_lie_anywhere_in_the_block(parse, compute):
    model = parse(STEP.replace("[1", "[batch"), end=END)
    self_feeding_step(model, spec=ROWS_SPEC, rows=True)
    given = rows_state([5, 6], [1, 4])
    assert compute(model, **given)["next_token"].tolist() == [1, 4]
    turned = {"noise_block": given["noise_block"][::-1], "noise_place": given["noise_place"][::-1]}
    assert compute(model, **(given | turned))["next_token"].tolist() == [1, 4]


def test_heads_of_many_rows_are_cut_and_merged_without_moving(parse, compute):
    shapes = {"parts": np.array([-1, 1, 3, 2, 2]), "width": np.array([-1, 4])}
    model = parse(HEADS.replace("[1", "[batch"), **shapes, one=np.array(1), end=END)
    rows = np.arange(36, dtype=np.float32).reshape(3, 12)
    assert self_feeding_step(model, spec=ROWS_SPEC, rows=True)
    assert "Transpose" not in {n.op_type for n in model.graph}
    got = compute(model, **rows_state([1, 2, 3], [1, 1, 1]), row=rows)
    np.testing.assert_array_equal(got["merged"], rows[:, 4:8])


def test_another_graph_is_refused(parse):
    model = parse("(float[2] x) => (float[2] y) { y = Abs(x) }")
    with pytest.raises(BundleError, match="expected a gpt_step"):
        self_feeding_step(model, spec=SPEC)
