"""One encoder a request: samples of a voice in, bytes of a format out, without a gap between pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError
from sovits_server.sound.formats import PCM_RATE, SoundFormat, find_format
from sovits_server.sound.writers import Writer, open_writer, wav_header

Floats = NDArray[np.float32]
_CLOSED = "sound: the encoder was finished already; take another one for the next request"


class Encoder:
    """Turns speech into a format as it comes. Not safe to use from several threads at once.

    Args:
        format: mp3, opus (in Ogg), aac (ADTS), flac, ogg (Vorbis), wav, pcm (16 bit at `pcm_rate`) or raw (16 bit
            at the voice's rate).
        sample_rate: Of what is fed, in Hz. A rate that the format does not know is resampled to the next one.
        pcm_rate: What `pcm` is resampled to, in Hz.
        separate: Each `feed` gives a whole file of its own, as clients of the original's Ogg streams expect.

    Attributes:
        media_type: Of HTTP.
        rate: Of what comes out, in Hz.

    Raises:
        BadRequestError: There is no such format, or no encoder for it is installed.
    """

    def __init__(
        self, format: str, *, sample_rate: int, pcm_rate: int = PCM_RATE, separate: bool = False
    ) -> None:
        if sample_rate < 1 or pcm_rate < 1:
            raise ShapeError(f"sound: got the rates {sample_rate} and {pcm_rate} Hz, expected more than 0")
        self.format: SoundFormat = find_format(format)
        self.sample_rate = sample_rate
        self.rate = pcm_rate if self.format.name == "pcm" else self.format.rate(sample_rate)
        self.media_type = self.format.media_type
        if self.format.name == "pcm":
            self.media_type += f";rate={self.rate}"
        self._separate = separate
        self._resampler = None if self.rate == sample_rate else _Resampler(sample_rate, self.rate)
        self._writer: Writer | None = None if separate else open_writer(self.format, self.rate, whole=False)
        if separate:
            open_writer(self.format, self.rate, whole=True).close()  # says now that there is none
        self._finished = False

    def feed(self, samples: Floats) -> bytes:
        """Takes float32 [n] at `sample_rate` Hz, full scale at 1; returns the bytes that are ready, maybe none.

        Raises:
            ShapeError: `samples` is no such array, or the encoder was finished.
            AudioError: NaN or infinity.
        """
        if self._finished:
            raise ShapeError(_CLOSED)
        checked = _checked(samples)
        if self._separate:
            one = Encoder(self.format.name, sample_rate=self.sample_rate, pcm_rate=self.rate)
            return one.whole(checked) if len(checked) else b""
        if self._resampler is not None:
            checked = self._resampler.feed(checked)
        assert self._writer is not None
        return self._writer.write(checked) if len(checked) else b""

    def finish(self) -> bytes:
        """Returns the rest; a file without any samples where none were fed.

        Raises:
            ShapeError: The encoder was finished.
        """
        if self._finished:
            raise ShapeError(_CLOSED)
        self._finished = True
        if self._writer is None:
            return b""
        tail = self._resampler.finish() if self._resampler is not None else np.zeros(0, np.float32)
        written = self._writer.write(tail) if len(tail) else b""
        return written + self._writer.close()

    def whole(self, samples: Floats) -> bytes:
        """Encodes everything in one go, in place of `feed` and `finish`: sizes and lengths in headers are right.

        Args:
            samples: float32 [n] at `sample_rate` Hz.

        Raises:
            ShapeError: As `feed`.
            AudioError: As `feed`.
        """
        if self._finished:
            raise ShapeError(_CLOSED)
        self._finished = True
        checked = _checked(samples)
        if self._resampler is not None:
            checked = np.concatenate([self._resampler.feed(checked), self._resampler.finish()])
        self._writer = None  # that of a stream is not needed
        writer = open_writer(self.format, self.rate, whole=True)
        body = (writer.write(checked) if len(checked) else b"") + writer.close()
        return wav_header(self.rate, len(body)) + body if self.format.name == "wav" else body


class _Resampler:
    """soxr over a stream: as many samples in all as the whole would give, without a seam."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        import soxr

        self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")

    def feed(self, samples: Floats) -> Floats:
        resampled: Floats = self._stream.resample_chunk(samples)
        return resampled

    def finish(self) -> Floats:
        rest: Floats = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return rest


def _checked(samples: Floats) -> Floats:
    if np.ndim(samples) != 1 or getattr(samples, "dtype", None) != np.float32:
        got = f"shape {np.shape(samples)} and type {getattr(samples, 'dtype', type(samples).__name__)}"
        raise ShapeError(f"sound: got samples of {got}, expected [n] float32")
    return np.ascontiguousarray(samples)
