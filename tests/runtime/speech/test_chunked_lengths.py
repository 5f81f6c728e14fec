"""A vocoder that runs at few lengths gets those, and chunks side by side still equal the whole."""

import numpy as np
import pytest

from sovits_runtime.speech.chunked_vocoder import ChunkedVocoder

CONTEXT, HOP = 3, 2


def vocode(frames):
    """Each sample sees `CONTEXT` frames to either side; beyond the ends it sees zeros, as convolutions do."""
    padded = np.pad(frames[0, 0], CONTEXT)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * CONTEXT + 1)
    return np.repeat((windows * np.arange(1, 2 * CONTEXT + 2)).sum(1), HOP).astype(np.float32)


@pytest.mark.parametrize("lengths", [(), (16,), (12, 32)])
@pytest.mark.parametrize("cuts", [[5], [3, 3, 9, 20], [1, 1, 1, 30], [40, 2, 7], [8, 8, 8, 8]])
def test_chunks_equal_the_whole(lengths, cuts):
    frames = np.random.default_rng(0).integers(-9, 9, (1, 1, sum(cuts))).astype(np.float32)
    seen = []

    def run(window):
        seen.append(window.shape[2])
        return vocode(window)

    chunked, pieces, done = ChunkedVocoder(run, CONTEXT, lengths=lengths), [], 0
    for cut in cuts[:-1]:
        pieces.append(chunked.feed(frames[:, :, done : done + cut]))
        done += cut
    pieces.append(chunked.finish(frames[:, :, done:]))
    assert np.array_equal(np.concatenate(pieces), vocode(frames))
    if lengths and sum(cuts) >= min(lengths):
        assert all(n in lengths for n in seen if n <= max(lengths))


def test_the_end_of_a_sentence_shorter_than_all_lengths_is_its_own():
    frames = np.ones((1, 1, 7), np.float32)
    seen = []
    chunked = ChunkedVocoder(lambda w: seen.append(w.shape[2]) or vocode(w), CONTEXT, lengths=(16,))
    assert np.array_equal(chunked.finish(frames), vocode(frames))
    assert seen == [7]
