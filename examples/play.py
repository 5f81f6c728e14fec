"""Speaks through this computer's loudspeaker while the sentence is still being made.

    pip install "sovits-export[cpu,en]" sounddevice
    sovits-export reference my-voice me.wav --lang en --text "What is said in me.wav." -o me.npz
    python play.py my-voice me.npz "Good morning. How are you today?" --lang en
    tail -f story.txt | python play.py my-voice me.npz --lang en

The next chunk is made while one is heard; at the end it says when sound began and whether the buffer ever ran dry.
"""

from __future__ import annotations

import argparse
import io
import queue
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sovits_runtime import Audio, Chunk, ChunkStream, Reference, SpeechOptions, Synthesizer
from sovits_runtime.errors import SovitsError

CHUNKS_AHEAD = 8
"""Made before they are heard, at most: about 15 s. More would cost memory, less could run dry."""


class Output(Protocol):
    """Where sound goes."""

    def play(self, chunk: Chunk) -> None:
        """Takes a chunk; waits when too many are waiting already."""

    def finish(self) -> None:
        """Returns when everything was heard or written."""


class File:
    """Writes a file in place of playing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._heard: list[Chunk] = []

    def play(self, chunk: Chunk) -> None:
        """Takes a chunk."""
        self._heard.append(chunk)

    def finish(self) -> None:
        """Writes the file."""
        Audio.concatenate(self._heard).save(self._path)


class Loudspeaker:
    """Plays in a thread of its own, so that the next chunk is made while one is heard."""

    def __init__(self, sample_rate: int) -> None:
        try:
            import sounddevice
        except ImportError:
            sys.exit("playing needs sounddevice: pip install sounddevice; or name a file with --out")
        except OSError as error:  # the package is there, the PortAudio library is not
            sys.exit(f"{error}: install it (Debian: apt install libportaudio2); or name a file with --out")
        try:
            self._device = sounddevice.OutputStream(sample_rate, channels=1, dtype="float32")
        except sounddevice.PortAudioError as error:
            sys.exit(f"no loudspeaker can be used ({error}); name a file with --out")
        self._chunks: queue.Queue[Chunk | None] = queue.Queue(CHUNKS_AHEAD)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._device:  # starts it, and at the end waits for what it still holds
            while (chunk := self._chunks.get()) is not None:
                try:
                    if self._error is None:
                        self._device.write(chunk.samples)
                except (
                    Exception
                ) as error:  # unplugged, for example: go on taking chunks, or `play` would wait for ever
                    self._error = error

    def play(self, chunk: Chunk) -> None:
        """Hands a chunk to the thread."""
        if self._error is not None:
            sys.exit(f"the loudspeaker failed: {self._error}")
        self._chunks.put(chunk)

    def finish(self) -> None:
        """Waits until everything was heard."""
        self._chunks.put(None)
        self._thread.join()


@dataclass
class Listener:
    """Works out what is heard: when sound starts, and for how long it stops because nothing was ready.

    Attributes:
        first: Time of the first sound.
        gaps: How often the buffer ran dry.
        gaps_s: For how long, together.
    """

    first: float | None = None
    gaps: int = 0
    gaps_s: float = 0.0
    _until: float = 0.0

    def hear(self, chunk: Chunk, now: float) -> None:
        """Takes note of a chunk that was ready at `now`."""
        if self.first is None:
            self.first = self._until = now
        if now > self._until:
            self.gaps += 1
            self.gaps_s += now - self._until
            self._until = now
        self._until += chunk.duration_s


def play(chunks: ChunkStream, output: Output) -> Listener:
    """Plays a stream to its end; an interruption (Ctrl-C) frees it at once."""
    listener = Listener()
    with closing(chunks):
        for chunk in chunks:
            listener.hear(chunk, time.perf_counter())
            output.play(chunk)
    output.finish()
    return listener


def seconds(text: str) -> float:
    """Reads a time from the command line.

    Raises:
        argparse.ArgumentTypeError: It is no number, or not 0.1 to 3600.
    """
    with suppress(ValueError):
        if 0.1 <= (value := float(text)) <= 3600:
            return value
    raise argparse.ArgumentTypeError(f"got {text!r}, expected 0.1 to 3600 seconds")


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line and speaks."""
    parser = argparse.ArgumentParser(description="Speak while the sentence is still being made.")
    parser.add_argument("voice", type=Path, help="folder of a bundle")
    parser.add_argument("reference", type=Path, help=".npz that 'sovits-export reference' wrote")
    parser.add_argument(
        "text", nargs="?", help="what to say; without it and --phones, standard input as it comes"
    )
    parser.add_argument("--lang", default="auto", help="zh, yue, en, ja, ko, auto")
    parser.add_argument("--phones", help="phones of one sentence, in place of a text")
    parser.add_argument("--out", type=Path, help="write a file in place of playing")
    parser.add_argument("--max-seconds", type=seconds, help="cut each sentence at this length")
    args = parser.parse_args(arguments)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what comes may be cut within a character
    try:
        with Synthesizer.load(args.voice) as voice:
            reference = Reference.load(args.reference)
            limit = round(args.max_seconds * voice.spec.token_rate_hz) if args.max_seconds else None
            options = SpeechOptions(max_tokens=limit)
            output = File(args.out) if args.out else Loudspeaker(voice.spec.sample_rate)
            start = time.perf_counter()
            if args.phones:
                chunks = voice.stream([args.phones.split()], reference, options=options)
            else:
                chunks = voice.stream_text(
                    args.text or sys.stdin, reference, language=args.lang, options=options
                )
            listener = play(chunks, output)
    except (SovitsError, OSError) as error:
        sys.exit(str(error))
    assert listener.first is not None  # a stream without sound raises
    dry = f"ran dry {listener.gaps} times, {listener.gaps_s:.2f} s" if listener.gaps else "never ran dry"
    print(f"first sound after {listener.first - start:.2f} s; the buffer {dry}")


if __name__ == "__main__":
    main()
