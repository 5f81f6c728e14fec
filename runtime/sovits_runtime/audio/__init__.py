"""Speech as an `Audio` value that can be saved, and the waves that the model reads from a reference recording."""

from __future__ import annotations

import io
import logging
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio.files import check_finite, libsndfile_reason
from sovits_runtime.audio.kaiser_best import resample_kaiser_best
from sovits_runtime.audio.resampling import resample
from sovits_runtime.bundle.files import write_file
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.errors import AudioError, ShapeError

logger = logging.getLogger(__name__)

HUBERT_RATE = ModelSpec.ssl_sample_rate
REFERENCE_RATE = ModelSpec.reference_sample_rate
SPEAKER_RATE = 16000
REFERENCE_MIN_S = 3.0
REFERENCE_MAX_S = 10.0
HUBERT_TAIL = 9600
"""Zeros behind the HuBERT wave, in samples at 16 kHz (0.6 s)."""

_BLOCK = 1 << 15
_FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
_SILENCE_PEAK = 1e-4
_QUIET_PEAK = 1e-2
_CLIPPED_LEVEL = 0.999
_CLIPPED_SHARE = 1e-3


@dataclass(frozen=True, eq=False)
class Audio:
    """Mono speech with its rate.

    Attributes:
        samples: [n] float32, nominally in [-1, 1]; finite.
        sample_rate: In Hz.

    Raises:
        ShapeError: `samples` is not a one-dimensional float32 array, or the rate is not above 0.
        AudioError: `samples` holds NaN or infinity.
    """

    samples: NDArray[np.float32] = field(repr=False)
    sample_rate: int

    def __post_init__(self) -> None:
        shape, dtype = np.shape(self.samples), getattr(self.samples, "dtype", type(self.samples).__name__)
        if len(shape) != 1 or dtype != np.float32:
            raise ShapeError(f"audio: got samples of shape {shape} and type {dtype}, expected [n] float32")
        if self.sample_rate < 1:
            raise ShapeError(
                f"audio: got the sample rate {self.sample_rate}, expected a number of Hz above 0"
            )
        check_finite(self.samples, "audio", "check the model that made it")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def to_pcm16(self) -> NDArray[np.int16]:
        """Returns 16-bit samples [n]: 32768 times the sample, rounded to nearest, limited to -32768..32767.

        Dividing by 32768 (what audio readers do) gives the samples back to within half a step. Loud samples
        are cut, never wrapped; the original truncates instead, and turns exactly 1.0 into -32768.
        """
        scaled = np.rint(self.samples.astype(np.float64) * 32768.0)
        return np.clip(scaled, -32768, 32767).astype(np.int16)

    def encode(self, file_format: str = "wav") -> bytes:
        """Returns the content of an audio file: "wav" and "flac" (16 bit), "ogg" (Vorbis) or "mp3".

        Raises:
            AudioError: Unknown format, no samples, or a rate the format does not know.
        """
        import soundfile

        if file_format not in _FORMATS:
            known = ", ".join(_FORMATS)
            raise AudioError(f"audio: cannot write format {file_format!r}, expected one of {known}")
        if len(self.samples) == 0:
            raise AudioError("audio: got no samples to write, expected at least one")
        pcm, content = self.to_pcm16(), io.BytesIO()
        try:
            with soundfile.SoundFile(
                content, "w", self.sample_rate, 1, subtype=_FORMATS[file_format], format=file_format.upper()
            ) as file:
                # libsndfile overflows its stack when minutes of Vorbis arrive in one call.
                for start in range(0, len(pcm), _BLOCK):
                    file.write(pcm[start : start + _BLOCK])
        except soundfile.SoundFileError as error:
            raise AudioError(
                f"audio: cannot write {file_format} at {self.sample_rate} Hz ({libsndfile_reason(error)}); "
                "save as .wav instead"
            ) from error
        return content.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file whose suffix names the format (see `encode`; none: WAV), whole or not at all.

        Raises:
            AudioError: Unknown suffix, no samples, or the file cannot be written.
        """
        target = Path(path)
        content = self.encode(target.suffix.lower().removeprefix(".") or "wav")
        try:
            with write_file(target) as file:
                file.write(content)
        except OSError as error:
            reason = error.strerror or error
            raise AudioError(
                f"{target}: cannot be written ({reason}); check the folder and its rights"
            ) from error

    @classmethod
    def concatenate(cls, parts: Iterable[Audio]) -> Audio:
        """Joins audio of one rate end to end.

        Raises:
            AudioError: No parts, or parts of different rates.
        """
        pieces = list(parts)
        rates = sorted({piece.sample_rate for piece in pieces})
        if len(rates) != 1:
            got = f"sample rates {rates}" if rates else "no parts"
            raise AudioError(f"audio: got {got} to join, expected one or more parts of the same rate")
        return cls(np.concatenate([piece.samples for piece in pieces]), rates[0])


def check_reference(samples: NDArray[np.float32], rate: int) -> None:
    """Checks that a recording can serve as a reference; logs a warning when it is quiet or clipped.

    Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS._set_prompt_semantic (48000 to 160000 samples at 16 kHz).

    Args:
        samples: [n] or [n, channels] float32.
        rate: Sample rate, in Hz.

    Raises:
        AudioError: Shorter than 3 s, longer than 10 s, or silent.
    """
    wave = mono(samples)
    duration_s = len(wave) / rate
    count = _hubert_len(len(wave), rate)
    if not REFERENCE_MIN_S * HUBERT_RATE <= count <= REFERENCE_MAX_S * HUBERT_RATE:
        remedy = "use a longer recording" if duration_s < REFERENCE_MAX_S else "cut it, with its transcript"
        raise AudioError(
            f"reference audio: got {duration_s:.2f} s ({count} samples at 16 kHz), "
            f"expected {REFERENCE_MIN_S:g} to {REFERENCE_MAX_S:g} s; {remedy}"
        )
    peak = float(np.max(np.abs(wave)))
    if peak < _SILENCE_PEAK:
        cancelled = float(np.max(np.abs(samples))) >= _SILENCE_PEAK
        what = "channels that cancel each other out" if cancelled else "silence"
        raise AudioError(
            f"reference audio: got {what} (peak {peak:.1e} of 1.0), expected speech; use another recording"
        )
    if peak < _QUIET_PEAK:
        logger.warning(
            "reference audio is very quiet (peak %.4f of 1.0); the voice may come out poorly", peak
        )
    clipped = float(np.mean(np.abs(samples) >= _CLIPPED_LEVEL))
    if clipped > _CLIPPED_SHARE:
        logger.warning("reference audio is clipped (%.1f %% of its samples at full scale)", 100.0 * clipped)


def mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Averages the channels.

    Args:
        samples: [n] or [n, channels] float32.

    Returns:
        [n] float32.

    Raises:
        ShapeError: Another number of dimensions, or no channel.
    """
    if np.ndim(samples) == 1:
        return np.asarray(samples, np.float32)
    if np.ndim(samples) != 2 or np.shape(samples)[1] == 0:
        raise ShapeError(f"audio: got samples of shape {np.shape(samples)}, expected [n] or [n, channels]")
    averaged: NDArray[np.float32] = np.mean(samples, axis=1, dtype=np.float32)
    return averaged


def hubert_wave(samples: NDArray[np.float32], rate: int, *, official: bool = False) -> NDArray[np.float32]:
    """Makes HuBERT's input: 16 kHz mono, with 9600 zeros behind.

    Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS._set_prompt_semantic: librosa.load, which has soxr HQ resample. The
    same filter made what the models were trained on. Since v5 the original speaks with another one.

    Args:
        samples: [n] or [n, channels] float32.
        rate: Sample rate, in Hz.
        official: Resample as the original does since v5.

    Returns:
        [ceil(n * 16000 / rate) + 9600] float32; where it is resampled as the original does, rounded down.

    Raises:
        ShapeError: `samples` is of another rank.
    """
    wave = mono(samples)
    if official:
        wave = resample_kaiser_best(wave, from_rate=rate, to_rate=HUBERT_RATE)
    elif rate != HUBERT_RATE:
        wave = _resample_soxr(wave, rate)
    return np.pad(wave, (0, HUBERT_TAIL))


def _resample_soxr(wave: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    import soxr

    count = _hubert_len(len(wave), rate)
    resampled: NDArray[np.float32] = soxr.resample(wave, rate, HUBERT_RATE, quality="HQ")[:count]
    return np.pad(resampled, (0, count - len(resampled)))


def reference_wave(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Makes the wave of the reference spectrogram: 32 kHz mono; a peak above 1 is divided by min(2, peak).

    Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS._get_ref_spec.

    Args:
        samples: [n] or [n, channels] float32.
        rate: Sample rate, in Hz.

    Returns:
        [ceil(n * 32000 / rate)] float32.

    Raises:
        ShapeError: `samples` is of another rank.
    """
    wave = resample(mono(samples), from_rate=rate, to_rate=REFERENCE_RATE)
    peak = float(np.max(np.abs(wave), initial=0.0))
    return wave / np.float32(min(2.0, peak)) if peak > 1.0 else wave


def speaker_wave(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Makes the speaker network's wave: the reference wave, resampled to 16 kHz.

    Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS._get_ref_spec.

    Args:
        samples: [n] or [n, channels] float32.
        rate: Sample rate, in Hz.

    Returns:
        [ceil(n * 16000 / rate)] float32.

    Raises:
        ShapeError: `samples` is of another rank.
    """
    return resample(reference_wave(samples, rate), from_rate=REFERENCE_RATE, to_rate=SPEAKER_RATE)


def _hubert_len(count: int, rate: int) -> int:
    """Returns the length at 16 kHz of `count` samples, rounded as librosa does (a float ratio, then up)."""
    return math.ceil(count * (HUBERT_RATE / rate))
