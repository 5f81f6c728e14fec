"""The text normalisers that `normalisers.py` compares, and the process in which each runs alone.

An engine is a function that opens it for a language: it returns what turns a kind and a text into words. Normalisers
take sentences and ignore the kind. Libraries that write numbers as words take a number; the kind is `cardinal`,
`ordinal`, `year` or `decimal`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Speller = Callable[[str, str], str]
PRESENT = "present front end"
PASSAGE = 100
"""Characters of a passage that is timed."""


@dataclass(frozen=True)
class Engine:
    """What is compared.

    Attributes:
        package: Name on PyPI; empty for our own front end.
        languages: What it reads. Cantonese goes to an engine for Chinese.
        open: Language and a folder for caches to what spells.
        numbers: Whether it spells numbers and not sentences.
    """

    package: str
    languages: tuple[str, ...]
    open: Callable[[str, str], Speller]
    numbers: bool = False


def open_present(language: str, _cache: str) -> Speller:
    """Our own front end. It reads to the end, so its time holds phones too; the words are the text itself."""
    from sovits_runtime.text.pipeline import TextFrontend

    frontend = TextFrontend()

    def read(_kind: str, text: str) -> str:
        list(frontend.pieces(text, language))
        return text

    return read


def open_wetext(language: str, _cache: str) -> Speller:
    from wetext import Normalizer

    chinese = language in ("zh", "yue")
    normaliser = Normalizer(lang="zh" if chinese else language, operator="tn", full_to_half=chinese)
    return lambda _kind, text: by_lines(normaliser.normalize, text)


def open_nemo(language: str, cache: str) -> Speller:
    from nemo_text_processing.text_normalization.normalize import Normalizer

    logging.disable(logging.CRITICAL)
    lang = "zh" if language == "yue" else language
    normaliser = Normalizer(input_case="cased", lang=lang, cache_dir=cache)
    return lambda _kind, text: by_lines(normaliser.normalize, text)


def open_num2words(language: str, _cache: str) -> Speller:
    from num2words import num2words

    def spell(kind: str, number: str) -> str:
        value = number if kind == "decimal" else int(number)  # a string keeps the zeros at its end
        return str(num2words(value, lang=language, to="cardinal" if kind == "decimal" else kind))

    return spell


def open_inflect(_language: str, _cache: str) -> Speller:
    import inflect

    engine = inflect.engine()

    def spell(kind: str, number: str) -> str:
        if kind == "ordinal":
            return str(engine.ordinal(engine.number_to_words(number)))
        return str(engine.number_to_words(number, group=2 if kind == "year" else 0))

    return spell


def open_cn2an(_language: str, _cache: str) -> Speller:
    import cn2an

    return lambda kind, number: str(cn2an.an2cn(number, "direct" if kind == "year" else "low"))


def by_lines(normalise: Callable[[str], str], text: str) -> str:
    """A text normalised line by line: engines know no line breaks, and some join what they part."""
    return "\n".join(normalise(line) if line.strip() else line for line in text.splitlines())


ENGINES = {
    PRESENT: Engine("", ("en", "zh", "ja", "ko", "yue"), open_present),
    "wetext": Engine("wetext", ("en", "zh", "ja", "yue"), open_wetext),
    "NeMo": Engine("nemo_text_processing", ("en", "zh", "ja", "ko", "yue"), open_nemo),
    "num2words": Engine("num2words", ("en", "ja", "ko"), open_num2words, numbers=True),
    "inflect": Engine("inflect", ("en",), open_inflect, numbers=True),
    "cn2an": Engine("cn2an", ("zh",), open_cn2an, numbers=True),
}


def main() -> None:
    """Spells what standard input holds: `{"engine", "language", "cache", "items": [[kind, text], ...]}`.

    The first item is the cold start. Those with even places warm it up, then the others are timed in passages of 100
    characters: in short sentences what every call costs would hide what a character costs.
    """
    order: dict[str, Any] = json.load(sys.stdin)
    items: list[tuple[str, str]] = [(kind, text) for kind, text in order["items"]]
    start = time.process_time()
    spell = ENGINES[order["engine"]].open(order["language"], order["cache"])
    attempt(spell, *items[0])
    cold_s = time.process_time() - start
    spelled = {item: attempt(spell, *item) for item in items[::2]}
    timed = []
    for passage in passages([text for _, text in items[1::2]], order["language"]):
        begin = time.process_time()
        _, error = attempt(spell, "", passage)
        if not error:
            timed.append((time.process_time() - begin, len(passage)))
    spelled |= {item: attempt(spell, *item) for item in items[1::2]}
    rows = [spelled[item] for item in items]
    sys.stdout.write("\n" + json.dumps({"cold_s": cold_s, "timed": timed, "spelled": rows}) + "\n")


def passages(texts: list[str], language: str) -> list[str]:
    """Texts joined until they have a hundred characters; the rest is left out."""
    done, passage = [], ""
    for text in texts:
        passage += (" " if passage and language in ("en", "ko") else "") + text.replace("\n", " ")
        if len(passage) >= PASSAGE:
            done.append(passage)
            passage = ""
    return done


def attempt(spell: Speller, kind: str, text: str) -> tuple[str, str]:
    """What an engine makes of a text, and the error that it raised, if any."""
    try:
        return spell(kind, text), ""
    except Exception as error:
        return "", f"{type(error).__name__}: {error}".strip()


if __name__ == "__main__":
    main()
