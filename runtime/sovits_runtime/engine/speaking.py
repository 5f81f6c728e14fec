"""One loaded voice as the engine drives it: prefill, steps of a batch, and sound piece by piece.

Each sentence's numbers are those of `Synthesizer.stream`, or of `Synthesizer.synthesize` where it comes whole: the same
graphs run on the same arrays, with noise of the same seeds.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from sovits_runtime.engine.states import Job, Piece, Sentence
from sovits_runtime.engine.types import SpeechRequest
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.process_memory import return_freed_memory
from sovits_runtime.speech.attempts import log_problem
from sovits_runtime.speech.plausible import empty, endless, loudest, problem_within, silent, too_short
from sovits_runtime.speech.types import Chunk, PhoneInput, Phrase, SpeechOptions, TokenSequence
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS, Step
from sovits_runtime.t2s.rows import Row, row_maker


class SpokenSentence:
    """The content of a `Sentence`: its phones, how to speak them, and what is open for it.

    Args:
        at_work: Who speaks.
        phrase: What.
        request: How; its options name a seed.

    Raises:
        TextError: No phones, or phones that the voice does not have.
    """

    def __init__(self, at_work: VoiceAtWork, phrase: Phrase, request: SpeechRequest) -> None:
        self.at_work = at_work
        self.voice = voice = at_work.voice
        self.phrase = phrase
        self.request = request
        self.options: SpeechOptions = request.options
        self.ids = voice.phone_ids(phrase.phones)
        self.phone_count = len(self.ids)
        self.row: Row | None = None
        self.sound: Generator[Chunk, None, str] | None = None

    def problem_of_tokens(self, sentence: Sentence) -> str:
        """See `Content`: in chunks only an empty sentence is made again, since others have begun to sound."""
        problem_of = problem_within(self.voice.spec.symbols) if self.request.chunks is None else empty
        return problem_of(sentence, self.ids, self.options)  # type: ignore[arg-type]

    def end_tokens(self) -> None:
        """See `Content`."""
        row, self.row = self.row, None
        if row is not None:
            row.close()

    def free(self) -> None:
        """See `Content`."""
        self.end_tokens()
        sound, self.sound = self.sound, None
        if sound is not None:
            sound.close()


class VoiceAtWork:
    """A loaded voice. Its steps and its other graphs may run beside each other.

    Args:
        voice: Loaded.

    Attributes:
        key: Of its batches; no other voice ever had it.
    """

    _keys = count()

    def __init__(self, voice: Synthesizer) -> None:
        self.voice = voice
        self.key = next(self._keys)
        self._rows = row_maker(voice.text_to_semantic)

    def sentence(self, job: Job, index: int, phrase: Phrase | PhoneInput, request: SpeechRequest) -> Sentence:
        """A sentence for the scheduler; its request joins this voice's batches.

        Raises:
            TextError: No phones, or phones that the voice does not have.
        """
        phrase = phrase if isinstance(phrase, Phrase) else Phrase(phrase)
        options, chunks = request.options, request.chunks
        job.batch = self.key
        return Sentence(
            job,
            index,
            content=SpokenSentence(self, phrase, request),
            needs=lambda: iter(()) if chunks is None else self.voice.decoder.token_needs(chunks),
            most_tokens=options.max_tokens or MAX_NEW_TOKENS,
            attempts=options.retries + 1,
        )

    def prefill(self, sentence: Sentence) -> Step | Exception:
        """Makes the first token."""
        content = _content(sentence)
        try:
            with self.voice.at_work():
                content.row = self.voice.open_row(
                    content.ids,
                    content.request.reference,
                    bert=content.phrase.bert,
                    options=content.options,
                    attempt=sentence.attempt,
                )
                return content.row.first()
        except Exception as error:  # of this request alone
            return error

    def step(self, sentences: Sequence[Sentence], *, lean: bool) -> list[Step | Exception]:
        """Makes the next token of each; see `RowMaker.step_rows`."""
        rows = [_content(sentence).row for sentence in sentences]
        try:
            with self.voice.at_work():
                return self._rows.step_rows(rows, lean=lean)
        except Exception as error:  # of the voice: all its rows
            return [error] * len(rows)

    def sound(self, sentence: Sentence) -> Piece | Exception:
        """Makes the next piece of sound."""
        content = _content(sentence)
        try:
            with self.voice.at_work():
                if content.sound is None:
                    content.sound = (_whole if content.request.chunks is None else _in_chunks)(
                        sentence, content
                    )
                return _next_piece(content.sound)
        except Exception as error:
            return error


class EngineDevice:
    """All loaded voices, as the lanes drive them; see `lanes.Device`."""

    def prefill(self, sentence: Sentence) -> Step | Exception:
        """Makes the first token."""
        return _content(sentence).at_work.prefill(sentence)

    def step(self, rows: Sequence[Sentence], *, lean: bool) -> list[Step | Exception]:
        """Makes the next token of each row, all of one voice."""
        return _content(rows[0]).at_work.step(rows, lean=lean)

    def sound(self, sentence: Sentence) -> Piece | Exception:
        """Makes the next piece of sound."""
        return _content(sentence).at_work.sound(sentence)


def _next_piece(sound: Generator[Chunk, None, str]) -> Piece:
    try:
        chunk = next(sound)
    except StopIteration as end:
        return Piece((), over=not end.value, problem=end.value)
    last = chunk.stop_reason is not None
    if last:
        return_freed_memory()
    return Piece((chunk,) if last or len(chunk.samples) else (), over=last)


def _content(sentence: Sentence) -> SpokenSentence:
    assert isinstance(sentence.content, SpokenSentence)
    return sentence.content


@dataclass
class _Tokens(Iterator[int]):
    """Tokens of a sentence for its decoder, which asks for those alone that are there."""

    sentence: Sentence
    given: int = field(default=0)

    def __next__(self) -> int:
        if self.given < self.sentence.count:
            self.given += 1
            return self.sentence.tokens[self.given - 1]
        if self.sentence.stop_reason is None:
            raise BackendError("a decoder asked for tokens before they were made: a defect of the engine")
        raise StopIteration


def _in_chunks(sentence: Sentence, content: SpokenSentence) -> Generator[Chunk, None, str]:
    """As `Synthesizer.stream` does."""
    voice, options, chunks = content.voice, content.options, content.request.chunks
    assert chunks is not None
    rate, level, symbols = voice.spec.sample_rate, 0.0, voice.spec.symbols
    sound = voice.decoder.stream(
        _Tokens(sentence),
        content.ids,
        reference=content.request.reference,
        options=options,
        chunks=chunks,
        noise=voice.decoder_noise(options, sentence.attempt),
    )
    for samples in sound:
        level = max(level, loudest(samples, rate))
        yield Chunk(samples, rate, sentence=sentence.index)
    tokens, ids = sentence, content.ids
    problem = endless(tokens, options) or too_short(tokens, ids, symbols)  # type: ignore[arg-type]
    if problem := problem or silent(level, ids, symbols):
        log_problem(len(ids), sentence.attempt, problem)
    pause = np.zeros(round(rate * options.pause_s), np.float32)
    yield Chunk(pause, rate, sentence=sentence.index, stop_reason=sentence.stop_reason)
    return ""


def _whole(sentence: Sentence, content: SpokenSentence) -> Generator[Chunk, None, str]:
    """As `Synthesizer.synthesize` does."""
    voice, ids, reason = content.voice, content.ids, sentence.stop_reason
    assert reason is not None
    made = TokenSequence(
        np.array(sentence.tokens, np.int64), ids, reason, sentence.attempt, seed=content.options.seed
    )
    spoken = voice.decode(made, content.request.reference, options=content.options)
    level = loudest(spoken.samples, spoken.sample_rate)
    if problem := silent(level, ids, voice.spec.symbols):
        return problem
    yield Chunk(spoken.samples, spoken.sample_rate, sentence=sentence.index, stop_reason=reason)
    return ""
