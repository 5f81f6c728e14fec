"""Mel of the reference, and joins of overlapping waves, beside the official ones."""

from pathlib import Path

import numpy as np
import pytest

from sovits_runtime.audio.mel import denormed, normed, reference_mel
from sovits_runtime.audio.resampling import resample
from sovits_runtime.bundle.model_spec import MODEL_SPECS
from sovits_runtime.errors import AudioError, ShapeError
from sovits_runtime.speech.sola import SEARCH, sola_join

GOLDEN = np.load(Path(__file__).parents[2] / "data" / "mel_sola_golden.npz")


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_mel_is_the_official_one(version):
    flow = MODEL_SPECS[version].flow
    mel = reference_mel(GOLDEN[f"{version}_wave"], flow.mel_sample_rate, flow=flow)
    np.testing.assert_allclose(mel, GOLDEN[f"{version}_mel"], atol=5e-5)


def test_mel_of_a_stereo_recording_of_another_rate_keeps_its_peaks():
    flow = MODEL_SPECS["v3"].flow
    wave = 1.5 * np.sin(np.arange(8000, dtype=np.float32) / 7)
    stereo = np.stack([wave + 0.1, wave - 0.1], axis=1).astype(np.float32)
    at_24k = resample(wave.astype(np.float32), from_rate=16000, to_rate=24000)
    expected = reference_mel(at_24k, 24000, flow=flow)
    np.testing.assert_allclose(reference_mel(stereo, 16000, flow=flow), expected, atol=1e-3)
    assert np.exp(expected).max() > np.exp(reference_mel(at_24k / 1.5, 24000, flow=flow)).max() * 1.4


def test_too_short_a_recording_has_no_mel():
    with pytest.raises(AudioError, match="longer recording"):
        reference_mel(np.zeros(300, np.float32), 24000, flow=MODEL_SPECS["v3"].flow)


def test_normed_mel_spans_minus_one_to_one():
    ends = np.array([-12.0, -5.0, 2.0], np.float32)
    np.testing.assert_allclose(normed(ends), [-1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(denormed(normed(ends)), ends, atol=1e-5)


def test_join_is_the_official_one():
    joined = sola_join([GOLDEN["sola_a"], GOLDEN["sola_b"]], 500)
    np.testing.assert_allclose(joined, GOLDEN["sola"], atol=1e-6)


def test_pieces_of_one_wave_come_together_again():
    wave = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    pieces = [wave[:1500], wave[1400 - 50 : 2900], wave[2700 - 77 :]]
    np.testing.assert_allclose(sola_join(pieces, 100)[:1400], wave[:1400], atol=1e-6)
    joined = sola_join(pieces[:2], 100)
    np.testing.assert_allclose(joined, wave[:2900], atol=1e-5)


def test_one_piece_stays_as_it_is():
    piece = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(sola_join([piece], 100), piece)


@pytest.mark.parametrize("pieces", [[], [np.zeros(900), np.zeros(100 + SEARCH - 1)]])
def test_pieces_that_cannot_be_joined_are_refused(pieces):
    with pytest.raises(ShapeError, match="pieces"):
        sola_join(pieces, 100)
