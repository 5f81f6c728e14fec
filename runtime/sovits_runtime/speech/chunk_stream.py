"""Speaking in chunks with a loaded voice: the first sounds while the rest of its sentence is still being made."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import GenerationError
from sovits_runtime.speech.hifigan_stream import flow_chunks, hifigan_chunks
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import Chunk, ChunkOptions, NormalNoise, Phrase, SpeechOptions

if TYPE_CHECKING:
    from sovits_runtime.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

CHUNKERS: dict[str, Callable[..., Iterator[NDArray[np.float32]]]] = {
    "hifigan": hifigan_chunks,
    "cfm": flow_chunks,
}
"""Decoder kind of `ModelSpec` -> what speaks with it in chunks."""


class ChunkStream(Iterator[Chunk]):
    """Chunks of one request, each made when it is asked for.

    Args:
        make: Starts making them; they end at the next token once the event that it is given is set.
    """

    def __init__(self, make: Callable[[threading.Event], Generator[Chunk, None, None]]) -> None:
        self._closed = threading.Event()
        self._chunks = make(self._closed)
        self._making = threading.Lock()

    def __next__(self) -> Chunk:
        with self._making:
            chunk = None
            try:
                if not self._closed.is_set():
                    chunk = next(self._chunks, None)
            except StreamClosed:
                logger.debug("stream closed in the middle of a chunk")
        if self._closed.is_set():
            self.close()
        if chunk is None or self._closed.is_set():
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Frees the request's state; no more chunks come. May be called from any thread and more than once.

        While another thread waits for a chunk, that thread frees the state, at the next token at the latest or once the
        piece of sound that it is working on is done, and finds the stream at its end.
        """
        self._closed.set()
        if self._making.acquire(blocking=False):
            try:
                self._chunks.close()
            finally:
                self._making.release()


class StreamClosed(Exception):  # noqa: N818 - says what happened, and never leaves `ChunkStream`
    """The stream was closed while a chunk was being made."""


def sentence_chunks(
    voice: Synthesizer,
    phrase: Phrase,
    reference: Reference,
    *,
    index: int,
    chunks: ChunkOptions,
    options: SpeechOptions,
    noise: NormalNoise | None,
    closed: threading.Event,
) -> Iterator[Chunk]:
    """Yields one sentence in chunks, the pause after it as the last. Arguments and errors as in `Synthesizer.stream`.

    What was given out cannot be taken back: only a sentence that ends before its first token is drawn again.

    Raises:
        StreamClosed: `closed` was set while tokens were being made.
    """
    ids, rate = voice.phone_ids(phrase.phones), voice.spec.sample_rate
    for attempt in range(1, options.retries + 2):
        tokens = voice.tokens(ids, reference, bert=phrase.bert, options=options, attempt=attempt)
        try:
            spoken = CHUNKERS[voice.spec.decoder](
                voice.decoder,
                _until_closed(tokens, closed),
                ids,
                reference=reference,
                options=options,
                chunks=chunks,
                noise=noise or voice.decoder_noise(options, attempt),
            )
            for samples in spoken:
                if len(samples):
                    yield Chunk(samples, rate, sentence=index)
        finally:
            tokens.close()
        if tokens.count:
            if tokens.stop_reason == "max_tokens" and options.max_tokens is None:
                logger.warning("sentence of %d phones did not end within %d tokens", len(ids), tokens.count)
            pause = np.zeros(round(rate * options.pause_s), np.float32)
            yield Chunk(pause, rate, sentence=index, stop_reason=tokens.stop_reason)
            return
        logger.warning("sentence of %d phones, attempt %d: ended before the first token", len(ids), attempt)
    raise GenerationError(
        f"no usable speech for {len(ids)} phones after {options.retries + 1} attempts: it ended before the first "
        "token; try another seed or reference"
    )


def _until_closed(tokens: Iterable[int], closed: threading.Event) -> Iterator[int]:
    for token in tokens:
        if closed.is_set():
            raise StreamClosed
        yield token
