"""What the pages say of files, options, messages and modules is so: links resolve, and what is quoted exists."""

import ast
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from mkdocs_hooks import FENCE, OUTSIDE, ROOT, resolve, rewrite, without_fences

from sovits_exporter.cli.main import main

SOURCES = {
    f"sovits_{name}": ROOT / name for name in ("runtime", "engines", "calibration", "server", "exporter")
}
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "tools/**/*.md", "tests/data/*.md")
    for path in ROOT.glob(pattern)
)
ELLIPSIS = "…"
LINK = re.compile(r"\]\(([^()\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"^[^\S\n]*(?:\S*/)?sovits-export((?:[^\S\n]+[^\s#|&;<>()]+)+)", re.MULTILINE)


class Link(NamedTuple):
    """A relative link of a page."""

    page: Path
    target: Path
    anchor: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)} -> {self.target}#{self.anchor}"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(page: Path) -> Iterator[Link]:
    for match in LINK.finditer(without_fences(page.read_text(encoding="utf-8"))):
        name, _, anchor = match[1].partition("#")
        target = resolve(match[1], page) if name else page
        if target is not None:
            yield Link(page, target, anchor)


@lru_cache
def anchors(page: Path) -> frozenset[str]:
    """Anchors of the headings, as GitHub and the site make them."""
    found: list[str] = []
    for heading in re.findall(
        r"^#+ +(.+?)\s*$", without_fences(page.read_text(encoding="utf-8")), re.MULTILINE
    ):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN")
        found.append("".join(kept).replace(" ", "-"))
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_to_files_and_headings_that_exist(page):
    broken = [
        str(link)
        for link in links(page)
        if not link.target.exists()
        or (link.anchor and link.target.suffix == ".md" and link.anchor not in anchors(link.target))
    ]
    assert broken == []


def test_pages_of_the_site_outside_docs_exist():
    assert [name for name in OUTSIDE if not (ROOT / name).is_file()] == []


# Links in the site


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("docs/streaming.md", "[play](../examples/play.py)", "[play](examples/play.py)"),
        ("docs/streaming.md", "in [`examples/`](../examples).", "in `examples/`."),
        ("docs/reference/index.md", "[t](../text.md#languages)", "[t](../text.md#languages)"),
        ("benchmarks/README.md", "[gpu](../docs/gpu.md)", "[gpu](../gpu.md)"),
        ("README.zh-CN.md", "[gpu](docs/gpu.md#x)", "[gpu](gpu.md#x)"),
        ("README.zh-CN.md", "[English](README.md#gpu)", "[English](index.md)"),
        (
            "README.zh-CN.md",
            "[torch](https://pytorch.org), [top](#x)",
            "[torch](https://pytorch.org), [top](#x)",
        ),
        ("README.zh-CN.md", "```\n[gpu](docs/gpu.md)\n```\n", "```\n[gpu](docs/gpu.md)\n```\n"),
    ],
)
def test_links_are_rewritten_for_the_site(page, text, expected):
    assert rewrite(text, ROOT / page) == expected


# Messages


@lru_cache
def source_strings() -> tuple[str, ...]:
    """Every string in the packages; what an f-string puts in is a NUL."""
    found: set[str] = set()
    for path in (path for folder in SOURCES.values() for path in folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "\0" for p in node.values)
                found.add("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                found.add(node.value)
    return tuple(found)


def says(source: str, message: str) -> bool:
    """Whether a string of the sources holds the literal parts of a quoted message, in their order."""
    at = 0
    for part in filter(None, (part.strip() for part in message.split(ELLIPSIS))):
        at = source.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def quoted_messages() -> list[str]:
    """Code in the first column of the tables whose heading is "message"."""
    found, inside = [], False
    for line in (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        inside = bool(cells) and (inside or cells[0] == "message")
        if inside:
            found += CODE.findall(cells[0])
    return found


def test_quoted_messages_are_in_the_sources():
    messages = quoted_messages()
    assert len(messages) > 80
    assert [message for message in messages if not any(says(s, message) for s in source_strings())] == []


def test_a_message_that_no_source_holds_is_found():
    assert says("a \0 model, expected a \0 model", "a … model, expected a …")
    assert not says("a \0 model, expected a \0 model", "expected a … a … model")


# Commands


def commands(page: str) -> Iterator[list[str]]:
    """Words behind `sovits-export` where code begins with it, lines that go on joined."""
    inline = CODE.findall(without_fences(page))
    blocks = "".join(FENCE.split(page)[1::2]).replace("\\\n", " ")
    for match in COMMAND.finditer("\n".join([blocks, *inline])):
        yield match[1].split()


def options_of(command: click.Command) -> set[str]:
    return {
        option
        for param in command.get_params(click.Context(command))
        for option in (*param.opts, *param.secondary_opts)
    }


def unknown(words: list[str]) -> list[str]:
    """Commands and options that a command line shows and that do not exist."""
    command: click.Command = main
    options = options_of(main) | {"--help", "-h"}
    problems = []
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return [f"{word}: no command"]
            command = found
            options |= options_of(command)
        elif re.match(r"--?[a-z]", word) and word.partition("=")[0].rstrip(",.:") not in options:
            problems.append(f"{command.name} {word}")
    return problems


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_shown_exist_and_have_their_options(page):
    text = page.read_text(encoding="utf-8")
    assert [problem for words in commands(text) for problem in unknown(words)] == []


def test_an_option_that_does_not_exist_is_found():
    page = (
        "```sh\nsovits-export -v build --gpt a.ckpt \\\n    --no-such x  # --none\n```\n"
        "`sovits-export fly`, `sovits-export engine build b --strict`, sovits-export --prose\n"
    )
    assert [unknown(words) for words in commands(page)] == [["build --no-such"], ["fly: no command"], []]


# Modules


def test_the_glossary_names_modules_that_exist():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    names = [name for name in CODE.findall(text) if re.fullmatch(r"sovits_\w+\.[\w.]+", name)]
    assert len(names) > 60
    missing = []
    for name in names:
        path = SOURCES[name.partition(".")[0]] / name.replace(".", "/")
        if not path.with_suffix(".py").is_file() and not (path / "__init__.py").is_file():
            missing.append(name)
    missing += [
        name for name in CODE.findall(text) if re.match(r"[a-z]+/", name) and not (ROOT / name).exists()
    ]
    assert missing == []
