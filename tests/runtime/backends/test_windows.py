"""Windows over a sequence of frames: nothing is left out, nothing is kept that a window's edge could have changed."""

from itertools import pairwise

import pytest

from sovits_runtime.backends.windows import cover, frames_run

CONTEXT = 11


@pytest.mark.parametrize("lengths", [(64,), (64, 128), (24, 48, 100)])
def test_every_frame_is_kept_once_and_far_from_made_up_edges(lengths):
    for frames in range(min(lengths), 700):
        windows = cover(frames, lengths, CONTEXT)
        assert windows[0].keep == 0
        assert windows[-1].end == frames
        for before, after in pairwise(windows):
            assert before.end == after.keep
        for w in windows:
            assert w.length in lengths
            assert w.start >= 0
            assert w.start + w.length <= frames
            assert w.start == 0 or w.keep - w.start >= CONTEXT
            assert w.start + w.length == frames or w.start + w.length - w.end >= CONTEXT
            assert w.keep < w.end


def test_a_known_length_is_one_window():
    assert [(w.start, w.length) for w in cover(64, (64, 128), CONTEXT)] == [(0, 64)]
    assert [(w.start, w.length) for w in cover(128, (64, 128), CONTEXT)] == [(0, 128)]


def test_what_is_shorter_than_all_has_no_window():
    assert cover(63, (64, 128), CONTEXT) == []
    assert cover(0, (64,), CONTEXT) == []
    assert frames_run(63, (64,), CONTEXT) == 0
    assert frames_run(65, (64,), CONTEXT) == 128
