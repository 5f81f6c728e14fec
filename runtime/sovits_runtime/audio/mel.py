"""The mel spectrogram of a reference recording, as v3 to v5 read it, and its scale inside the flow matching."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import mono
from sovits_runtime.audio.resampling import resample
from sovits_runtime.audio.spectrogram import log_mel
from sovits_runtime.bundle.model_spec import FlowSpec

LOWEST, HIGHEST = np.float32(-12.0), np.float32(2.0)

Floats = NDArray[np.float32]


def reference_mel(samples: Floats, rate: int, *, flow: FlowSpec) -> Floats:
    """Computes the mel of a recording; unlike in the wave for the speaker embedding, its loud peaks stay as they are.

    Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS.using_vocoder_synthesis.

    Args:
        samples: [n] or [n, channels] float32.
        rate: Sample rate, in Hz.
        flow: Rate and sizes of the mel.

    Returns:
        [bands, frames] float32, ln of magnitudes.

    Raises:
        AudioError: The recording is too short for one frame.
    """
    wave = resample(mono(samples), from_rate=rate, to_rate=flow.mel_sample_rate)
    return log_mel(wave, flow.mel_sample_rate, n_mels=flow.mel_bands, n_fft=flow.mel_n_fft, hop=flow.mel_hop)


def normed(mel: Floats) -> Floats:
    """Maps ln magnitudes -12..2 to -1..1, as flow matching reads them."""
    return (mel - LOWEST) / (HIGHEST - LOWEST) * np.float32(2) - np.float32(1)


def denormed(mel: Floats) -> Floats:
    """Maps -1..1 back to ln magnitudes, as vocoders read them; the inverse of `normed`."""
    return (mel + np.float32(1)) / np.float32(2) * (HIGHEST - LOWEST) + LOWEST
