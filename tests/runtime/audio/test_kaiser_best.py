"""The resampler that the original has before HuBERT since v5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sovits_runtime.audio import HUBERT_TAIL, hubert_wave, kaiser_best
from sovits_runtime.audio.kaiser_best import resample_kaiser_best
from sovits_runtime.errors import ShapeError

# What the official code made of noise on its way to HuBERT.
OFFICIAL = Path(__file__).parents[2] / "data" / "resample_kaiser_best.npz"
RATES = (44100, 24000, 8000)


def tone(seconds: float, rate: int, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
def test_equals_the_official_code(rate):
    golden = np.load(OFFICIAL)
    wave, expected = golden[f"in_resample_{rate}"], golden[f"resample16_{rate}"]
    out = resample_kaiser_best(wave, from_rate=rate, to_rate=16000)
    assert (out.dtype, out.shape) == (np.float32, expected.shape)
    assert np.abs(expected).max() > 0.4
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6)  # float32 sums in another order
    padded = hubert_wave(wave, rate, official=True)
    np.testing.assert_array_equal(padded, np.pad(out, (0, HUBERT_TAIL)))


@pytest.mark.parametrize("rate", RATES)
def test_the_other_resampler_would_be_found(rate):
    golden = np.load(OFFICIAL)
    wave, expected = golden[f"in_resample_{rate}"], golden[f"resample16_{rate}"]
    other = hubert_wave(wave, rate)[: len(expected)]
    assert np.abs(other - expected).max() > 1e-3


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_tone_stays_a_tone(rate):
    out = resample_kaiser_best(tone(1, rate), from_rate=rate, to_rate=16000)
    np.testing.assert_allclose(out[200:-200], tone(1, 16000)[200 : len(out) - 200], atol=2e-3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 440, 441, 442])
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_lengths_are_rounded_down(count, rate):
    out = resample_kaiser_best(np.ones(count, np.float32), from_rate=rate, to_rate=16000)
    assert len(out) == int(count * (16000 / rate))


def test_blocks_join_without_a_seam(monkeypatch):
    wave = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    whole = resample_kaiser_best(wave, from_rate=44100, to_rate=16000)
    monkeypatch.setattr(kaiser_best, "_BLOCK_ELEMENTS", 1000)
    np.testing.assert_array_equal(resample_kaiser_best(wave, from_rate=44100, to_rate=16000), whole)


def test_16_khz_stays_as_it_is_and_channels_are_averaged_first():
    wave = tone(0.1, 16000)
    assert resample_kaiser_best(wave, from_rate=16000, to_rate=16000) is wave
    np.testing.assert_array_equal(hubert_wave(wave, 16000, official=True), hubert_wave(wave, 16000))
    both = np.stack([tone(0.1, 44100), np.zeros(4410, np.float32)], axis=1)
    np.testing.assert_allclose(
        hubert_wave(both, 44100, official=True), hubert_wave(both[:, 0] / 2, 44100, official=True), atol=1e-7
    )
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        resample_kaiser_best(np.zeros((2, 3), np.float32), from_rate=8000, to_rate=16000)
