"""Language segmentation: text in several languages -> stretches of one language each.

Source: GPT-SoVITS, text/LangSegmenter/langsegmenter.py, LangSegmenter.getTexts;
TTS_infer_pack/TextPreprocessor.py, get_phones_and_bert.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sovits_runtime.errors import TextError
from sovits_runtime.text.detector import ScriptDetector, default_detector
from sovits_runtime.text.run_joining import DIGIT, UNKNOWN_LANGUAGE
from sovits_runtime.text.runs import Detector, language_runs

MODES: Final = ("zh", "en", "ja", "ko", "yue", "all_zh", "all_ja", "all_ko", "all_yue", "auto", "auto_yue")
_PINNED: Final = {"all_zh": "zh", "all_ja": "ja", "all_ko": "ko", "all_yue": "zh"}

_ENGLISH: Final = re.compile(
    "(?=.*[A-Za-z])[A-Za-z0-9\\s\u0020-\u007e\u2000-\u206f\u3000-\u303f\uff00-\uffef]+$"
)
_INSIDE: Final = "[0-9、-〜。！？.!?… ]+"
_KANA: Final = "[\u3041-\u3096\u3099\u309a\u30a1-\u30fa\u30fc]"
_HANGUL: Final = "[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]"
_SCRIPTS: Final = {
    "ja": re.compile(f"{_KANA}+(?:{_INSIDE}{_KANA}*)*"),
    "ko": re.compile(f"{_HANGUL}+(?:{_INSIDE}{_HANGUL}*)*"),
}
_IDEOGRAPH: Final = re.compile(
    "[\u4e00-\u9fff\u3400-\u4db5\U00020000-\U0002a6dd\U0002a700-\U0002ebef\U0002ebf0-\U0002ee5d"
    "\U00030000-\U000323af0-9、-〜。！？.!?… /]"
)
_END_MARKS: Final = frozenset(",.!?，。！？")


@dataclass(frozen=True)
class Segment:
    """A stretch of text in one language.

    Attributes:
        language: `"zh"`, `"en"`, `"ja"`, `"ko"` or `"yue"`; another code only if the detector insists.
        text: The stretch; a few odd characters of unknown language may be missing.
    """

    language: str
    text: str


def _merge(segments: Iterable[Segment]) -> list[Segment]:
    merged: list[Segment] = []
    for segment in segments:
        if merged and merged[-1].language == segment.language:
            merged[-1] = Segment(segment.language, merged[-1].text + segment.text)
        else:
            merged.append(segment)
    return merged


def _carve(segment: Segment, language: str) -> list[Segment]:
    """Part kana or hangul from a segment that was taken for something else."""
    if segment.language == language:
        return [segment]
    parts: list[Segment] = []
    done = 0
    for match in _SCRIPTS[language].finditer(segment.text):
        if match.start() > done:
            parts.append(Segment(segment.language, segment.text[done : match.start()]))
        parts.append(Segment(language, match[0]))
        done = match.end()
    if done < len(segment.text):
        parts.append(Segment(segment.language, segment.text[done:]))
    return parts


def _known(segment: Segment) -> Segment:
    if segment.language != UNKNOWN_LANGUAGE:
        return segment
    kept = "".join(_IDEOGRAPH.findall(segment.text))
    return Segment("zh", kept) if kept else segment


def _detected(segment: Segment) -> list[Segment]:
    parts = [part for piece in _carve(segment, "ja") for part in _carve(piece, "ko")]
    return [_known(part) for part in parts]


def _language_of_digits(left: Segment | None, digits: Segment, right: Segment | None) -> str:
    if left is None or right is None:
        neighbour = left or right
        return neighbour.language if neighbour else "zh"
    if left.language == right.language or left.text[-1] in _END_MARKS:
        return right.language
    if right.text[0] in _END_MARKS or digits.text[-1] in "。." or len(left.text) >= len(right.text):
        return left.language
    return right.language


def _place_digits(segments: Sequence[Segment]) -> list[Segment]:
    placed: list[Segment] = []
    for index, segment in enumerate(segments):
        if segment.language == DIGIT:
            after = segments[index + 1] if index + 1 < len(segments) else None
            language = _language_of_digits(placed[-1] if placed else None, segment, after)
            segment = Segment(language, segment.text)
        placed = _merge([*placed, segment])
    return placed


def _place_unknown(segments: Sequence[Segment]) -> list[Segment]:
    placed: list[Segment] = []
    for segment in segments:
        if segment.language == UNKNOWN_LANGUAGE:
            follow = placed[-1] if placed else segments[1] if len(segments) > 1 else None
            segment = Segment(follow.language if follow else "zh", segment.text)
        placed = _merge([*placed, segment])
    return placed


def segment_languages(
    text: str, default_language: str | None = None, *, detector: Detector | None = None
) -> list[Segment]:
    """Cut a text by language.

    Args:
        text: Any text; white space at both ends is dropped.
        default_language: Language of everything that is not English. None: every word is judged.
        detector: Judges words whose script leaves the language open. None: the best one installed. With a default
            language nothing is left open and it is not asked.

    Raises:
        TextError: A package that segmentation needs is not installed.
    """
    segments: list[Segment] = []
    if default_language:
        runs = language_runs(text, ScriptDetector(text), cut_words=False)
    else:
        runs = language_runs(text, detector or default_detector(text))
    for run in runs:
        segment = Segment(run.lang, run.text)
        if run.lang == DIGIT:
            segments.append(Segment(default_language or DIGIT, run.text))
        elif _ENGLISH.match(run.text):
            segments.append(Segment("en", run.text))
        elif default_language:
            segments.append(Segment(default_language, run.text))
        else:
            segments += _detected(segment)
    return _place_unknown(_place_digits(_merge(segments)))


def checked_mode(mode: str) -> None:
    """Refuse a mode that does not exist.

    Args:
        mode: What a caller gave.

    Raises:
        TextError: It is none of `MODES`.
    """
    if mode not in MODES:
        raise TextError(f"text language {mode!r} does not exist: use one of {', '.join(MODES)}")


def segments_for_mode(text: str, mode: str, *, detector: Detector | None = None) -> list[Segment]:
    """Cut a text by language the way a mode of the original does.

    Args:
        text: Any text.
        mode: `"all_zh"`, `"all_ja"`, `"all_ko"`, `"all_yue"`: that language and English; `"en"`: all of it English;
            `"zh"`, `"ja"`, `"ko"`, `"yue"`: English is detected, the rest is that language; `"auto"`, `"auto_yue"`:
            every word is judged.

    Raises:
        TextError: No such mode, or a package that segmentation needs is not installed.
    """
    checked_mode(mode)
    if mode == "en":
        return [Segment("en", text)]
    segments = segment_languages(text, _PINNED.get(mode), detector=detector)
    if mode in ("all_yue", "auto_yue"):
        return [Segment("yue" if part.language == "zh" else part.language, part.text) for part in segments]
    if mode in ("zh", "ja", "ko", "yue"):
        return _merge(Segment("en" if part.language == "en" else mode, part.text) for part in segments)
    return segments
