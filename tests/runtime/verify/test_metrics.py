"""The measures by which graphs and waveforms are judged."""

from __future__ import annotations

import numpy as np
import pytest

from sovits_runtime.errors import AudioError, ShapeError
from sovits_runtime.verify.metrics import cosine, kl_divergence, log_mel_distance_db, relative_error, snr_db


def noise(count: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def test_relative_error_is_a_share_of_the_largest_number():
    expected = np.array([1.0, -4.0, 2.0], np.float32)
    assert relative_error(expected, expected) == 0.0
    assert relative_error(expected, expected + np.float32([0, 0, 1])) == 0.25
    assert relative_error(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == 0.25
    assert relative_error(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)) == 0.0


def test_relative_error_of_zeros_is_a_number():
    zeros = np.zeros(3, np.float32)
    assert relative_error(zeros, zeros) == 0.0
    assert relative_error(zeros, zeros + np.float32(1e-6)) == pytest.approx(1e3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_relative_error_lets_no_broken_number_and_no_other_shape_pass(bad):
    expected = np.ones(3, np.float32)
    assert relative_error(expected, np.array([1, bad, 1], np.float32)) == np.inf
    assert relative_error(np.array([1, bad, 1], np.float32), expected) == np.inf
    assert relative_error(expected, np.ones(4, np.float32)) == np.inf


def test_cosine_and_kl_divergence():
    a, b = np.array([1.0, 0.0], np.float32), np.array([1.0, 1.0], np.float32)
    assert cosine(a, a) == 1.0
    assert cosine(a, b) == pytest.approx(np.sqrt(0.5))
    assert cosine(a * 0, a * 0) == 1.0
    assert np.isnan(cosine(a, b * np.float32(np.nan)))
    logits = np.log(np.array([0.5, 0.25, 0.25], np.float32))
    assert kl_divergence(logits, logits + np.float32(3)) == pytest.approx(0.0, abs=1e-6)
    assert kl_divergence(logits, np.zeros(3, np.float32)) == pytest.approx(
        np.log(3) - 1.5 * np.log(2), abs=1e-6
    )


def test_snr_counts_the_error():
    wave = noise(5000)
    assert snr_db(wave, wave) == np.inf
    np.testing.assert_allclose(snr_db(wave, wave * np.float32(1.01)), 40.0, atol=1e-3)
    np.testing.assert_allclose(snr_db(wave, np.zeros_like(wave)), 0.0)
    assert snr_db(np.zeros_like(wave), wave) == -np.inf
    assert snr_db(np.zeros_like(wave), np.zeros_like(wave)) == np.inf


def test_log_mel_distance_counts_decibels():
    wave = noise(32000)
    assert log_mel_distance_db(wave, wave, 32000) == 0.0
    # Noise stays above the floor in every band, so ten times the level is 20 dB in each of them.
    np.testing.assert_allclose(log_mel_distance_db(wave, wave / np.float32(10), 32000), 20.0, atol=0.2)
    assert log_mel_distance_db(wave, noise(32000, seed=1), 32000) > 1.0


def test_log_mel_distance_leaves_out_what_is_80_db_below_the_loudest():
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32000) / 32000).astype(np.float32)
    wave[16000:] = 0
    quiet, heard = (wave + np.float32(level) * noise(32000) for level in (1e-4, 1e-2))
    assert log_mel_distance_db(wave, quiet, 32000) < 0.1
    assert log_mel_distance_db(wave, heard, 32000) > 5.0


@pytest.mark.parametrize("measure", [snr_db, lambda a, b: log_mel_distance_db(a, b, 32000)])
def test_measures_refuse_what_cannot_be_compared(measure):
    wave = noise(2000)
    broken = wave.copy()
    broken[7] = np.nan
    with pytest.raises(AudioError, match="tested wave holds 1 NaN"):
        measure(wave, broken)
    with pytest.raises(AudioError, match="reference wave holds 1 NaN"):
        measure(broken, wave)
    with pytest.raises(ShapeError, match=r"\(2000,\) and \(1999,\)"):
        measure(wave, wave[1:])
    with pytest.raises(AudioError, match="empty"):
        measure(wave[:0], wave[:0])
