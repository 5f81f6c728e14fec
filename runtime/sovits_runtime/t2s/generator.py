"""The interface of what generates semantic tokens, its results, and seeded noise."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.t2s.sampling import SamplingOptions

MAX_NEW_TOKENS = ModelSpec.max_tokens
MIN_NOISE = 1e-20  # an Exp(1) sample of exactly 0 would make p / noise undefined

StopReason = Literal["eos", "max_tokens"]
Noise = Callable[[int], NDArray[np.float32]]
"""Gives the Exp(1) samples float32 [1, vocab] of step 0, 1, 2, ...; steps ask for them in that order, each once."""


@dataclass(frozen=True)
class Generation:
    """Semantic tokens of one request.

    Attributes:
        tokens: int64 [n], end-of-speech token excluded.
        stop_reason: "eos": the model ended by itself; "max_tokens": the limit was reached.
    """

    tokens: NDArray[np.int64]
    stop_reason: StopReason


@dataclass(frozen=True)
class Step:
    """One sampled token.

    Attributes:
        token: The token; not part of the speech when `stop` is set.
        stop: Whether the model ended.
        logits: float32 [V] before any treatment; a view that the next step overwrites.
    """

    token: int
    stop: bool
    logits: NDArray[np.float32]


class TokenStream:
    """Semantic tokens of one request, each made when it is asked for.

    Attributes:
        count: Tokens given so far.
        stop_reason: Why there are no more; None before that is known, and of a stream that was closed early.
        work: What is entered while a token is being made; it may refuse.
    """

    def __init__(self, tokens: Generator[int, None, StopReason]) -> None:
        self.count = 0
        self.stop_reason: StopReason | None = None
        self.work: Callable[[], AbstractContextManager[None]] = nullcontext
        self._tokens = tokens

    def __iter__(self) -> Iterator[int]:
        while True:
            try:
                with self.work():
                    token = next(self._tokens)
            except StopIteration as end:
                self.stop_reason = end.value or self.stop_reason
                return
            self.count += 1
            yield token

    def finish(self) -> Generation:
        """Makes all tokens that are left.

        Raises:
            BackendError: The stream was closed before.
        """
        tokens = np.fromiter(self, np.int64)
        if self.stop_reason is None:
            raise BackendError("the token stream was closed before its end; start the sentence again")
        return Generation(tokens, self.stop_reason)

    def close(self) -> None:
        """Frees the request's state; no more tokens come."""
        self._tokens.close()

    def free(self) -> None:
        """As `close`; for a voice that is closed."""
        self.close()


def seeded_noise(rng: np.random.Generator, vocab: int) -> Noise:
    """Returns a source of Exp(1) samples [1, vocab] that belong to a seed.

    Raises:
        ShapeError: From the source, when a step is asked for out of order: its samples would be another step's.
    """
    following = 0

    def sample(step: int) -> NDArray[np.float32]:
        nonlocal following
        if step != following:
            raise ShapeError(f"sampling noise: got step {step}, expected {following}; ask for steps in order")
        following += 1
        noise = rng.standard_exponential((1, vocab), dtype=np.float32)
        return np.maximum(noise, np.float32(MIN_NOISE))

    return sample


class RunnableGraph(Protocol):
    """What reports need to know about a graph, whatever runs it."""

    @property
    def spec(self) -> GraphSpec:
        """Its inputs and outputs."""

    @property
    def provider(self) -> str:
        """What runs it."""


def tokens_until(steps: Generator[Step, None, None], max_tokens: int) -> Generator[int, None, StopReason]:
    """Yields the tokens of steps until the model ends or `max_tokens` are made; returns why."""
    try:
        for count, step in enumerate(steps, 1):
            if step.stop:
                return "eos"
            yield step.token
            if count >= max_tokens:
                break
        return "max_tokens"
    finally:
        steps.close()


class SemanticGenerator(Protocol):
    """Generates semantic tokens from phones. Safe to use from several threads.

    Attributes:
        cache_names: Inputs of the step that are its caches.
        vocab: Semantic tokens, the end of speech included.
        bert_width: Width of the BERT features.
    """

    cache_names: list[str]
    vocab: int
    bert_width: int

    @property
    def prefill(self) -> RunnableGraph:
        """The graph of the first token."""

    @property
    def step(self) -> RunnableGraph:
        """The graph of the others."""

    def steps(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
        forced: NDArray[np.int64] | None = None,
    ) -> Iterator[Step]:
        """Yields each step with its logits, for checks; see `TextToSemantic.steps`."""

    def generate(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
        max_tokens: int = MAX_NEW_TOKENS,
    ) -> Generation:
        """Generates all tokens of a request; see `TextToSemantic.generate`."""

    def tokens(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
        max_tokens: int = MAX_NEW_TOKENS,
    ) -> TokenStream:
        """Streams the tokens of a request; see `TextToSemantic.tokens`."""
