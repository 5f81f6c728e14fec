"""Replay of the recorded lines that have a `kind`: cutting, language segmentation, the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recorded_detector import RecordedDetector
from text_conformance import Outcome

from sovits_runtime.errors import TextError
from sovits_runtime.text.detector import fasttext_detector
from sovits_runtime.text.pipeline import TextFrontend, TextPiece
from sovits_runtime.text.segment import segment_languages
from sovits_runtime.text.split import collapse_marks, cut, official_pieces, split_at_marks, split_big_text

Row = Mapping[str, Any]


def _recorded(row: Row) -> RecordedDetector:
    return RecordedDetector(dict(row.get("detector_answers") or []), fasttext_detector())


def _bert_chars(piece: TextPiece) -> list[int]:
    chars: list[int] = []
    for phones in piece.phones:
        if phones.language == "zh" and phones.word2ph is not None:
            chars += [index + 1 for index, count in enumerate(phones.word2ph) for _ in range(count)]
        else:
            chars += [0] * len(phones)
    return chars


def _compare(row: Row, kind: str, replay: Callable[[], object], official: object) -> Outcome:
    try:
        ours = replay()
    except TextError as error:
        ours = None
        if official is not None:
            return Outcome("-", kind, equal=False, detail=f"{row['text']!r}: {error}")
    equal = ours == official
    detail = (
        ""
        if equal
        else f"{row['text'][:80]!r}\n      official {official!r:.600}\n      ours     {ours!r:.600}"
    )
    return Outcome("-", kind, equal=equal, detail=detail)


def replay_cut(row: Row) -> Outcome:
    return _compare(row, f"cut {row['method']}", lambda: cut(row["text"], row["method"]), row["out"])


def replay_split(row: Row) -> Outcome:
    return _compare(row, "split_punct", lambda: split_at_marks(row["text"]), row["out"])


def replay_big(row: Row) -> Outcome:
    return _compare(row, "split_big_text", lambda: split_big_text(row["text"], row["max_len"]), row["out"])


def replay_preprocess(row: Row) -> Outcome:
    return _compare(
        row,
        f"preprocess_split {row['lang']} {row['method']}",
        lambda: official_pieces(collapse_marks(row["text"]), row["lang"], row["method"]),
        row["out"],
    )


def replay_segments(row: Row) -> Outcome:
    default = row["default_lang"] or None
    return _compare(
        row,
        f"lang_segments {default or 'no default'}",
        lambda: [
            {"lang": segment.language, "text": segment.text}
            for segment in segment_languages(row["text"], default, detector=_recorded(row))
        ],
        row["out"],
    )


def replay_phones(row: Row) -> Outcome:
    symbols = "v1" if row["version"] == "v1" else "v2"
    frontend = TextFrontend(symbols=symbols, official=True, method="cut0", detector=_recorded(row))
    kind = f"phones {row['mode']}"

    def replay() -> object:
        piece = frontend.read(row["text"], row["mode"])
        return {
            "segments": [[segment.language, segment.text] for segment in piece.segments],
            "ids": piece.ids.tolist(),
            "norm_text": piece.norm_text,
            "bert_char": _bert_chars(piece),
        }

    names = ("segments", "ids", "norm_text", "bert_char")
    return _compare(row, kind, replay, None if row["ids"] is None else {name: row[name] for name in names})


KINDS: Mapping[str, Callable[[Row], Outcome]] = {
    "cut": replay_cut,
    "split_punct": replay_split,
    "split_big_text": replay_big,
    "preprocess_split": replay_preprocess,
    "lang_segments": replay_segments,
    "phones": replay_phones,
}
