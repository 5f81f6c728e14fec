"""Measures the prose of the pages: words a sentence, and how long lines are.

    python tools/prose.py [--check] [--worst N] [PAGE ...]

Sentences end at a full stop, an exclamation or question mark, and where a paragraph or a list item ends. Left out are
code blocks, tables, headings and HTML; a piece of inline code is one word, and of a link its text counts. Chinese pages
(`*.zh-CN.md`) are shown in characters, a Latin word being one of them, and have no limits.

With --check, exits 1 where a sentence has over 25 words or a line of prose over 100 columns (link targets aside), and
lists what to shorten.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md")
MAX_WORDS = 25
"""Of the 90th percentile of a page's sentences."""
MAX_COLUMNS = 100
SHOWN = 5
"""Sentences that --check lists for a page, the longest first."""

FENCE = re.compile(r"\s*(?:```+|~~~+)")
HTML_OR_REFERENCE = re.compile(r"\s*(?:</?[A-Za-z][\w-]*(?:[\s/>]|$)|<!--|:::\s)")
"""A line of three colons is one that mkdocstrings fills in."""
NO_PROSE = re.compile(r"\s*(?:\||#{1,6}\s|(?:!!!|\?\?\?\+?|===)\s|\[[^\]]+\]:\s|(?:-{3,}|\*{3,}|_{3,})\s*$)")
"""Table rows, headings, titles of notes and tabs, targets of links, rules."""
LIST_ITEM = re.compile(r"^(?:\s|>)*(?:[-*+]|\d+[.)])\s+(?:\[[ x]\]\s+)?")
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
CODE = re.compile(r"(`+)(?:.(?!\1))*.\1", re.DOTALL)
TAG = re.compile(r"</?[A-Za-z][^>]*>")
SENTENCE_END = re.compile(r"(?<!e\.g\.)(?<!i\.e\.)(?<!vs\.)(?<=[.!?])[\"'”’)\]*_]*(?=\s)")
CHINESE_END = re.compile(r"(?<=[。！？])[”’）」*_]*")
CHARACTER = re.compile(r"[\u3400-\u9fff]|[A-Za-z0-9][\w.+%-]*")


@dataclass(frozen=True)
class Sentence:
    """A sentence of a page.

    Attributes:
        line: Where it begins, from 1.
        text: Without markup.
        words: How many; of a Chinese page characters.
    """

    line: int
    text: str
    words: int


@dataclass(frozen=True)
class Page:
    """The prose of a page.

    Attributes:
        name: Path from the root of the repository.
        sentences: In their order.
        columns: Length of each line of prose, by line number, without the targets of links.
    """

    name: str
    sentences: tuple[Sentence, ...]
    columns: dict[int, int]

    @property
    def chinese(self) -> bool:
        """Whether it is counted in characters and has no limits."""
        return self.name.endswith(".zh-CN.md")

    @property
    def median(self) -> float:
        """Words of the middle sentence."""
        return median(s.words for s in self.sentences) if self.sentences else 0

    @property
    def p90(self) -> int:
        """Words that nine sentences of ten do not exceed."""
        ordered = sorted(s.words for s in self.sentences)
        return ordered[ceil(0.9 * len(ordered)) - 1] if ordered else 0

    @property
    def longest_line(self) -> int:
        """Columns."""
        return max(self.columns.values(), default=0)

    def worst(self, count: int) -> list[Sentence]:
        """The longest sentences, the longest first."""
        return sorted(self.sentences, key=lambda s: -s.words)[:count]

    def faults(self) -> list[str]:
        """What --check refuses, one line each."""
        if self.chinese:
            return []
        faults = []
        if too_long := [s for s in self.worst(SHOWN) if s.words > MAX_WORDS]:
            faults.append(f"{self.name}: a sentence of {too_long[0].words} words; at most {MAX_WORDS}")
            faults += [shown(self.name, s) for s in too_long]
        for line, columns in self.columns.items():
            if columns > MAX_COLUMNS:
                faults.append(f"{self.name}:{line}: {columns} columns; at most {MAX_COLUMNS}")
        return faults


def shown(name: str, sentence: Sentence) -> str:
    """A sentence with its place, cut to a line."""
    text = sentence.text if len(sentence.text) <= 90 else f"{sentence.text[:87]}..."
    return f"  {name}:{sentence.line}: {sentence.words} words: {text}"


def prose_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines of prose with their numbers, and an empty one wherever something else stands between them."""
    fence = ""
    skipped = False  # HTML, or the options of a reference, up to the next empty line
    lines = text.splitlines()
    front = lines.index("---", 1) + 1 if lines[:1] == ["---"] and "---" in lines[1:] else 0
    for number, line in enumerate(lines[front:], start=front + 1):
        opened = FENCE.match(line)
        prose = ""
        if fence:
            fence = "" if line.strip() == fence else fence
        elif opened:
            fence = opened.group().strip()
        elif not line.strip():
            skipped = False
        elif skipped or HTML_OR_REFERENCE.match(line):
            skipped = "-->" not in line
        elif not NO_PROSE.match(line):
            prose = line
        yield number, prose


def blocks(lines: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Paragraphs and list items."""
    block: list[tuple[int, str]] = []
    for number, line in lines:
        if block and (not line or LIST_ITEM.match(line)):
            yield block
            block = []
        if line:
            block.append((number, LIST_ITEM.sub("", line, count=1).lstrip("> ")))
    if block:
        yield block


def plain(text: str) -> str:
    """Text without markup, its line breaks kept; a piece of inline code is one word."""
    text = CODE.sub(lambda code: "code" + "\n" * code.group().count("\n"), text)
    return TAG.sub("", LINK.sub(r"\1", IMAGE.sub("", text)))


def sentences(block: Sequence[tuple[int, str]], chinese: bool) -> Iterator[Sentence]:
    """The sentences of a paragraph or list item."""
    text = plain("\n".join(line for _, line in block))
    start = 0
    ends = [m.end() for m in (CHINESE_END if chinese else SENTENCE_END).finditer(text)]
    for end in [*ends, len(text)]:
        sentence = text[start:end]
        first = start + len(sentence) - len(sentence.lstrip())
        words = len(CHARACTER.findall(sentence)) if chinese else sum(map(_is_word, sentence.split()))
        if words:
            yield Sentence(block[0][0] + text.count("\n", 0, first), " ".join(sentence.split()), words)
        start = end


def _is_word(token: str) -> bool:
    return any(character.isalnum() for character in token)


def read_page(path: Path, name: str) -> Page:
    """Measures a page.

    Args:
        path: A Markdown file.
        name: What to call it.
    """
    text = path.read_text(encoding="utf-8")
    found = tuple(
        s for block in blocks(prose_lines(text)) for s in sentences(block, name.endswith(".zh-CN.md"))
    )
    columns = {n: len(LINK.sub(r"\1", IMAGE.sub("", line)).rstrip()) for n, line in prose_lines(text) if line}
    return Page(name, found, columns)


def default_pages() -> list[Path]:
    """The pages of this repository."""
    return [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]


def table(pages: Sequence[Page]) -> str:
    """A line a page."""
    width = max(len(page.name) for page in pages)
    rows = [f"{'page':<{width}}  sentences  median  p90  longest  longest line"]
    for page in pages:
        longest = page.worst(1)[0].words if page.sentences else 0
        unit = " (characters)" if page.chinese else ""
        rows.append(
            f"{page.name:<{width}}  {len(page.sentences):9}  {page.median:6.0f}  {page.p90:3}  {longest:7}"
            f"  {page.longest_line:12}{unit}"
        )
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, and what to shorten; 1 where --check refuses a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "pages", nargs="*", type=Path, help="Markdown files; without any, those of the repository"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 where a limit is passed")
    parser.add_argument(
        "--worst", type=int, default=0, metavar="N", help="list the N longest sentences of each page"
    )
    options = parser.parse_args(arguments)
    paths = options.pages or default_pages()
    pages = [read_page(path, _name(path)) for path in paths]
    print(table(pages))
    for page in pages:
        for sentence in page.worst(options.worst):
            print(shown(page.name, sentence))
    faults = [fault for page in pages for fault in page.faults()] if options.check else []
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


def _name(path: Path) -> str:
    resolved = path.resolve()
    return resolved.relative_to(ROOT).as_posix() if resolved.is_relative_to(ROOT) else path.as_posix()


if __name__ == "__main__":
    sys.exit(main())
