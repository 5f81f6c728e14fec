"""What speech can be like: limits that only a failed sentence, or a wrong transcript, lies beyond.

They are wide. Speech has 8 to 16 phones a second in most languages, and 25 where somebody hurries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import HUBERT_RATE, HUBERT_TAIL
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.speech.types import Floats, SpeechOptions
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS, TokenStream
from sovits_runtime.text.symbols import MARKS, PAD, UNKNOWN, SymbolVersion, symbol_index

EMPTY = "it ended before the first token"
ENDLESS = f"it did not end within {MAX_NEW_TOKENS} tokens"
SHORT = "it ended far too soon for its phones"
SILENT = "it is all but silent"
REMEDIES = {
    EMPTY: "try another seed or reference",
    ENDLESS: "try another seed or reference, a shorter sentence, or max_tokens to cut it",
    SHORT: "try another seed, or a reference whose transcript says all that is said in it",
    SILENT: "try another seed or reference",
}

NOT_SPOKEN = frozenset((PAD, UNKNOWN, *MARKS, "SP", "SP2", "SP3", "停", "空", "[", "]"))
"""Symbols that make no sound of their own: pauses, and marks of pitch."""

LEAST_TOKENS_PER_PHONE = 0.7
"""36 phones a second."""
SILENT_LEVEL = 0.002
"""Root mean square of the loudest 20 ms, of 1.0: -54 dB."""
SLOWEST_TRANSCRIPT, FASTEST_TRANSCRIPT = 6.0, 22.0
"""Spoken phones a second of recording."""

Problem = Callable[[TokenStream, NDArray[np.int64], SpeechOptions], str]
"""What is wrong with the tokens of a sentence, given its phones and how it was asked for; or nothing."""


@lru_cache(maxsize=2)
def _sounds(symbols: SymbolVersion) -> NDArray[np.bool_]:
    """Whether each symbol of a table is spoken."""
    return np.array([symbol not in NOT_SPOKEN for symbol in symbol_index(symbols)])


def spoken_phones(ids: NDArray[np.int64], symbols: SymbolVersion) -> int:
    """How many of the phones int64 [T] are spoken, and are no pauses."""
    return int(np.count_nonzero(_sounds(symbols)[ids]))


def empty(tokens: TokenStream, ids: NDArray[np.int64], options: SpeechOptions) -> str:
    """Whether no token came; see `Problem`."""
    return "" if tokens.count else EMPTY


def endless(tokens: TokenStream, options: SpeechOptions) -> str:
    """Whether it did not end by itself, where no limit was given."""
    return ENDLESS if tokens.stop_reason == "max_tokens" and options.max_tokens is None else ""


def too_short(tokens: TokenStream, ids: NDArray[np.int64], symbols: SymbolVersion) -> str:
    """Whether it ended by itself so soon that its phones cannot have been said."""
    least = LEAST_TOKENS_PER_PHONE * spoken_phones(ids, symbols)
    return SHORT if tokens.stop_reason == "eos" and tokens.count < least else ""


def problem_within(symbols: SymbolVersion) -> Problem:
    """What can be wrong with tokens that are all made, for a version's symbols."""

    def problem(tokens: TokenStream, ids: NDArray[np.int64], options: SpeechOptions) -> str:
        return empty(tokens, ids, options) or endless(tokens, options) or too_short(tokens, ids, symbols)

    return problem


def loudest(samples: Floats, rate: int) -> float:
    """Root mean square of the loudest 20 ms of samples float32 [n]."""
    length = max(rate // 50, 1)
    padded = np.pad(samples, (0, -len(samples) % length)).reshape(-1, length)
    return float(np.sqrt(np.square(padded).mean(axis=1).max(initial=0.0)))


def silent(level: float, ids: NDArray[np.int64], symbols: SymbolVersion) -> str:
    """Whether speech as loud as `loudest` says cannot be heard, though its phones are spoken."""
    return SILENT if spoken_phones(ids, symbols) and level < SILENT_LEVEL else ""


def transcript_warning(ids: NDArray[np.int64], prompt_len: int, symbols: SymbolVersion) -> str:
    """Says so where a transcript cannot be all, or only, what is said in its recording; else nothing.

    Args:
        ids: int64 [T], phones of the transcript.
        prompt_len: Semantic tokens of the recording.
        symbols: Table of the phones.
    """
    seconds = prompt_len / ModelSpec.token_rate_hz - HUBERT_TAIL / HUBERT_RATE
    spoken = spoken_phones(ids, symbols)
    if not prompt_len or not spoken or SLOWEST_TRANSCRIPT * seconds <= spoken <= FASTEST_TRANSCRIPT * seconds:
        return ""
    few = spoken < SLOWEST_TRANSCRIPT * seconds
    what = (
        "it seems to leave out part of what is said, and speech may begin with that"
        if few
        else "it seems to hold more than what is said, and words may get lost"
    )
    return (
        f"the reference's transcript has {spoken} spoken phones for {seconds:.1f} s of recording, where speech has 8 "
        f"to 16 a second: {what}; give the words of the whole recording, and no others"
    )
