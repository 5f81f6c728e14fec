"""Chunks reach the event loop in order; who leaves early leaves nothing behind."""

import asyncio
import threading
import time
from contextlib import aclosing

import numpy as np
import pytest

from sovits_runtime import ChunkOptions, SpeechOptions
from sovits_runtime.aio import stream_async
from sovits_runtime.errors import GenerationError, ShapeError
from sovits_runtime.speech.chunk_stream import ChunkStream
from sovits_runtime.speech.types import Chunk

PHONES = ["HH", "AH0", "L", "OW1", "."]
OPTIONS = SpeechOptions(max_tokens=90, pause_s=0)
CHUNKS = ChunkOptions(first_tokens=7, most_tokens=12, growth=1.3, lookahead_tokens=3)


def chunk_threads():
    return [t for t in threading.enumerate() if t.name == "chunks"]


class Counted:
    """A stream of numbered chunks that counts what it made and knows whether it was freed."""

    def __init__(self, count=100, error=None):
        self.made, self.freed, self.error = 0, False, error
        self.stream = ChunkStream(lambda closed: self._make(count))

    def _make(self, count):
        try:
            for i in range(count):
                self.made += 1
                yield Chunk(np.full(4, i, np.float32), 32000, sentence=0)
            if self.error:
                raise self.error
        finally:
            self.freed = True


def test_same_chunks_as_the_blocking_stream(voice, reference):
    async def collect():
        stream = voice.stream([PHONES], reference, chunks=CHUNKS, options=OPTIONS)
        return [chunk.samples async for chunk in stream_async(stream)]

    expected = [c.samples for c in voice.stream([PHONES], reference, chunks=CHUNKS, options=OPTIONS)]
    for got, wanted in zip(asyncio.run(collect()), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert not chunk_threads()


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_slow_consumer_bounds_what_is_made(ahead):
    counted = Counted()

    async def consume():
        async with aclosing(stream_async(counted.stream, ahead=ahead)) as chunks:
            await anext(chunks)
            await asyncio.sleep(0.1)
            return counted.made

    assert asyncio.run(consume()) == 1 + ahead
    assert counted.freed
    assert not chunk_threads()


def test_the_event_loop_goes_on_while_chunks_are_made():
    def make(closed):
        time.sleep(0.2)
        yield Chunk(np.zeros(1, np.float32), 32000, sentence=0)

    async def consume():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        assert len([c async for c in stream_async(ChunkStream(make))]) == 1
        ticking.cancel()
        return ticks

    assert asyncio.run(consume()) >= 5


def test_an_error_reaches_the_consumer_after_the_chunks_before_it():
    counted = Counted(2, GenerationError("no usable speech"))
    got = []

    async def consume():
        async for chunk in stream_async(counted.stream):
            got.append(chunk)

    with pytest.raises(GenerationError, match="no usable speech"):
        asyncio.run(consume())
    assert len(got) == 2
    assert not chunk_threads()


def test_cancelling_the_task_frees_the_state_at_the_next_token(voice, reference, monkeypatch):
    made = []
    original = voice.text_to_semantic.steps

    def slow(*args, **kwargs):
        for step in original(*args, **kwargs):
            made.append(step.token)
            time.sleep(0.01)
            yield step

    monkeypatch.setattr(voice.text_to_semantic, "steps", slow)
    whole = ChunkOptions(first_tokens=10_000)

    async def speak():
        stream = voice.stream([PHONES], reference, chunks=whole, options=SpeechOptions(max_tokens=1000))
        async for _ in stream_async(stream):
            raise AssertionError("the only chunk is far away")

    async def interrupt():
        speaking = asyncio.create_task(speak())
        while len(made) < 5:
            await asyncio.sleep(0.005)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        return len(voice.text_to_semantic._pool), len(made), chunk_threads()

    free = len(voice.text_to_semantic._pool)
    pooled, count, threads = asyncio.run(interrupt())
    assert pooled == max(free, 1)
    assert count < 50
    assert not threads


def test_a_stream_that_was_never_started_is_closed_too():
    counted = Counted()
    counted.stream.close()
    counted.stream.close()
    assert list(counted.stream) == []
    assert counted.made == 0


def test_ahead_must_be_positive():
    async def consume():
        await anext(stream_async(Counted().stream, ahead=0))

    with pytest.raises(ShapeError, match="ahead: got 0"):
        asyncio.run(consume())
