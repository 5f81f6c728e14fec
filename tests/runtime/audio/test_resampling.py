from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sovits_runtime.audio import resampling
from sovits_runtime.audio.resampling import resample
from sovits_runtime.errors import ShapeError

# Output of torchaudio 2.11 `transforms.Resample(from, to)` on 500 noise samples.
TORCHAUDIO = Path(__file__).parents[2] / "data" / "resample_torchaudio.npz"


def direct(wave: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """The formula, one output sample after the other, over all input samples, in float64."""
    scale = 0.99 * min(1.0, to_rate / from_rate)
    position = np.arange(wave.size, dtype=np.float64)
    out = []
    for m in range(math.ceil(wave.size * to_rate / from_rate)):
        crossing = scale * (position - m * from_rate / to_rate)
        window = np.where(np.abs(crossing) < 6, np.cos(np.pi * crossing / 12) ** 2, 0.0)
        out.append(np.sum(wave * scale * np.sinc(crossing) * window))
    return np.array(out)


@pytest.mark.parametrize("rates", [(44100, 32000), (48000, 32000), (22050, 32000), (32000, 16000)])
def test_equals_torchaudio(rates):
    golden = np.load(TORCHAUDIO)
    wave = golden["wave_int16"].astype(np.float32) / 32768
    expected = golden[f"{rates[0]}_{rates[1]}"]
    out = resample(wave, from_rate=rates[0], to_rate=rates[1])
    assert out.dtype == np.float32
    assert out.shape == expected.shape
    assert np.abs(expected).max() > 0.3
    # Float32 sums in another order; the rounded phases alone would make 1e-5.
    np.testing.assert_allclose(out, expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize(
    "rates", [(44100, 32000), (8000, 32000), (96000, 32000), (44101, 32000), (32000, 24000)]
)
@pytest.mark.parametrize("count", [1, 2, 13, 441, 700])
def test_equals_the_formula(rates, count):
    wave = np.random.default_rng(count).uniform(-1, 1, count).astype(np.float32)
    out = resample(wave, from_rate=rates[0], to_rate=rates[1])
    expected = direct(wave.astype(np.float64), *rates)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out, expected, rtol=0, atol=3e-5)


def test_blocks_join_without_a_seam(monkeypatch):
    wave = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    whole = resample(wave, from_rate=44100, to_rate=32000)
    monkeypatch.setattr(resampling, "_BLOCK_ELEMENTS", 1000)
    np.testing.assert_array_equal(resample(wave, from_rate=44100, to_rate=32000), whole)


def test_keeps_a_tone_and_removes_what_cannot_be_held():
    time = np.arange(48000) / 48000
    low = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    high = np.sin(2 * np.pi * 20000 * time).astype(np.float32)
    inner = slice(100, -100)
    expected = np.sin(2 * np.pi * 1000 * np.arange(32000) / 32000)
    assert np.abs(resample(low, from_rate=48000, to_rate=32000) - expected)[inner].max() < 1e-2
    assert np.abs(resample(high, from_rate=48000, to_rate=32000))[inner].max() < 1e-2


def test_equal_rates_and_empty_waves():
    wave = np.ones(5, np.float32)
    np.testing.assert_array_equal(resample(wave, from_rate=32000, to_rate=32000), wave)
    assert resample(wave[:0], from_rate=44100, to_rate=32000).shape == (0,)


@pytest.mark.parametrize(
    ("wave", "from_rate", "to_rate", "message"),
    [
        (np.ones((2, 5), np.float32), 44100, 32000, r"shape \(2, 5\)"),
        (np.ones(5, np.float32), 0, 32000, "rate 0"),
        (np.ones(5, np.float32), 44100, -1, "rate -1"),
        (np.ones(5, np.float32), 44100.5, 32000, "rate 44100.5"),
    ],
)
def test_says_what_is_wrong(wave, from_rate, to_rate, message):
    with pytest.raises(ShapeError, match=message):
        resample(wave, from_rate=from_rate, to_rate=to_rate)
