from __future__ import annotations

import numpy as np
import pytest

from sovits_runtime.audio.spectrogram import (
    hz_from_mel,
    linear_spectrogram,
    log_mel,
    mel_filterbank,
    mel_from_hz,
)
from sovits_runtime.errors import AudioError, ShapeError


def noise(count: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def torch_spectrogram(wave: np.ndarray, n_fft: int, hop: int, win: int) -> np.ndarray:
    torch = pytest.importorskip("torch")
    pad = (n_fft - hop) // 2
    padded = torch.nn.functional.pad(torch.from_numpy(wave)[None, None].double(), (pad, pad), mode="reflect")
    window = torch.hann_window(win, dtype=torch.float64)
    spectrum = torch.stft(padded[0], n_fft, hop, win, window, center=False, return_complex=True)[0]
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-8).numpy()


# 705 is the shortest wave that can be reflected, 1280 ends a frame, 400000 takes two blocks.
@pytest.mark.parametrize("count", [705, 1279, 1280, 1281, 7111, 400000])
def test_equals_torch(count):
    wave = noise(count)
    out = linear_spectrogram(wave)
    assert out.dtype == np.float32
    assert out.shape == (1025, 1 + (count + 1408 - 2048) // 640)
    np.testing.assert_allclose(out, torch_spectrogram(wave, 2048, 640, 2048), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("n_fft", "hop", "win"), [(1024, 256, 1024), (1280, 320, 1280), (512, 128, 400)])
def test_equals_torch_at_other_sizes(n_fft, hop, win):
    wave = noise(4000)
    out = linear_spectrogram(wave, n_fft=n_fft, hop=hop, win=win)
    np.testing.assert_allclose(out, torch_spectrogram(wave, n_fft, hop, win), rtol=1e-6, atol=1e-7)


def test_silence_is_the_floor():
    np.testing.assert_allclose(linear_spectrogram(np.zeros(2000, np.float32)), 1e-4)


def test_a_wave_too_short_to_reflect_is_refused():
    with pytest.raises(AudioError, match="704 samples, expected at least 705"):
        linear_spectrogram(noise(704))
    with pytest.raises(ShapeError, match=r"shape \(1, 2000\)"):
        linear_spectrogram(noise(2000)[None])
    with pytest.raises(ShapeError, match="hop 0"):
        linear_spectrogram(noise(2000), hop=0)


def test_mel_scale_has_known_points_and_an_inverse():
    hz = np.array([0.0, 200 / 3, 500.0, 999.9, 1000.0, 6400.0, 16000.0])
    mel = mel_from_hz(hz)
    np.testing.assert_allclose(mel[[0, 1, 4, 5]], [0, 1, 15, 42])
    np.testing.assert_allclose(hz_from_mel(mel), hz, atol=1e-9)


def test_mel_bands_are_triangles_of_equal_area():
    rate, n_fft = 24000, 1024
    bands = mel_filterbank(rate, n_fft, n_mels=100)
    assert bands.shape == (100, 513)
    # The upper bands are wide enough for the sum over bins to show their area of 1.
    np.testing.assert_allclose(bands[60:].sum(axis=1) * rate / n_fft, 1.0, rtol=2e-2)
    assert np.all(np.diff(bands.argmax(axis=1)) >= 0)
    # Peaks of librosa.filters.mel(sr=24000, n_fft=1024, n_mels=100), as librosa 0.11 gives them in float64.
    expected = [0.020566547589908998, 0.012807677472633729, 0.002407384581598011]
    np.testing.assert_allclose(bands[[0, 50, 99], [1, 90, 494]], expected, rtol=1e-12)


def test_log_mel_of_a_tone_peaks_in_its_band():
    rate = 32000
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)
    mel = log_mel(tone, rate)
    assert mel.shape == (80, 125)
    centres = hz_from_mel(np.linspace(0, float(mel_from_hz(np.array(16000.0))), 82))[1:-1]
    assert np.argmax(mel[:, 60]) == np.argmin(np.abs(centres - 1000))
    np.testing.assert_allclose(log_mel(np.zeros(rate, np.float32), rate), np.log(1e-5), rtol=1e-6)
