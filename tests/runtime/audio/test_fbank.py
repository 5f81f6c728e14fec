"""Filter bank features against what the original implementation recorded."""

from pathlib import Path

import numpy as np
import pytest

from sovits_runtime.audio import speaker_wave
from sovits_runtime.audio.fbank import fbank
from sovits_runtime.errors import ShapeError

GOLDEN = Path(__file__).parents[2] / "data" / "speaker_golden.npz"


def test_features_are_the_originals():
    with np.load(GOLDEN) as golden:
        got, expected = fbank(golden["wave"]), golden["features"]
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (561, 2)])
def test_only_whole_frames_count(samples, frames):
    assert fbank(np.ones(samples, np.float32)).shape == (frames, 80)


def test_silence_is_the_floor():
    np.testing.assert_allclose(fbank(np.zeros(800, np.float32)), np.log(np.finfo(np.float32).eps), rtol=1e-6)


@pytest.mark.parametrize("shape", [(399,), (1, 16000)])
def test_too_short_or_not_mono_is_refused(shape):
    with pytest.raises(ShapeError, match="n >= 400"):
        fbank(np.zeros(shape, np.float32))


def test_the_wave_is_the_reference_wave_at_16_khz():
    loud = 3 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000).astype(np.float32)
    wave = speaker_wave(np.stack([loud, loud], axis=1), 48000)
    assert wave.shape == (16000,)
    assert 1.45 < np.abs(wave).max() < 1.55, "a peak of 3 is divided by 2"
