"""A sentence that failed is made again, a stated number of times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from sovits_runtime.errors import GenerationError
from sovits_runtime.speech.plausible import REMEDIES
from sovits_runtime.t2s.generator import TokenStream

logger = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")


def attempts(
    start: Callable[[int], TokenStream],
    problem_of: Callable[[TokenStream], str],
    *,
    phones: int,
    numbers: range,
) -> Generator[tuple[int, TokenStream], None, None]:
    """Yields a sentence's tokens, for the caller to take all of them, until they are without a problem.

    Args:
        start: Starts an attempt, by its number.
        problem_of: What is wrong with tokens that were taken, or nothing.
        phones: How many the sentence has, for messages.
        numbers: Of the attempts that are left.

    Raises:
        GenerationError: No attempt was.
    """
    for attempt in numbers:
        tokens = start(attempt)
        with closing(tokens):
            yield attempt, tokens
        problem = problem_of(tokens)
        if not problem:
            return
        log_problem(phones, attempt, problem)
    raise failure(phones, numbers.stop - 1, problem)


def log_problem(phones: int, attempt: int, problem: str) -> None:
    """Says what was wrong with an attempt."""
    logger.warning("sentence of %d phones, attempt %d: %s", phones, attempt, problem)


def failure(phones: int, attempts: int, problem: str) -> GenerationError:
    """The error when no attempt is left."""
    return GenerationError(
        f"no usable speech for {phones} phones after {attempts} attempts: {problem}; {REMEDIES[problem]}"
    )


def one_ahead(make: Callable[[A], B], sources: Iterable[A]) -> Iterator[B]:
    """As `map`, but makes the next one while the caller works with the one before."""
    with ThreadPoolExecutor(1, thread_name_prefix="tokens") as worker:
        following: Future[B] | None = None
        for source in sources:
            current, following = following, worker.submit(make, source)
            if current is not None:
                yield current.result()
        if following is not None:
            yield following.result()
