"""Streams for asyncio: chunks are made in a thread of their own and awaited in the event loop.

from contextlib import aclosing

async with aclosing(stream_async(voice.stream(phones, reference))) as chunks:
    async for chunk in chunks:
        await send(chunk.to_pcm16().tobytes())
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress

from sovits_runtime.speech.chunk_stream import ChunkStream
from sovits_runtime.speech.types import Chunk
from sovits_runtime.t2s.limits import check_count

CHUNKS_AHEAD = 2


async def stream_async(chunks: ChunkStream, *, ahead: int = CHUNKS_AHEAD) -> AsyncGenerator[Chunk, None]:
    """Yields the chunks of a stream without blocking the event loop.

    When the generator is closed or its task is cancelled, the stream is closed and its thread is waited for: what
    follows finds the state free and the processor idle. Use it with `contextlib.aclosing`, as an `async for` that is
    left early does not close its generator by itself.

    Args:
        chunks: What `Synthesizer.stream` or `stream_text` gave.
        ahead: How many chunks are made before the consumer asks for them, at most.

    Raises:
        ShapeError: `ahead` is not positive.
        SovitsError: Whatever making the chunks raises.
    """
    check_count("ahead", ahead, 1)
    loop, room = asyncio.get_running_loop(), threading.Semaphore(ahead)
    queue: asyncio.Queue[Chunk | BaseException | None] = asyncio.Queue()
    ended = asyncio.Event()

    def make() -> None:
        end: BaseException | None = None
        try:
            while room.acquire() and (chunk := next(chunks, None)) is not None:
                loop.call_soon_threadsafe(queue.put_nowait, chunk)
        except BaseException as error:  # raised again by the consumer
            end = error
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(queue.put_nowait, end)
            loop.call_soon_threadsafe(ended.set)

    thread = threading.Thread(target=make, name="chunks", daemon=True)
    thread.start()
    try:
        while (chunk := await queue.get()) is not None:
            if isinstance(chunk, BaseException):
                raise chunk
            room.release()
            yield chunk
    finally:
        chunks.close()
        room.release()
        await ended.wait()
        thread.join()  # it has nothing left to do
