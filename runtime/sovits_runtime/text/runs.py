"""Runs of one script each, with a guess at the language: the cutting underneath `segment`.

Text is cut where the script changes, stretches of ideographs and kana are cut into words by budoux, every word is
given to a detector, and small pieces then join their neighbours. The detector is an argument, so that the result
can be replayed and so that no model is needed where the language is given.

Source: split-lang 2.1.1 (MIT), split/splitter.py, LangSplitter.split_by_lang, as GPT-SoVITS calls it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Protocol

from sovits_runtime.text.extras import import_extra

UNKNOWN_LANGUAGE: Final = "x"
DIGIT: Final = "digit"
_MARK: Final = "punctuation"
_NEWLINE: Final = "newline"
_ZH_JA: Final = "zh_ja"
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


@dataclass
class Run:
    """A stretch of text and its language: a code, `"x"` unknown, `"digit"`, `"punctuation"` or `"newline"`."""

    lang: str
    text: str


@dataclass
class _Section:
    kind: str
    text: str
    runs: list[Run] = field(default_factory=list)


def _kind_of(char: str, current: str, before: str) -> str | None:
    """Script of a character; None when it stays with the section it follows."""
    if _ZH_JA_CHAR.match(char):
        return _ZH_JA
    if _HANGUL.match(char):
        return _KO
    if char.isdigit():
        return DIGIT
    if char in _MARKS:
        return None if char == "'" and before and not before.isspace() else _MARK
    if char.isspace():
        return _NEWLINE if char in "\n\r" else None
    return _OTHERS


def _sections(text: str) -> list[_Section]:
    sections: list[_Section] = []
    current, start = _OTHERS, 0
    for index, char in enumerate(text):
        kind = _kind_of(char, current, text[index - 1] if index else "")
        if kind is None or (kind == current and kind not in (_MARK, _NEWLINE)):
            continue
        if index > start:
            sections.append(_Section(current, text[start:index]))
        current, start = kind, index
    if text[start:]:
        sections.append(_Section(current, text[start:]))
    return sections


@lru_cache(maxsize=1)
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


def _join_same(runs: Sequence[Run]) -> list[Run]:
    joined: list[Run] = []
    for run in runs:
        if joined and joined[-1].lang == run.lang:
            joined[-1].text += run.text
        else:
            joined.append(run)
    return joined


def _adapt_middles(runs: list[Run], detector: Detector) -> list[Run]:
    for left, middle, right in zip(runs, runs[1:], runs[2:], strict=False):
        if left.lang != right.lang or left.lang in (UNKNOWN_LANGUAGE, _NEWLINE):
            continue
        short = len(middle.text) <= 4 and len(left.text) + len(right.text) >= 6
        if middle.lang == UNKNOWN_LANGUAGE or (
            not _has_kana(middle.text) and (short or left.lang in detector.candidates(middle.text))
        ):
            middle.lang = left.lang
    return _join_same(runs)


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


def _detect(section: _Section, detector: Detector, cut_words: bool) -> list[Run]:
    if section.kind in (_MARK, _NEWLINE, DIGIT, _KO):
        return [Run(section.kind, section.text)]
    if section.kind == _ZH_JA:
        words = _cut_words(section.text) if cut_words else [section.text]
        codes = _ZH_JA_CODES
    else:
        words, codes = _WORD.findall(section.text) or [section.text], _OTHER_CODES
    runs = []
    for word in words:
        kana = section.kind == _ZH_JA and _has_kana(word)
        code = "ja" if kana else codes.get(detector.best(word), UNKNOWN_LANGUAGE)
        runs.append(Run(code, word))
    runs = _adapt_middles(_join_same(runs), detector)
    runs = _adapt_middles(runs, detector)
    _fill_unknown(runs)
    _adapt_end(runs, 0, detector)
    _adapt_end(runs, len(runs) - 1, detector)
    return _adapt_middles(_join_same(runs), detector)


def _join_same_kind(sections: Sequence[_Section]) -> list[_Section]:
    joined: list[_Section] = []
    for section in sections:
        if joined and joined[-1].kind == section.kind:
            joined[-1].runs += section.runs
        else:
            joined.append(section)
    return joined


def _absorb(runs: Sequence[Run], filler: str) -> list[Run]:
    """Join marks (or newlines) to the run before them, and equal neighbours to each other."""
    joined: list[Run] = []
    before = ""
    for run in runs:
        if joined and (run.lang == filler or run.lang == before):
            joined[-1].text += run.text
        else:
            joined.append(run)
        before = run.lang
    return joined


def _join_across_marks(sections: Sequence[_Section]) -> list[_Section]:
    joined = list(sections[:1])
    for section in sections[1:]:
        last = joined[-1]
        if last.kind == _MARK:
            last.kind, last.runs[-1].lang = section.kind, section.runs[0].lang
        elif section.kind != _MARK:
            joined.append(section)
            continue
        last.runs[-1].text += section.runs[0].text
        last.runs += section.runs[1:]
    joined = _join_same_kind(joined)
    for section in joined:
        section.runs = _absorb(section.runs, _MARK)
    return joined


def _join_across_newlines(sections: Sequence[_Section]) -> list[_Section]:
    joined = list(sections[:1])
    for section in sections[1:]:
        last = joined[-1]
        if last.kind == _NEWLINE:
            last.kind = section.kind
        elif section.kind != _NEWLINE:
            joined.append(section)
            continue
        last.runs += section.runs
    joined = _join_same_kind(joined)
    for section in joined:
        section.runs = _absorb(section.runs, _NEWLINE)
    return joined


def _settle_zh_ja(runs: Sequence[Run]) -> list[Run]:
    """Give specks of Chinese in Japanese, or the other way round, to what surrounds them."""
    if len(runs) == 1:
        return list(runs)
    lengths: Counter[str] = Counter({"zh": 0, "ja": 0, UNKNOWN_LANGUAGE: 0, DIGIT: 0, _MARK: 0, _NEWLINE: 0})
    settled: list[Run] = []
    index = 0
    while index < len(runs):
        run = runs[index]
        lengths[run.lang] += len(run.text)
        after = runs[index + 1] if index + 1 < len(runs) else None
        before = settled[-1] if settled else None
        tenfold = len(run.text) * 10
        speck = run.lang in ("zh", "ja", UNKNOWN_LANGUAGE)
        if before is None and after is not None:
            join = speck and after.lang in ("zh", "ja") and tenfold < len(after.text)
            settled.append(Run(after.lang, run.text + after.text) if join else run)
            index += join
        elif before is not None and after is None:
            if speck and before.lang in ("zh", "ja") and tenfold < len(before.text):
                before.text += run.text
            else:
                settled.append(run)
        elif before is not None and after is not None:
            same = before.lang == after.lang and before.lang in ("zh", "ja") and run.lang != "en"
            if same and tenfold < len(before.text) + len(after.text):
                before.text += run.text + after.text
                index += 1
            else:
                settled.append(run)
        index += 1
    return _by_majority(settled, lengths)


def _by_majority(runs: Sequence[Run], lengths: Mapping[str, int]) -> list[Run]:
    commonest = max(lengths, key=lambda lang: lengths[lang])
    for run in runs:
        if run.lang == UNKNOWN_LANGUAGE and lengths[UNKNOWN_LANGUAGE]:
            run.lang = commonest
    if lengths["ja"] >= lengths["zh"] * 10:
        for run in runs:
            run.lang = "ja" if run.lang == "zh" else run.lang
    return _join_same(runs)


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
    sections = _join_across_newlines(_join_across_marks(sections))
    for section in sections:
        if section.kind == _ZH_JA:
            section.runs = _settle_zh_ja(section.runs)
    return [run for section in sections for run in section.runs]
