"""A request's sound from a `Synthesizer`, so that it can be ended at any token: whole sentences, or chunks."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

import numpy as np

from sovits_runtime import AudioSentence, Phrase, Reference, SpeechOptions, Synthesizer, TokenSequence
from sovits_runtime.machine.process_memory import return_freed_memory
from sovits_runtime.speech.attempts import attempts, failure, log_problem
from sovits_runtime.speech.chunk_stream import StreamClosed, until_closed
from sovits_runtime.speech.plausible import loudest, problem_within, silent
from sovits_server.core.engine import AudioChunk, SpeechRequest
from sovits_server.core.job import Cancellation


def sound_of(
    voice: Synthesizer, request: SpeechRequest, cancellation: Cancellation
) -> Generator[AudioChunk, None, None]:
    """Yields the sound of a request; ends at the next token once that is wished.

    Raises:
        SovitsError: Whatever speaking raises.
    """
    how, cancelled = request.options.with_seed(), cancellation.event
    if request.chunks is None:
        try:
            for number, phrase in enumerate(request.phrases):
                if cancelled.is_set():
                    return
                sentence = _whole(voice, phrase, request.reference, options=how, cancelled=cancelled)
                yield AudioChunk(sentence.samples, sentence.sample_rate, number, last=True)
        except StreamClosed:
            return
        return
    phrases = _until(request.phrases, cancelled)
    with closing(voice.stream(phrases, request.reference, chunks=request.chunks, options=how)) as chunks:
        cancellation.then(chunks.close)
        for chunk in chunks:
            yield AudioChunk(
                chunk.samples, chunk.sample_rate, chunk.sentence, last=chunk.stop_reason is not None
            )


def _until(phrases: Iterable[Phrase], cancelled: threading.Event) -> Iterator[Phrase]:
    for phrase in phrases:
        if cancelled.is_set():
            return
        yield phrase


def _whole(
    voice: Synthesizer,
    phrase: Phrase,
    reference: Reference,
    *,
    options: SpeechOptions,
    cancelled: threading.Event,
) -> AudioSentence:
    """One sentence as `Synthesizer.synthesize` says it, bit for bit.

    Raises:
        StreamClosed: `cancelled` was set meanwhile.
        GenerationError: No usable speech within the allowed retries.
    """
    ids, symbols = voice.phone_ids(phrase.phones), voice.spec.symbols
    problem_of, first = problem_within(symbols), 1
    while True:
        tries = attempts(
            lambda number: voice.tokens(ids, reference, bert=phrase.bert, options=options, attempt=number),
            lambda tokens: problem_of(tokens, ids, options),
            phones=len(ids),
            numbers=range(first, options.retries + 2),
        )
        with closing(tries):
            for attempt, stream in tries:
                tokens = np.fromiter(until_closed(stream, cancelled), np.int64)
                made = TokenSequence(tokens, ids, stream.stop_reason or "eos", attempt, seed=options.seed)
        spoken = voice.decode(made, reference, options=options)
        return_freed_memory()
        problem = silent(loudest(spoken.samples, spoken.sample_rate), ids, symbols)
        if not problem:
            return spoken
        log_problem(len(ids), made.attempts, problem)
        if made.attempts > options.retries:
            raise failure(len(ids), made.attempts, problem)
        first = made.attempts + 1
