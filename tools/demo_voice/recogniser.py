"""Judges speech with a recogniser that nobody here wrote: pocketsphinx, listening for the words of the demo voice."""

from __future__ import annotations

import math
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from pocketsphinx import Config, Decoder
from sentences import sentences, vocabulary, words

RATE = 16_000
GRAMMAR_SENTENCES = 20_000
LEFT_OVER = 0.1
START, END = "<s>", "</s>"


@dataclass(frozen=True)
class Judgement:
    """What a recogniser made of one utterance.

    Attributes:
        said: Words that were to be said.
        heard: Words that were heard.
        errors: Words wrong, missing or too many.
    """

    said: list[str]
    heard: list[str]
    errors: int


class Recogniser:
    """pocketsphinx with its own US English acoustic model and dictionary, and a grammar of word pairs.

    The grammar is estimated from sentences of the demo voice's table, those kept for the test left out.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "household.arpa")
            path.write_text(word_pairs(sentences(GRAMMAR_SENTENCES, test=False)), encoding="ascii")
            self._decoder = Decoder(Config(samprate=float(RATE), loglevel="FATAL", lm=str(path)))
        unknown = [word for word in vocabulary() if self._decoder.lookup_word(word) is None]
        if unknown:
            raise RuntimeError(f"the recogniser's dictionary lacks {unknown}; choose other words")

    def hear(self, wave: NDArray[np.float32], sample_rate: int) -> list[str]:
        """Returns the words heard in a wave [n] of +-1."""
        wave = soxr.resample(wave.astype(np.float32), sample_rate, RATE, quality="HQ")
        wave = np.pad(wave, RATE // 4)
        self._decoder.start_utt()
        self._decoder.process_raw((np.clip(wave, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return [] if found is None else re.findall(r"[a-z']+", found.hypstr.lower())

    def judge(self, text: str, wave: NDArray[np.float32], sample_rate: int) -> Judgement:
        """Compares what is heard with a text."""
        said, heard = words(text), self.hear(wave, sample_rate)
        return Judgement(said, heard, edits(said, heard))


def edits(said: Sequence[str], heard: Sequence[str]) -> int:
    """Returns the fewest insertions, deletions and replacements that turn one into the other."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def error_rate(judgements: Sequence[Judgement]) -> float:
    """Returns the word error rate."""
    return sum(j.errors for j in judgements) / sum(len(j.said) for j in judgements)


def word_pairs(texts: Sequence[str]) -> str:
    """Returns a bigram model in ARPA format; a tenth of what follows a word is left to any word of the vocabulary."""
    pairs: Counter[tuple[str, str]] = Counter()
    for text in texts:
        row = [START, *words(text), END]
        pairs.update(pairwise(row))
    follow: Counter[str] = Counter()
    for (first, _), count in pairs.items():
        follow[first] += count
    single = [START, END, *vocabulary()]
    each = -math.log10(len(single) - 1)
    lines = ["\\data\\", f"ngram 1={len(single)}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    lines += [f"{-99 if word == START else each:.4f} {word} {math.log10(LEFT_OVER):.4f}" for word in single]
    lines += ["", "\\2-grams:"]
    lines += [
        f"{math.log10((1 - LEFT_OVER) * count / follow[first]):.4f} {first} {second}"
        for (first, second), count in sorted(pairs.items())
    ]
    return "\n".join([*lines, "", "\\end\\", ""])
