"""One sentence, from phones to sound: tokens, and a waveform of them; what fails is made again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.errors import ShapeError, TextError
from sovits_runtime.machine.process_memory import return_freed_memory
from sovits_runtime.speech.attempts import attempts, failure, log_problem
from sovits_runtime.speech.decoder import SpeechDecoder
from sovits_runtime.speech.lifetime import Lifetime
from sovits_runtime.speech.noise import NormalNoise, seeded_generators, seeded_normal
from sovits_runtime.speech.plausible import Problem, loudest, problem_within, silent
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import (
    RANDOM_SEED,
    AudioSentence,
    PhoneInput,
    SpeechOptions,
    TokenSequence,
)
from sovits_runtime.t2s.generator import (
    MAX_NEW_TOKENS,
    Noise,
    SemanticGenerator,
    TokenStream,
    seeded_noise,
)
from sovits_runtime.t2s.rows import Row, row_maker
from sovits_runtime.text.symbols import symbol_ids


class Speaker(ABC):
    """Speaks single sentences with the GPT and the decoder of a voice.

    Args:
        spec: What its version is like.
        lifetime: Says whether the voice is open.
    """

    def __init__(self, spec: ModelSpec, lifetime: Lifetime) -> None:
        self.spec = spec
        self._lifetime = lifetime

    @property
    @abstractmethod
    def text_to_semantic(self) -> SemanticGenerator:
        """The GPT."""

    @property
    @abstractmethod
    def decoder(self) -> SpeechDecoder:
        """What turns semantic tokens into sound."""

    def phone_ids(self, phones: PhoneInput) -> NDArray[np.int64]:
        """Turns phone symbols (or ids, which are checked) into ids int64 [T].

        Raises:
            TextError: No phones, or an id outside the symbol table.
        """
        if len(phones) == 0:
            raise TextError("no phones given; expected at least one phone symbol or id")
        if isinstance(phones, np.ndarray):
            ids = phones.astype(np.int64)
        elif all(isinstance(p, str) for p in phones):
            ids = symbol_ids(tuple(phones), self.spec.symbols)
        else:
            raise TextError(f"phones: expected symbols (str) or an int64 array of ids, got {phones!r:.80}")
        if ids.ndim != 1 or ids.min() < 0 or ids.max() >= self.spec.n_symbols:
            raise TextError(
                f"phone ids: expected a list of 0 to {self.spec.n_symbols - 1}, got shape {list(ids.shape)} with "
                f"values {ids.min()} to {ids.max()}"
            )
        return ids

    def bert_or_zeros(self, ids: NDArray[np.int64], bert: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """BERT features float32 [T, 1024] of phone ids int64 [T]: those given, else zeros.

        Raises:
            TextError: Those given have another shape.
        """
        width = self.text_to_semantic.bert_width
        if bert is None:
            return np.zeros((len(ids), width), np.float32)
        if bert.shape != (len(ids), width):
            raise TextError(
                f"BERT features: expected [{len(ids)}, {width}] for these phones, got {list(bert.shape)}"
            )
        return np.asarray(bert, np.float32)

    def tokens(
        self,
        phones: NDArray[np.int64],
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None,
        options: SpeechOptions,
        attempt: int = 1,
    ) -> TokenStream:
        """Starts one sentence and gives its semantic tokens as they are made.

        Args:
            phones: int64 [T], of the sentence.
            reference: The voice to clone.
            bert: float32 [T, 1024] of a Chinese sentence; None: zeros.
            options: How to speak.
            attempt: Number of the attempt; each has noise of its own.

        Raises:
            ShapeError: The version does not take what the options ask.
        """
        options.check_version(self.spec)
        tokens = self.text_to_semantic.tokens(
            *self._gpt_inputs(phones, reference, bert),
            options=options.sampling,
            noise=self._token_noise(options, attempt),
            max_tokens=options.max_tokens or MAX_NEW_TOKENS,
        )
        tokens.work = self._lifetime.work
        return self._lifetime.watch(tokens)

    def at_work(self) -> AbstractContextManager[None]:
        """A piece of work that closing the voice waits for.

        Raises:
            BackendError: On entering, where the voice is closed.
        """
        return self._lifetime.work()

    def open_row(
        self,
        phones: NDArray[np.int64],
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None,
        options: SpeechOptions,
        attempt: int = 1,
    ) -> Row:
        """Opens one sentence as a row of a batch: its tokens are those of `tokens`. Arguments and errors as there."""
        options.check_version(self.spec)
        return row_maker(self.text_to_semantic).open_row(
            *self._gpt_inputs(phones, reference, bert),
            options=options.sampling,
            noise=self._token_noise(options, attempt),
        )

    def _gpt_inputs(
        self, phones: NDArray[np.int64], reference: Reference, bert: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        reference.check_phones(self.spec.n_symbols)
        return (
            np.concatenate([reference.phones, phones]),
            np.concatenate([reference.bert, self.bert_or_zeros(phones, bert)]),
            reference.prompt,
        )

    def _token_noise(self, options: SpeechOptions, attempt: int) -> Noise:
        generator = seeded_generators(options.with_seed().seed, attempt)[0]
        return seeded_noise(generator, self.text_to_semantic.vocab)

    def decoder_noise(self, options: SpeechOptions, attempt: int = 1) -> NormalNoise:
        """Returns the source of the decoder's noise that belongs to a seed and an attempt."""
        return seeded_normal(seeded_generators(options.with_seed().seed, attempt)[1])

    def generate(
        self,
        phones: PhoneInput,
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None = None,
        options: SpeechOptions | None = None,
    ) -> TokenSequence:
        """Makes the semantic tokens of one sentence, for `decode`. Arguments and errors as in `synthesize`."""
        how = (options or SpeechOptions()).with_seed()
        return self._generate(self.phone_ids(phones), reference, bert=bert, options=how)

    def _generate(
        self,
        ids: NDArray[np.int64],
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None,
        options: SpeechOptions,
        first: int = 1,
    ) -> TokenSequence:
        start = time.perf_counter()
        problem_of = problem_within(self.spec.symbols)
        with self._lifetime.work():
            for number, tokens in self._attempts(
                ids, reference, bert=bert, options=options, problem_of=problem_of, first=first
            ):
                generation, attempt = tokens.finish(), number
        seconds = time.perf_counter() - start
        return TokenSequence(
            generation.tokens, ids, generation.stop_reason, attempt, seconds, seed=options.seed
        )

    def _attempts(
        self,
        ids: NDArray[np.int64],
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None,
        options: SpeechOptions,
        problem_of: Problem,
        first: int = 1,
    ) -> Generator[tuple[int, TokenStream], None, None]:
        """Yields a sentence's tokens until they are without a problem; see `attempts`."""
        return attempts(
            lambda attempt: self.tokens(ids, reference, bert=bert, options=options, attempt=attempt),
            lambda tokens: problem_of(tokens, ids, options),
            phones=len(ids),
            numbers=range(first, options.retries + 2),
        )

    def _heard(
        self,
        utterance: TokenSequence,
        reference: Reference,
        *,
        bert: NDArray[np.float32] | None,
        options: SpeechOptions,
        noise: NormalNoise | None,
        spoken: AudioSentence | None = None,
    ) -> AudioSentence:
        """Speaks tokens, or takes what was spoken of them; what is all but silent is made again.

        Raises:
            GenerationError: No attempt is left.
        """
        ids, symbols = utterance.phones, self.spec.symbols
        while True:
            spoken = spoken or self.decode(utterance, reference, options=options, noise=noise)
            problem = silent(loudest(spoken.samples, spoken.sample_rate), ids, symbols)
            if not problem:
                return spoken
            log_problem(len(ids), utterance.attempts, problem)
            if utterance.attempts > options.retries:
                raise failure(len(ids), utterance.attempts, problem)
            first = utterance.attempts + 1
            utterance = self._generate(ids, reference, bert=bert, options=options, first=first)
            spoken = None

    def decode(
        self,
        utterance: TokenSequence,
        reference: Reference,
        *,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> AudioSentence:
        """Speaks tokens that `generate` made, or others. Arguments and errors as in `synthesize`."""
        options = _seed_of(options, utterance)
        options.check_version(self.spec)
        noise = noise or self.decoder_noise(options, utterance.attempts)
        start = time.perf_counter()
        with self._lifetime.work():
            samples = self.decoder.speak(utterance, reference, options=options, noise=noise)
        return_freed_memory()
        return self._sentence(samples, utterance, options, time.perf_counter() - start)

    def decode_joined(
        self,
        utterances: Sequence[TokenSequence],
        reference: Reference,
        *,
        options: SpeechOptions | None = None,
        noise: NormalNoise | None = None,
    ) -> list[AudioSentence]:
        """Speaks the tokens of several sentences in one go. Arguments as in `synthesize_many`."""
        if not utterances:
            raise ShapeError("no utterances given; expected at least one")
        options = _seed_of(options, utterances[0])
        options.check_version(self.spec)
        noise = noise or self.decoder_noise(options, utterances[0].attempts)
        start = time.perf_counter()
        with self._lifetime.work():
            samples = self.decoder.speak_joined(utterances, reference, options=options, noise=noise)
        return_freed_memory()
        seconds_each = (time.perf_counter() - start) / len(utterances)
        return [self._sentence(s, u, options, seconds_each) for s, u in zip(samples, utterances, strict=True)]

    def _sentence(
        self, samples: NDArray[np.float32], utterance: TokenSequence, options: SpeechOptions, decode_s: float
    ) -> AudioSentence:
        peak = float(np.max(np.abs(samples), initial=0.0))
        samples = samples / peak if peak > 1 else samples
        silence = np.zeros(round(self.spec.sample_rate * options.pause_s), np.float32)
        return AudioSentence(
            np.concatenate([samples, silence]),
            self.spec.sample_rate,
            tokens=utterance.tokens,
            stop_reason=utterance.stop_reason,
            attempts=utterance.attempts,
            generate_s=utterance.generate_s,
            decode_s=decode_s,
            seed=utterance.seed,
        )


def _seed_of(options: SpeechOptions | None, utterance: TokenSequence) -> SpeechOptions:
    """Options that name a seed: their own, else that of the tokens, else one by chance."""
    options = options or SpeechOptions()
    if options.seed == RANDOM_SEED and utterance.seed is not None:
        return replace(options, seed=utterance.seed)
    return options.with_seed()
