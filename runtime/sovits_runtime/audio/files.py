"""Reads audio files of any kind that libsndfile knows, and says plainly why another cannot be read."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import AudioError

AudioSource = str | os.PathLike[str] | bytes | BinaryIO

_LOWEST_RATE, _HIGHEST_RATE = 4000, 384000
_MAX_SECONDS = 300
"""A reference has 10 s; a long file is stopped here, whatever it says of its length."""
_MAX_SAMPLES = 1 << 26
"""Of all channels together: 256 MiB decoded."""
_HIGHEST_LEVEL = 100.0
"""Of float formats, 40 dB above full scale: what is louder was not scaled, or is damaged."""
_BLOCK = 1 << 15


def read_audio(source: AudioSource, name: str | None = None) -> tuple[NDArray[np.float32], int]:
    """Reads WAV, FLAC, OGG (Vorbis, Opus), MP3 and whatever else libsndfile knows, recognized by content.

    Args:
        source: Path, the file's bytes, or a binary file object.
        name: What messages call it, when `source` has no name of its own.

    Returns:
        Samples [n, channels] float32 (integer formats scaled to [-1, 1), float formats as they are), and the
        rate in Hz.

    Raises:
        AudioError: There is no such file, it is no audio that can be decoded, it is empty or damaged, it
            holds NaN or infinity, or its length, level or rate is beyond reason.
    """
    own_name, content = read_content(source)
    name = name or own_name
    if not content:
        raise AudioError(f"{name}: got an empty file, expected audio; record or copy it again")
    foreign = _foreign_container(content)
    if foreign:
        raise AudioError(
            f"{name}: got {foreign}, expected WAV, FLAC, OGG or MP3; convert it: ffmpeg -i INPUT output.wav"
        )
    samples, rate = _decode(name, content)
    if len(samples) == 0:
        raise AudioError(f"{name}: got an audio file without samples, expected a recording; record it again")
    check_finite(samples, name, "save it as 16-bit WAV from an audio editor")
    peak = max(float(samples.max()), -float(samples.min()))
    if peak > _HIGHEST_LEVEL:
        raise AudioError(
            f"{name}: got samples of up to {peak:.3g}, expected 1.0 at full scale; save it as 16-bit WAV from an "
            "audio editor"
        )
    return samples, rate


def check_finite(samples: NDArray[np.float32], name: str, remedy: str) -> None:
    """Raises an AudioError that names `name` and `remedy` when `samples` holds NaN or infinity."""
    bad = int(np.count_nonzero(~np.isfinite(samples)))
    if bad:
        raise AudioError(
            f"{name}: got {bad} NaN or infinite samples of {samples.size}, expected finite ones; {remedy}"
        )


def libsndfile_reason(error: Exception) -> str:
    """Returns libsndfile's own words for a failure, without the object that soundfile puts in front."""
    return str(getattr(error, "error_string", error)).rstrip(".")


def read_content(source: AudioSource) -> tuple[str, bytes]:
    """Returns a name for messages and the bytes of `source`."""
    limit = 4 * _MAX_SAMPLES
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "audio data", bytes(source)
    if not isinstance(source, (str, os.PathLike)):
        content = source.read(limit + 1)
        name = str(getattr(source, "name", "audio data"))
        if not isinstance(content, bytes):
            raise AudioError(f"{name}: got a text file object, expected a binary one; open it with mode 'rb'")
    else:
        path, name = Path(source), os.fspath(source)
        try:
            if path.exists() and not path.is_file():
                what = "a folder" if path.is_dir() else "no regular file"
                raise AudioError(f"{name}: got {what}, expected an audio file; name one file")
            with path.open("rb") as file:
                content = file.read(limit + 1)
        except FileNotFoundError as error:
            raise AudioError(f"{name}: no such file, expected an audio file; check the path") from error
        except OSError as error:
            raise AudioError(f"{name}: cannot be read ({error.strerror}); check path and rights") from error
    if len(content) > limit:
        raise AudioError(
            f"{name}: got more than {limit >> 20} MiB, expected a recording of seconds; cut it first"
        )
    return name, content


class _Content(io.BytesIO):
    """Bytes as a file that stays where it is when a damaged header has libsndfile seek before its beginning."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file, but without an error, which would be printed amid libsndfile's work."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def _decode(name: str, content: bytes) -> tuple[NDArray[np.float32], int]:
    """Decodes block by block, so that a small file that unpacks to a huge one is stopped in time."""
    import soundfile

    try:
        with soundfile.SoundFile(_Content(content)) as file:
            if not _LOWEST_RATE <= file.samplerate <= _HIGHEST_RATE:
                raise AudioError(
                    f"{name}: got a sample rate of {file.samplerate} Hz, expected {_LOWEST_RATE} to {_HIGHEST_RATE}; "
                    "the header is damaged, or resample the file first"
                )
            limit = min(_MAX_SAMPLES // file.channels, _MAX_SECONDS * file.samplerate)
            blocks = [np.empty((0, file.channels), np.float32)]
            total = 0
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block)
                total += len(block)
                if total > limit:
                    raise AudioError(
                        f"{name}: got more than {limit / file.samplerate:.0f} s of audio, "
                        "expected a recording of seconds; cut it first"
                    )
            return np.concatenate(blocks), int(file.samplerate)
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{name}: got no audio that can be decoded ({libsndfile_reason(error)}), "
            "expected WAV, FLAC, OGG or MP3; the file is damaged or of another kind"
        ) from error


def _foreign_container(content: bytes) -> str:
    """Names well-known formats that libsndfile cannot read; "" for all others."""
    if content[4:8] == b"ftyp":
        return "an MP4/M4A file (AAC)"
    if len(content) > 1 and content[0] == 0xFF and content[1] & 0xF6 == 0xF0:
        return "raw AAC"
    if content[:4] == b"\x1aE\xdf\xa3":
        return "a WebM/Matroska file"
    if content[:4] == b"0&\xb2u":
        return "a WMA/ASF file"
    if content[:5] == b"#!AMR":
        return "an AMR file"
    return ""
