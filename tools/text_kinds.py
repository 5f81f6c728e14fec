"""Writes the page of what is rewritten before a text is spoken, from the tables that the tests replay.

python tools/text_kinds.py > docs/text-kinds.md
"""

from __future__ import annotations

from collections.abc import Iterator

from sovits_runtime.text import LANGUAGE_MODULES, markup
from sovits_runtime.text.correction import corrections_of
from sovits_runtime.text.spell_out import kinds_of, spell_out
from sovits_runtime.text.spelling import Kind

NAMES = {"zh": "Chinese", "en": "English", "ja": "Japanese", "ko": "Korean", "yue": "Cantonese"}
HEAD = """# What is rewritten before a text is spoken

Numbers, signs, abbreviations and markup are written otherwise than they are said. Each kind of
rewriting has a name. `sovits-export phones` shows which kinds were at work in a text.
`--without NAME` switches one off, and `TextFrontend(without={"NAME"})` does it in Python.
`--official` switches all of them off, and reads as the original does.

This page is written by `python tools/text_kinds.py`. The examples are replayed by the tests, in
every mode of the language.
"""
MARKUP_EXAMPLE = "This is **very** [important](https://example.com) &amp; <b>true</b>."


def cell(text: str) -> str:
    """Text in a cell of a table."""
    return "`" + text.strip().replace("\n", " ⏎ ").replace("|", r"\|") + "`"


def row(kind: Kind, written: str, language: str) -> str:
    """A kind with an example."""
    read = spell_out(written, language).text
    return f"| `{kind.name}` | {kind.about} | {cell(written)} | {cell(read)} |"


def lines() -> Iterator[str]:
    """The page."""
    yield HEAD
    yield "## Every language\n"
    yield "| kind | what | written | read as |\n|---|---|---|---|"
    yield from (row(kind, MARKUP_EXAMPLE, "en") for kind in markup.KINDS)
    for language in LANGUAGE_MODULES:
        yield f"\n## {NAMES[language]}\n"
        yield "| kind | what | written | read as |\n|---|---|---|---|"
        for kind in kinds_of(language):
            example = next((each.text for each in corrections_of(language) if each.kind == kind.name), "")
            yield row(kind, example, language)


if __name__ == "__main__":
    print("\n".join(lines()))
