"""Words and part-of-speech tags by jieba's dictionary and models.

Only jieba's data is used. The code here loads them in a quarter of the time, keeps no cache file in the temporary
folder, is not changed by words an application adds to jieba, and settles ties as jieba_fast does, which cut the
sub-words of the training data: `jieba` and `jieba_fast` agree on tagged words, but not on those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Final, NamedTuple

from sovits_runtime.text.extras import once, package_file
from sovits_runtime.text.zh.markov import plain_words, tagged_words

_HAN_OR_STOP: Final = re.compile(r"([\u4e00-\u9fd5a-zA-Z0-9+#&._%]+)")
_HAN: Final = re.compile(r"([\u4e00-\u9fd5]+)")


class Word(NamedTuple):
    """A word and its jieba part-of-speech tag."""

    text: str
    tag: str


@dataclass(frozen=True)
class Dictionary:
    """jieba's word list.

    Attributes:
        counts: How often a word was seen.
        tags: Its part of speech.
        total: Sum of the counts.
        longest: Characters in the longest word.
    """

    counts: Mapping[str, int]
    tags: Mapping[str, str]
    total: int
    longest: int


@once
def load_dictionary() -> Dictionary:
    """Read jieba's dictionary, once.

    Raises:
        TextError: jieba is not installed.
    """
    columns = package_file("jieba", "dict.txt", extra="zh").read_text(encoding="utf-8").split()
    words = columns[0::3]
    counts = dict(zip(words, map(int, columns[1::3]), strict=True))
    tags = dict(zip(words, columns[2::3], strict=True))
    return Dictionary(counts, tags, sum(counts.values()), max(map(len, words)))


def _likeliest_cuts(text: str, longest_on_tie: bool) -> list[int]:
    """For each start, the end of the word on the likeliest path."""
    dictionary = load_dictionary()
    counts, log_total = dictionary.counts, log(dictionary.total)
    length = len(text)
    score = [0.0] * (length + 1)
    ends = [0] * length
    for start in range(length - 1, -1, -1):
        best, best_end = float("-inf"), start + 1
        known = False
        for end in range(start + 1, min(length, start + dictionary.longest) + 1):
            count = counts.get(text[start:end])
            if not count:
                continue
            known = True
            value = log(count) - log_total + score[end]
            if value > best or (longest_on_tie and value == best):
                best, best_end = value, end
        ends[start] = best_end
        score[start] = best if known else score[start + 1] - log_total
    return ends


def _runs(block: str, longest_on_tie: bool) -> Iterator[tuple[str, bool]]:
    """Dictionary words (False) and runs of single characters (True), in order."""
    ends = _likeliest_cuts(block, longest_on_tie)
    position, loose = 0, ""
    while position < len(block):
        piece = block[position : ends[position]]
        position += len(piece)
        if len(piece) == 1:
            loose += piece
            continue
        if loose:
            yield loose, True
            loose = ""
        yield piece, False
    if loose:
        yield loose, True


def _tag_loose(loose: str) -> Iterator[Word]:
    dictionary = load_dictionary()
    if len(loose) == 1 or dictionary.counts.get(loose):
        for char in loose:
            yield Word(char, dictionary.tags.get(char, "x"))
        return
    for part in _HAN.split(loose):
        if _HAN.match(part):
            yield from (Word(text, tag) for text, tag in tagged_words(part))
        elif part:
            yield Word(part, "m")


def cut_tagged(text: str) -> list[Word]:
    """Words of a normalised piece of text (Chinese characters and marks) with tags.

    Raises:
        TextError: jieba is not installed.
    """
    tags = load_dictionary().tags
    words: list[Word] = []
    for block in _HAN_OR_STOP.split(text):
        if not _HAN_OR_STOP.match(block):
            words.extend(Word(mark, "x") for mark in block)
            continue
        for piece, loose in _runs(block, longest_on_tie=True):
            words.extend(_tag_loose(piece) if loose else [Word(piece, tags.get(piece, "x"))])
    return words


def _cut_plain(text: str) -> Iterator[str]:
    counts = load_dictionary().counts
    for block in _HAN_OR_STOP.split(text):
        if not _HAN_OR_STOP.match(block):
            yield from block
            continue
        for piece, loose in _runs(block, longest_on_tie=False):
            if not loose:
                yield piece
            elif len(piece) == 1 or counts.get(piece):
                yield from piece
            else:
                for part in _HAN.split(piece):
                    yield from plain_words(part) if _HAN.match(part) else ([part] if part else [])


def _search_pieces(text: str) -> Iterator[str]:
    counts = load_dictionary().counts
    for word in _cut_plain(text):
        for size in (2, 3):
            if len(word) > size:
                grams = (word[i : i + size] for i in range(len(word) - size + 1))
                yield from (gram for gram in grams if counts.get(gram))
        yield word


def joins_two_words(word: str, index: int) -> bool:
    """Whether a long word, such as a name, is made of two words of several characters.

    Args:
        word: Of the dictionary.
        index: Where the second one would start.
    """
    counts = load_dictionary().counts
    first, second = word[:index], word[index:]
    return min(len(first), len(second)) > 1 and bool(counts.get(first) and counts.get(second))


@lru_cache(maxsize=4096)
def split_word(word: str) -> tuple[str, str]:
    """Split a word at its shortest dictionary part: that part and the rest, in the order they stand.

    The rest is cut by length alone, as the original does, even where the part lies in the middle.
    Source: GPT-SoVITS, text/tone_sandhi.py, ToneSandhi._split_word.
    """
    shortest = min(_search_pieces(word), key=len)
    if word.startswith(shortest):
        return shortest, word[len(shortest) :]
    return word[: -len(shortest)], shortest
