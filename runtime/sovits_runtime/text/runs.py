"""Runs of one script each, with a guess at the language: the cutting underneath `segment`.

Text is cut where the script changes, stretches of ideographs and kana are cut into words by budoux, every word is
given to a detector, and small pieces then join their neighbours. The detector is an argument, so that the result
can be replayed and so that no model is needed where the language is given.

Source: split-lang 2.1.1 (MIT), split/splitter.py, LangSplitter.split_by_lang, as GPT-SoVITS calls it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from sovits_runtime.text.extras import import_extra, once
from sovits_runtime.text.run_joining import (
    DIGIT,
    MARK,
    NEWLINE,
    UNKNOWN_LANGUAGE,
    ZH_JA,
    Run,
    Section,
    join_across_marks,
    join_across_newlines,
    join_same,
    settle_zh_ja,
)

_KO: Final = "ko"
_OTHERS: Final = "others"

_MARKS: Final = frozenset(
    "〜~,.;:!?，。！？；：、·([{<（【《〈「『“‘)]}>）】》〉」』”’\"-_—#$%&…￥'*+<=>?@[\\]^_`{|}~"
)
_KANA: Final = re.compile("[\u3040-\u30ff々]")
_ZH_JA_CHAR: Final = re.compile("[\u4e00-\u9fff\u3040-\u30ff々]")
_HANGUL: Final = re.compile("[\uac00-\ud7af]")
_WORD: Final = re.compile(r"\s*\S+\s*")
_CHINESE: Final = {"zh": "zh", "yue": "zh", "wuu": "zh", "zh-cn": "zh", "zh-tw": UNKNOWN_LANGUAGE}
_ZH_JA_CODES: Final[Mapping[str, str]] = MappingProxyType({**_CHINESE, "ja": "ja"})
_OTHER_CODES: Final[Mapping[str, str]] = MappingProxyType({**_CHINESE, "ko": "ko", "ja": "ja", "en": "en"})


class Detector(Protocol):
    """Names the language of a short text as a lower-case code such as `zh`, `ja` or `en`."""

    def best(self, text: str) -> str:
        """The likeliest language."""

    def candidates(self, text: str) -> Sequence[str]:
        """Up to five likely languages."""


def _kind_of(char: str, before: str) -> str | None:
    """Script of a character; None when it stays with the section it follows."""
    if _ZH_JA_CHAR.match(char):
        return ZH_JA
    if _HANGUL.match(char):
        return _KO
    if char.isdigit():
        return DIGIT
    if char in _MARKS:
        return None if char == "'" and before and not before.isspace() else MARK
    if char.isspace():
        return NEWLINE if char in "\n\r" else None
    return _OTHERS


def _sections(text: str) -> list[Section]:
    sections: list[Section] = []
    current, start = _OTHERS, 0
    for index, char in enumerate(text):
        kind = _kind_of(char, text[index - 1] if index else "")
        if kind is None or (kind == current and kind not in (MARK, NEWLINE)):
            continue
        if index > start:
            sections.append(Section(current, text[start:index]))
        current, start = kind, index
    if text[start:]:
        sections.append(Section(current, text[start:]))
    return sections


@once
def _word_cutters() -> tuple[Any, Any]:
    budoux = import_extra("budoux", "zh")
    return budoux.load_default_japanese_parser(), budoux.load_default_simplified_chinese_parser()


def _has_kana(text: str) -> bool:
    return _KANA.search(text) is not None


def _cut_words(text: str) -> list[str]:
    japanese, chinese = _word_cutters()
    pieces = [word for part in japanese.parse(text) for word in chinese.parse(part)]
    words = pieces[:1]
    for piece in pieces[1:]:
        left_kana, kana = _has_kana(words[-1]), _has_kana(piece)
        if left_kana == kana and (kana or len(piece) == 1):
            words[-1] += piece
        else:
            words.append(piece)
    if len(words) >= 2 and len(words[0]) == 1:
        words[:2] = [words[0] + words[1]]
    return words


def _adapt_middles(runs: list[Run], detector: Detector) -> list[Run]:
    for left, middle, right in zip(runs, runs[1:], runs[2:], strict=False):
        if left.lang != right.lang or left.lang in (UNKNOWN_LANGUAGE, NEWLINE):
            continue
        short = len(middle.text) <= 4 and len(left.text) + len(right.text) >= 6
        if middle.lang == UNKNOWN_LANGUAGE or (
            not _has_kana(middle.text) and (short or left.lang in detector.candidates(middle.text))
        ):
            middle.lang = left.lang
    return join_same(runs)


def _nearest_lang(runs: Sequence[Run], index: int, step: int) -> str:
    others = runs[index + 1 :] if step > 0 else runs[:index][::-1]
    known = (run.lang for run in others if run.lang not in (UNKNOWN_LANGUAGE, DIGIT))
    return next(known, runs[index].lang)


def _fill_unknown(runs: Sequence[Run]) -> None:
    last = len(runs) - 1
    for index, run in enumerate(runs):
        if run.lang == UNKNOWN_LANGUAGE:
            left = index == last or (index > 0 and len(runs[index - 1].text) >= len(runs[index + 1].text))
            run.lang = _nearest_lang(runs, index, -1 if left and index > 0 else 1)


def _adapt_end(runs: Sequence[Run], index: int, detector: Detector) -> None:
    step = 1 if index == 0 else -1
    run = runs[index]
    adapt = run.lang == UNKNOWN_LANGUAGE
    if len(runs) >= 2 and not adapt:
        near = runs[index + step]
        no_kana = not _has_kana(run.text) and not _has_kana(near.text)
        near_is_long = len(near.text) >= max(6, len(run.text) + 1) and near.lang == "zh"
        adapt = (no_kana and near_is_long) or (
            (no_kana or len(near.text) <= 5) and near.lang in detector.candidates(run.text)
        )
    if adapt:
        run.lang = _nearest_lang(runs, index, step)


def _detect(section: Section, detector: Detector, cut_words: bool) -> list[Run]:
    if section.kind in (MARK, NEWLINE, DIGIT, _KO):
        return [Run(section.kind, section.text)]
    if section.kind == ZH_JA:
        words = _cut_words(section.text) if cut_words else [section.text]
        codes = _ZH_JA_CODES
    else:
        words, codes = _WORD.findall(section.text) or [section.text], _OTHER_CODES
    runs = []
    for word in words:
        kana = section.kind == ZH_JA and _has_kana(word)
        code = "ja" if kana else codes.get(detector.best(word), UNKNOWN_LANGUAGE)
        runs.append(Run(code, word))
    runs = _adapt_middles(join_same(runs), detector)
    runs = _adapt_middles(runs, detector)
    _fill_unknown(runs)
    _adapt_end(runs, 0, detector)
    _adapt_end(runs, len(runs) - 1, detector)
    return _adapt_middles(join_same(runs), detector)


def language_runs(text: str, detector: Detector, *, cut_words: bool = True) -> list[Run]:
    """Cut a text into runs of one language each.

    Args:
        text: Any text; white space at both ends is dropped.
        detector: Judges words without kana.
        cut_words: Whether ideographs and kana are judged word by word, not as a whole.

    Raises:
        TextError: budoux is not installed and the text holds ideographs.
    """
    sections = _sections(text.strip())
    if not sections:
        return []
    for section in sections:
        section.runs = _detect(section, detector, cut_words)
    sections = join_across_newlines(join_across_marks(sections))
    for section in sections:
        if section.kind == ZH_JA:
            section.runs = settle_zh_ja(section.runs)
    return [run for section in sections for run in section.runs]
