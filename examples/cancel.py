"""An assistant that can be interrupted: new words cut off the old ones in the middle of a sentence.

    python cancel.py my-voice me.npz "A long story that nobody wants to hear." "Sorry?" --lang en --out heard.wav

Chunks are made in a thread (`stream_async`); cancelling the task that plays them stops that thread at its next token.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sovits_runtime import Audio, ChunkStream, Reference, SpeechOptions, Synthesizer
from sovits_runtime.aio import stream_async
from sovits_runtime.errors import SovitsError

BLOCK_S = 0.02


class Ear:
    """Stands in for a loudspeaker: takes sound at the speed at which it is heard, and remembers it."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.heard: list[NDArray[np.float32]] = []
        self._until = 0.0

    async def play(self, chunk: Audio) -> None:
        """Plays a chunk in small blocks, so that a cancellation is heard at once."""
        block = round(self.sample_rate * BLOCK_S)
        self._until = max(self._until, time.perf_counter())
        for start in range(0, len(chunk.samples), block):
            samples = chunk.samples[start : start + block]
            self.heard.append(samples)
            self._until += len(samples) / self.sample_rate
            await asyncio.sleep(self._until - time.perf_counter())


class Assistant:
    """Says one thing at a time.

    Args:
        start: Starts a stream of a text.
        ear: Who listens.
    """

    def __init__(self, start: Callable[[str], ChunkStream], ear: Ear) -> None:
        self._start = start
        self._ear = ear
        self._speaking: asyncio.Task[None] | None = None

    async def say(self, text: str) -> None:
        """Starts to say something, in place of what is being said; `finish` waits for its end."""
        await self.hush()
        self._speaking = asyncio.create_task(self._speak(text))

    async def hush(self) -> None:
        """Stops speaking. When this returns, the request's state is free and nothing is computed any more."""
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.wait([self._speaking])
            self._speaking = None

    async def finish(self) -> None:
        """Waits until everything was said."""
        if self._speaking is not None:
            await self._speaking

    async def _speak(self, text: str) -> None:
        begun, first = time.perf_counter(), True
        # Without `aclosing`, a cancellation that arrives in `play` would leave the stream to the garbage collector.
        async with aclosing(stream_async(self._start(text))) as chunks:
            async for chunk in chunks:
                if first:
                    print(f"first sound of {text[:30]!r} after {time.perf_counter() - begun:.2f} s")
                    first = False
                await self._ear.play(chunk)


async def converse(assistant: Assistant, texts: Sequence[str], after_s: float) -> None:
    """Says the texts, each interrupted by the next after `after_s` seconds."""
    await assistant.say(texts[0])
    for text in texts[1:]:
        await asyncio.sleep(after_s)
        begun = time.perf_counter()
        await assistant.hush()
        print(f"interrupted; free after {1000 * (time.perf_counter() - begun):.0f} ms")
        await assistant.say(text)
    await assistant.finish()


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
    parser = argparse.ArgumentParser(description="Speak, and be interrupted.")
    parser.add_argument("voice", type=Path, help="folder of a bundle")
    parser.add_argument("reference", type=Path, help=".npz that 'sovits-export reference' wrote")
    parser.add_argument("texts", nargs="+", help="each is interrupted by the next")
    parser.add_argument(
        "--lang", default="auto", help="zh, yue, en, ja, ko, auto; 'phones': the texts are phones"
    )
    parser.add_argument("--after", type=seconds, default=1.5, help="seconds until the interruption")
    parser.add_argument("--out", type=Path, required=True, help="file of what was heard")
    parser.add_argument("--max-seconds", type=seconds, help="cut each sentence at this length")
    args = parser.parse_args(arguments)
    try:
        with Synthesizer.load(args.voice) as voice:
            reference = Reference.load(args.reference)
            limit = round(args.max_seconds * voice.spec.token_rate_hz) if args.max_seconds else None
            options = SpeechOptions(max_tokens=limit)

            def start(text: str) -> ChunkStream:
                if args.lang == "phones":
                    return voice.stream([text.split()], reference, options=options)
                return voice.stream_text(text, reference, language=args.lang, options=options)

            ear = Ear(voice.spec.sample_rate)
            asyncio.run(converse(Assistant(start, ear), args.texts, args.after))
        Audio(np.concatenate(ear.heard), ear.sample_rate).save(args.out)
    except (SovitsError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
