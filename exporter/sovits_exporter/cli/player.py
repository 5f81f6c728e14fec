"""Plays speech through the speaker, sentence by sentence as it is made; needs miniaudio, the extra `play`."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Any

import numpy as np

from sovits_runtime.audio import Audio
from sovits_runtime.errors import BackendError

_ASIDE = "write a file instead: -o speech.wav, without --play"


class Player:
    """An open speaker. Sounds are played in the order in which they are given.

    Args:
        sample_rate: Of all sounds, in Hz.

    Raises:
        BackendError: miniaudio is not installed, or there is no device.
    """

    def __init__(self, sample_rate: int) -> None:
        try:
            import miniaudio
        except ImportError as error:
            raise BackendError(
                f'--play needs miniaudio, which is not installed; pip install "sovits-export[play]", or {_ASIDE}'
            ) from error
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._done = threading.Event()
        try:
            with _quiet():
                self._device: Any = miniaudio.PlaybackDevice(
                    output_format=miniaudio.SampleFormat.SIGNED16, nchannels=1, sample_rate=sample_rate
                )
        except miniaudio.MiniaudioError as error:
            raise BackendError(f"--play found no speaker ({error}); {_ASIDE}") from error
        frames = self._frames()
        next(frames)
        self._device.start(frames)

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._waiting.put(None)
            while not self._done.wait(0.1):  # so that Ctrl-C is heard
                pass
        self._device.close()

    def play(self, audio: Audio) -> None:
        """Plays a sound after those before it; returns at once."""
        self._waiting.put(audio.to_pcm16().tobytes())

    def _frames(self) -> Generator[bytes, int, None]:
        """What the device reads: so many frames as it asks for, silence while there is nothing yet."""
        left, ended = b"", False
        wanted = yield b""
        while True:
            while len(left) < 2 * wanted and not ended:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                ended = more is None
                left += more or b""
            out, left = left[: 2 * wanted], left[2 * wanted :]
            if ended and not out:
                self._done.set()
            silence = np.zeros(wanted - len(out) // 2, np.int16).tobytes()
            wanted = yield out + silence


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What sound libraries print about devices that are not there goes nowhere; our line says it."""
    try:
        kept = os.dup(2)
    except OSError:  # closed: nobody reads it
        yield
        return
    try:
        sys.stderr.flush()
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
