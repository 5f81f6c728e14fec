"""Joining of segmented words, so that tone rules see the characters that influence each other.

Source: GPT-SoVITS, text/tone_sandhi.py, ToneSandhi.pre_merge_for_modify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sovits_runtime.text.zh.segmentation import Word
from sovits_runtime.text.zh.syllables import pinyin


def merge_words(words: Iterable[Word]) -> list[Word]:
    """Apply all joins in the order the tone rules were made for.

    Raises:
        TextError: pypinyin is not installed.
    """
    merged = _join_bu(words)
    merged = _join_reduplicated_yi(merged)
    merged = _join_yi(merged)
    merged = _join_repeated(merged)
    merged = _join_third_tones(merged, _all_third)
    merged = _join_third_tones(merged, _third_meets_third)
    return _join_er(merged)


def _append_to_last(words: list[Word], text: str) -> None:
    words[-1] = words[-1]._replace(text=words[-1].text + text)


def _join_bu(words: Iterable[Word]) -> list[Word]:
    """不 with the word after it, which gives the tag; one left at the end becomes an adverb."""
    merged: list[Word] = []
    pending = False
    for word in words:
        joined = word._replace(text="不" + word.text) if pending else word
        pending = joined.text == "不"
        if not pending:
            merged.append(joined)
    if pending:
        merged.append(Word("不", "d"))
    return merged


def _join_reduplicated_yi(words: Sequence[Word]) -> list[Word]:
    """Verb, 一, the same verb."""
    merged: list[Word] = []
    index = 0
    while index < len(words):
        following = words[index + 1] if index + 1 < len(words) else None
        if words[index].text == "一" and merged and following == merged[-1] and following.tag == "v":
            _append_to_last(merged, "一" + following.text)
            index += 2
        else:
            merged.append(words[index])
            index += 1
    return merged


def _join_yi(words: Iterable[Word]) -> list[Word]:
    """一 with the word after it."""
    merged: list[Word] = []
    for word in words:
        if merged and merged[-1].text == "一":
            _append_to_last(merged, word.text)
        else:
            merged.append(word)
    return merged


def _join_repeated(words: Iterable[Word]) -> list[Word]:
    merged: list[Word] = []
    for word in words:
        if merged and merged[-1].text == word.text:
            _append_to_last(merged, word.text)
        else:
            merged.append(word)
    return merged


def _all_third(left: Sequence[str], right: Sequence[str]) -> bool:
    return all(final.endswith("3") for final in (*left, *right))


def _third_meets_third(left: Sequence[str], right: Sequence[str]) -> bool:
    return left[-1].endswith("3") and right[0].endswith("3")


def _join_third_tones(
    words: Sequence[Word], meet: Callable[[Sequence[str], Sequence[str]], bool]
) -> list[Word]:
    """Neighbours of three characters at most that meet in third tones; none takes part twice."""
    finals = [pinyin(word.text)[1] for word in words]
    merged: list[Word] = []
    last_joined = False
    for index, word in enumerate(words):
        before = words[index - 1] if index else None
        joins = (
            before is not None
            and not last_joined
            and meet(finals[index - 1], finals[index])
            and not _is_reduplication(before.text)
            and len(before.text) + len(word.text) <= 3
        )
        if joins:
            _append_to_last(merged, word.text)
        else:
            merged.append(word)
        last_joined = joins
    return merged


def _is_reduplication(text: str) -> bool:
    return len(text) == 2 and text[0] == text[1]


def _join_er(words: Iterable[Word]) -> list[Word]:
    merged: list[Word] = []
    for word in words:
        if merged and word.text == "儿":
            _append_to_last(merged, word.text)
        else:
            merged.append(word)
    return merged
