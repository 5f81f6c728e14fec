"""Tone changes inside a word: 不, 一, unstressed syllables, runs of third tones.

Every rule takes the toned finals of a word (`"ao3"`) and changes tone digits in place.
Source: GPT-SoVITS, text/tone_sandhi.py, ToneSandhi.modified_tone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sovits_runtime.text.zh.package_data import neutral_words, stressed_words
from sovits_runtime.text.zh.segmentation import Word, joins_two_words, split_word

_PARTICLES: Final = frozenset("吧呢哈啊呐噻嘛吖嗨哦哒额滴哩哟喽啰耶喔诶的地得")
_STOPS: Final = frozenset(",.?!")
_DIRECTIONS: Final = frozenset("上下进出回过起开")
_COUNTS_GE: Final = frozenset("几有两半多各整每做是")


def change_tones(word: Word, finals: Sequence[str], *, starts: Collection[int] | None = None) -> list[str]:
    """Finals of a word as it is spoken.

    Args:
        word: A word after `merge_words`.
        finals: Its dictionary finals with tone digits, one a character; a mark stands for itself.
        starts: Where inside it other words start that were joined to it. A character that stands twice over such a
            border keeps its tone. None: it loses it there too, as in the original.

    Raises:
        TextError: kokorog2p or jieba is not installed.
    """
    changed = list(finals)
    _change_bu(word.text, changed)
    _change_yi(word.text, changed)
    _weaken(word, changed, starts)
    _change_third(word.text, changed)
    return changed


def _set_tone(finals: list[str], index: int, tone: str) -> None:
    finals[index] = finals[index][:-1] + tone


def _change_bu(text: str, finals: list[str]) -> None:
    if len(text) == 3 and text[1] == "不":
        _set_tone(finals, 1, "5")
        return
    for index in range(len(text) - 1):
        if text[index] == "不" and finals[index + 1].endswith("4"):
            _set_tone(finals, index, "2")


def _change_yi(text: str, finals: list[str]) -> None:
    if "一" not in text or all(char.isnumeric() for char in text if char != "一"):
        return
    if len(text) == 3 and text[1] == "一" and text[0] == text[2]:
        _set_tone(finals, 1, "5")
        return
    if text.startswith("第一"):
        _set_tone(finals, 1, "1")
        return
    for index in range(len(text) - 1):
        if text[index] != "一":
            continue
        if finals[index + 1].endswith("4"):
            _set_tone(finals, index, "2")
        elif text[index + 1] not in _STOPS:
            _set_tone(finals, index, "4")


def _weaken(word: Word, finals: list[str], starts: Collection[int] | None) -> None:
    text, tag = word
    if tag[0] in "nva" and text not in stressed_words():
        for index in range(1, len(text)):
            over_border = starts is not None and (index in starts or joins_two_words(text, index))
            if text[index] == text[index - 1] and not over_border:
                _set_tone(finals, index, "5")
    ge = text.find("个")
    if _ends_weak(word):
        _set_tone(finals, -1, "5")
    elif text == "个" or (ge >= 1 and (text[ge - 1].isnumeric() or text[ge - 1] in _COUNTS_GE)):
        _set_tone(finals, ge, "5")
    elif _is_neutral(text):
        _set_tone(finals, -1, "5")
    first, second = split_word(text)
    if _is_neutral(first):
        _set_tone(finals, len(first) - 1, "5")
    if _is_neutral(second):
        _set_tone(finals, -1, "5")


def _ends_weak(word: Word) -> bool:
    """Particles, aspect marks, suffixes and directions that lose their tone at the end of a word."""
    text, tag = word
    last = text[-1]
    if last in _PARTICLES:
        return True
    if len(text) == 1:
        return last in "了着过" and tag in {"ul", "uz", "ug"}
    return (
        (last in "们子" and tag in {"r", "n"} and text not in stressed_words())
        or (last in "上下里" and tag in {"s", "l", "f"})
        or (last in "来去" and text[-2] in _DIRECTIONS)
    )


def _is_neutral(text: str) -> bool:
    words = neutral_words()
    return text in words or text[-2:] in words


def _all_third(finals: Sequence[str]) -> bool:
    return all(final.endswith("3") for final in finals)


def _change_third(text: str, finals: list[str]) -> None:
    if len(text) == 2 and _all_third(finals):
        _set_tone(finals, 0, "2")
    elif len(text) == 3:
        _change_third_of_three(finals, len(split_word(text)[0]))
    elif len(text) == 4:
        for half in (0, 2):
            if _all_third(finals[half : half + 2]):
                _set_tone(finals, half, "2")


def _change_third_of_three(finals: list[str], first_len: int) -> None:
    if _all_third(finals):
        if first_len == 2:
            _set_tone(finals, 0, "2")
        if first_len in (1, 2):
            _set_tone(finals, 1, "2")
        return
    first, second = finals[:first_len], finals[first_len:]
    if len(first) == 2 and _all_third(first):
        _set_tone(finals, 0, "2")
        first = finals[:first_len]
    if len(second) == 2 and _all_third(second):
        _set_tone(finals, first_len, "2")
    elif second and not _all_third(second) and second[0].endswith("3") and first[-1].endswith("3"):
        _set_tone(finals, first_len - 1, "2")
