"""Which language a sentence is in, and which stretches of it are in another one.

Scripts decide where they can: kana are Japanese, hangul is Korean, letters are English, characters that only one of
Chinese and Japanese writes are of that one, and the dot ・ between ideographs is Japanese. What stays open takes the
language of the text around it. A statistical detector, where one is installed, is asked only about sentences of
ideographs that nothing else decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sovits_runtime.text.runs import Detector
from sovits_runtime.text.segment import Segment

_KANA: Final = re.compile("[\u3041-\u3096\u30a1-\u30fa\u30fc\uff66-\uff9d]")
_HANGUL: Final = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
_IDEOGRAPH: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
LATIN: Final = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"  # without the signs × and ÷
_LETTER: Final = re.compile(f"[{LATIN}]")
_LATIN_WORD: Final = re.compile(f"[{LATIN}]+")
_JAPANESE_DOT: Final = re.compile("(?<=[\u4e00-\u9fff\u3005])\u30fb(?=[\u4e00-\u9fff])")
_OPEN: Final = 0.6
_KANA_PER_CHINESE: Final = 3
_FEWEST_FOR_DETECTOR: Final = 8


@dataclass(frozen=True)
class Host:
    """The language that a sentence is in.

    Attributes:
        language: `"zh"`, `"en"`, `"ja"` or `"ko"`.
        confidence: How sure that is, 0 to 1.
    """

    language: str
    confidence: float


class HostFinder:
    """Finds the language of each sentence of a text, in order.

    Args:
        whole: All of the text that is there already; what a sentence leaves open is looked for in it.
        detector: Asked about ideographs alone; None: nobody is asked.
    """

    def __init__(self, whole: str = "", detector: Detector | None = None) -> None:
        self._detector = detector
        around = _by_script(whole)
        self._before = around if around and around.confidence > _OPEN else None

    def host(self, sentence: str) -> Host:
        """The language of the next sentence.

        Args:
            sentence: As it was written.
        """
        found = _by_script(sentence)
        if found is None or found.confidence <= _OPEN:
            found = self._of_ideographs(sentence, found)
        if found.confidence > _OPEN:
            self._before = found
        return found

    def _of_ideographs(self, sentence: str, found: Host | None) -> Host:
        if self._before is not None and self._before.language in ("zh", "ja"):
            return Host(self._before.language, 0.8)
        if found is None:  # digits or marks alone
            return Host(self._before.language, 0.8) if self._before else Host("zh", 0.5)
        if self._detector is not None and len(_IDEOGRAPH.findall(sentence)) >= _FEWEST_FOR_DETECTOR:
            best = self._detector.best(sentence)
            if best in ("zh", "ja"):
                return Host(best, 0.7)
        return found


@lru_cache(maxsize=8192)
def _writes(char: str, *codecs: str) -> bool:
    """Whether one of the national character sets has a character."""
    for codec in codecs:
        try:
            char.encode(codec)
        except UnicodeEncodeError:
            continue
        return True
    return False


def _chinese_alone(char: str) -> bool:
    return not _writes(char, "shift_jis") and _writes(char, "gb2312", "big5hkscs")


def _japanese_alone(char: str) -> bool:
    return _writes(char, "shift_jis") and not _writes(char, "gb2312", "big5")


def _by_script(text: str) -> Host | None:
    """What the characters of a text say; at most 0.6 where they do not decide, None where there are none."""
    kana, hangul = len(_KANA.findall(text)), len(_HANGUL.findall(text))
    ideographs = _IDEOGRAPH.findall(text)
    words = len(_LATIN_WORD.findall(text))
    counts = Counter(ideographs)  # a book has few different ones
    chinese = sum(count for char, count in counts.items() if _chinese_alone(char))
    japanese = sum(count for char, count in counts.items() if _japanese_alone(char))
    if hangul and hangul >= kana + len(ideographs) // 2:
        return Host("ko", 0.99) if hangul * 2 >= words else Host("en", 0.8)
    # A Japanese word in Chinese, rather than a rare character in Japanese.
    quoted = chinese > max(japanese, 1) or kana == 1
    if kana and (chinese <= japanese or not quoted or kana > _KANA_PER_CHINESE * chinese):
        return Host("ja", 0.99) if (kana + len(ideographs)) >= words else Host("en", 0.8)
    if ideographs:
        if len(ideographs) < words:
            return Host("en", 0.8)
        if chinese != japanese:
            return Host("zh" if chinese > japanese else "ja", 0.95)
        return Host("ja", 0.8) if _JAPANESE_DOT.search(text) else Host("zh", _OPEN)
    return Host("en", 0.95) if words else None


def likely_language(text: str, voice: str = "") -> str:
    """The language of a text for which none was named: that of its script, else the voice's.

    Args:
        text: Of any length.
        voice: Language or mode of the voice's own reference; it decides about ideographs that Chinese, Cantonese and
            Japanese share, and about digits alone.

    Returns:
        `"zh"`, `"en"`, `"ja"`, `"ko"` or `"yue"`.
    """
    own = {"auto": "", "auto_yue": "yue"}.get(voice, voice.removeprefix("all_"))
    found = _by_script(text)
    if found is None:
        return own or "en"
    if own == "yue" and found.language == "zh":
        return own
    if own == "ja" and found.language == "zh" and found.confidence <= _OPEN:
        return own
    return found.language


def stretches(text: str, language: str, *, mixed: bool) -> list[Segment]:
    """Cut a sentence into stretches of one language each.

    Args:
        text: Words and marks.
        language: What everything is in whose script does not say otherwise.
        mixed: Whether kana and hangul are read as their own language; Latin words are English always.
    """
    if language == "en" and not (
        mixed and (_IDEOGRAPH.search(text) or _KANA.search(text) or _HANGUL.search(text))
    ):
        return [Segment("en", text)]
    runs: list[tuple[str, str]] = []
    for run_language, run in _runs(text, language, mixed):
        if runs and (runs[-1][0] == run_language or not run_language):
            runs[-1] = runs[-1][0] or run_language, runs[-1][1] + run
        elif runs and not runs[-1][0]:
            runs[-1] = run_language, runs[-1][1] + run
        else:
            runs.append((run_language, run))
    return [Segment(run_language or language, run) for run_language, run in runs]


def _runs(text: str, language: str, mixed: bool) -> Iterator[tuple[str, str]]:
    """Runs of one script; marks and spaces have no language of their own and follow what stands before them."""
    other = "zh" if language in ("en", "ko") else language
    table = (
        ("en", _LETTER),
        ("ko" if mixed else language, _HANGUL),
        ("ja" if mixed and language != "ja" else language, _KANA),
        (other if mixed else language, _IDEOGRAPH),
    )
    start, current = 0, ""
    for index, char in enumerate(text):
        found = next((name for name, pattern in table if pattern.match(char)), "")
        found = found or (language if char.isalnum() and language != "en" else "")
        if not found or found == current:
            continue
        if current or index:
            yield current, text[start:index]
        start, current = index, found
    if text[start:]:
        yield current, text[start:]
