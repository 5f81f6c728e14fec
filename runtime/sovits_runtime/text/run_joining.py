"""Joining of language runs: marks, newlines and specks go to their neighbours.

Source: split-lang 2.1.1 (MIT), split/splitter.py, LangSplitter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

UNKNOWN_LANGUAGE: Final = "x"
DIGIT: Final = "digit"
MARK: Final = "punctuation"
NEWLINE: Final = "newline"
ZH_JA: Final = "zh_ja"


@dataclass
class Run:
    """A stretch of text and its language: a code, `"x"` unknown, `"digit"`, `"punctuation"` or `"newline"`."""

    lang: str
    text: str


@dataclass
class Section:
    """Characters of one script, and the language runs in them."""

    kind: str
    text: str
    runs: list[Run] = field(default_factory=list)


def join_same(runs: Sequence[Run]) -> list[Run]:
    """Join neighbours of one language.

    Args:
        runs: Runs in order; the first of each group takes in the others.
    """
    joined: list[Run] = []
    for run in runs:
        if joined and joined[-1].lang == run.lang:
            joined[-1].text += run.text
        else:
            joined.append(run)
    return joined


def _join_same_kind(sections: Sequence[Section]) -> list[Section]:
    joined: list[Section] = []
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


def join_across_marks(sections: Sequence[Section]) -> list[Section]:
    """Join marks to the section before them, or to the one after at the start of a text.

    Args:
        sections: Sections in order; they are changed.
    """
    joined = list(sections[:1])
    for section in sections[1:]:
        last = joined[-1]
        if last.kind == MARK:
            last.kind, last.runs[-1].lang = section.kind, section.runs[0].lang
        elif section.kind != MARK:
            joined.append(section)
            continue
        last.runs[-1].text += section.runs[0].text
        last.runs += section.runs[1:]
    joined = _join_same_kind(joined)
    for section in joined:
        section.runs = _absorb(section.runs, MARK)
    return joined


def join_across_newlines(sections: Sequence[Section]) -> list[Section]:
    """Join line breaks to the section before them.

    Args:
        sections: Sections in order; they are changed.
    """
    joined = list(sections[:1])
    for section in sections[1:]:
        last = joined[-1]
        if last.kind == NEWLINE:
            last.kind = section.kind
        elif section.kind != NEWLINE:
            joined.append(section)
            continue
        last.runs += section.runs
    joined = _join_same_kind(joined)
    for section in joined:
        section.runs = _absorb(section.runs, NEWLINE)
    return joined


def settle_zh_ja(runs: Sequence[Run]) -> list[Run]:
    """Give specks of Chinese in Japanese, or the other way round, to what surrounds them.

    Args:
        runs: Runs of one section; they are changed.
    """
    if len(runs) == 1:
        return list(runs)
    lengths: Counter[str] = Counter({"zh": 0, "ja": 0, UNKNOWN_LANGUAGE: 0, DIGIT: 0, MARK: 0, NEWLINE: 0})
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
    return join_same(runs)
