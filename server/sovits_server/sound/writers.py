"""What turns samples into the bytes of a format, piece by piece: one writer a request."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import Audio
from sovits_runtime.audio.files import libsndfile_reason
from sovits_server.problems import BadRequestError, FailedError
from sovits_server.sound.formats import FORMATS, AvForm, SoundfileForm, SoundFormat

UNKNOWN_LENGTH = 0xFFFFFFFF
"""What FFmpeg writes for sizes when it cannot go back; players take it for "until the end"."""
_BLOCK = 1 << 15
_INSTALL = 'pip install "sovits-export[serve]"'
Floats = NDArray[np.float32]


class EncoderMissingError(BadRequestError):
    """No library here writes the format."""


class Writer(Protocol):
    """Takes samples of one rate, gives bytes."""

    def write(self, samples: Floats) -> bytes:
        """Takes float32 [n], n > 0; returns what is ready."""

    def close(self) -> bytes:
        """Returns the rest."""


def open_writer(format: SoundFormat, rate: int, *, whole: bool) -> Writer:
    """Opens the first writer of a format that is installed.

    Args:
        format: What to write.
        rate: Of the samples, in Hz; one that the format knows.
        whole: All samples come before any byte is sent, so that sizes in headers are right.

    Raises:
        EncoderMissingError: None is installed.
    """
    if format.plain:
        return PlainWriter(rate, header=format.name == "wav" and not whole)
    if format.av is not None and has_av(format.av.codec):
        return AvWriter(format.av, rate, whole=whole)
    if format.soundfile is not None and has_soundfile(format.soundfile):
        return SoundfileWriter(format.soundfile, rate)
    able = ", ".join(name for name in FORMATS if can_write(name))
    needs = "PyAV" if format.av else "libsndfile with that format"
    raise EncoderMissingError(
        f"format {format.name}: this server has no encoder for it; ask for one of {able} (its operator can "
        f"install {needs}: {_INSTALL})"
    )


def can_write(name: str) -> bool:
    """Whether an encoder for a format is installed."""
    format = FORMATS[name]
    if format.plain:
        return True
    by_av = format.av is not None and has_av(format.av.codec)
    return by_av or (format.soundfile is not None and has_soundfile(format.soundfile))


def has_av(codec: str) -> bool:
    """Whether PyAV is installed, with this encoder."""
    try:
        import av
    except ImportError:
        return False
    return codec in av.codecs_available


def has_soundfile(form: SoundfileForm) -> bool:
    """Whether libsndfile is installed, with this format."""
    try:
        import soundfile
    except (ImportError, OSError):  # the package is there, its library is not
        return False
    known = soundfile.available_formats()
    return form.container in known and form.subtype in soundfile.available_subtypes(form.container)


def wav_header(rate: int, data_bytes: int | None) -> bytes:
    """The 44 bytes before 16-bit mono samples.

    Args:
        rate: In Hz.
        data_bytes: How many bytes of samples follow; None: that is not known.
    """
    riff, data = (UNKNOWN_LENGTH, UNKNOWN_LENGTH) if data_bytes is None else (36 + data_bytes, data_bytes)
    fields = (b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", data)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *fields)


class PlainWriter:
    """Samples as 16-bit little-endian numbers, maybe behind the header of a WAV file without end."""

    def __init__(self, rate: int, *, header: bool) -> None:
        self._rate = rate
        self._start = wav_header(rate, None) if header else b""

    def write(self, samples: Floats) -> bytes:
        """See `Writer`."""
        start, self._start = self._start, b""
        return start + pcm16(samples, self._rate)

    def close(self) -> bytes:
        """See `Writer`."""
        start, self._start = self._start, b""
        return start


def pcm16(samples: Floats, rate: int) -> bytes:
    """float32 [n] at `rate` Hz as 16-bit little-endian bytes."""
    return Audio(samples, rate).to_pcm16().astype("<i2").tobytes()


class _Outlet:
    """A file that is only ever added to; what was added can be taken once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = self._place = 0

    def write(self, data: Any) -> int:
        if self._place != self._length:
            raise OSError("sound is being sent already, its beginning cannot be changed")
        self._parts.append(bytes(data))
        self._length += len(self._parts[-1])
        self._place = self._length
        return len(self._parts[-1])

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


class _SeekableOutlet(_Outlet):
    """The same, for libsndfile, which asks for its length by seeking."""

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._length)[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        return b""


class AvWriter:
    """Writes by FFmpeg.

    Args:
        form: What to write.
        rate: Of the samples, in Hz.
        whole: Keep everything until `close`, and write right sizes.
    """

    def __init__(self, form: AvForm, rate: int, *, whole: bool) -> None:
        import av

        self._av, self._form, self._rate, self._whole = av, form, rate, whole
        self._file = io.BytesIO() if whole else _Outlet()
        options = {"fflags": "+bitexact", "flush_packets": "1"}  # the same sound has the same bytes
        options |= form.whole_options if whole else form.stream_options
        self._container = av.open(self._file, "w", format=form.container, options=options)
        self._stream: Any = self._container.add_stream(
            form.codec, rate=rate, layout="mono", options=form.codec_options
        )
        self._stream.codec_context.thread_count = 1
        self._sent = 0

    def write(self, samples: Floats) -> bytes:
        """See `Writer`."""
        audio = Audio(samples, self._rate)  # NaN would make an encoder fail, or end the process
        shaped: Any = audio.samples if self._form.samples == "float" else audio.to_pcm16()
        kind = "flt" if self._form.samples == "float" else "s16"
        frame = self._av.AudioFrame.from_ndarray(
            np.ascontiguousarray(shaped)[None], format=kind, layout="mono"
        )
        frame.sample_rate, frame.pts = self._rate, self._sent
        self._sent += len(samples)
        return self._encode(frame)

    def close(self) -> bytes:
        """See `Writer`."""
        last = self._encode(None)
        self._container.close()
        if isinstance(self._file, io.BytesIO):
            return self._file.getvalue()
        return last + self._file.take()

    def __del__(self) -> None:
        """Ends the encoder's threads at once where a client left: PyAV's objects hold each other in a circle."""
        container = getattr(self, "_container", None)
        if container is not None:
            with contextlib.suppress(Exception):  # nobody waits for what is not sent any more
                container.close()

    def _encode(self, frame: Any) -> bytes:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._av.FFmpegError as error:
            raise FailedError(f"sound: cannot be encoded as {self._form.codec} ({error.strerror})") from error
        return b"" if isinstance(self._file, io.BytesIO) else self._file.take()


class SoundfileWriter:
    """Writes by libsndfile. Of formats whose header is written last, everything comes at the end."""

    def __init__(self, form: SoundfileForm, rate: int) -> None:
        import soundfile

        self._file = _SeekableOutlet() if form.appends else io.BytesIO()
        self._rate, self._error = rate, soundfile.SoundFileError
        try:
            self._sound = soundfile.SoundFile(
                self._file, "w", rate, 1, subtype=form.subtype, format=form.container
            )
        except self._error as error:
            reason = libsndfile_reason(error)
            raise FailedError(f"sound: cannot be encoded as {form.subtype} ({reason})") from error

    def write(self, samples: Floats) -> bytes:
        """See `Writer`."""
        pcm = Audio(samples, self._rate).to_pcm16()
        for start in range(0, len(pcm), _BLOCK):  # minutes of Vorbis in one call overflow its stack
            self._sound.write(pcm[start : start + _BLOCK])
        return self._file.take() if isinstance(self._file, _Outlet) else b""

    def close(self) -> bytes:
        """See `Writer`."""
        self._sound.close()
        return self._file.take() if isinstance(self._file, _Outlet) else self._file.getvalue()
