"""Files and functions that the pages for contributors name are there, and no room is forgotten."""

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest
from import_graph import FOLDERS, ROOT, arrows, rooms_of

PAGES = ("docs/architecture.md", "CONTRIBUTING.md")
PLACES = (ROOT, *(ROOT / folder / package for package, folder in FOLDERS.items()))
"""Where a path on a page may begin."""
NAMED = re.compile(r"`([\w./-]+\.(?:py|c|h|cu|md|toml))(?::([A-Za-z_][\w.]*))?`")
PLACEHOLDER = re.compile(r"NAME|DIR")


@lru_cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes with their members, and values at the top of a file."""
    found: set[str] = set()

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
                if isinstance(node, ast.ClassDef):
                    collect(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(prefix + t.id for t in targets if isinstance(t, ast.Name))

    collect(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return frozenset(found)


def files(name: str) -> list[Path]:
    """Files that a name on a page may mean; without a folder, one of that name in the sources or tests."""
    found = [place / name for place in PLACES if (place / name).is_file()]
    if not found and "/" not in name:
        folders = (*FOLDERS.values(), "native", "tests", "tools")
        found = [path for folder in folders for path in (ROOT / folder).rglob(name)]
    return found


def problems(text: str) -> list[str]:
    """What a page names and what is not there."""
    missing = []
    for match in NAMED.finditer(text):
        name, member = match.groups()
        found = files(name)
        if PLACEHOLDER.search(name):
            continue
        if not found or (member and not any(member in names_in(path) for path in found)):
            missing.append(match[0])
    return missing


@pytest.mark.parametrize("page", PAGES)
def test_named_files_and_functions_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(NAMED.findall(text)) > 40
    assert problems(text) == []


def test_what_does_not_exist_is_found():
    page = "`backends/open.py:open_voice`, `backends/open.py:shut_voice`, `backends/none.py`, `text/NAME.py`, `none.h`"
    assert problems(page) == ["`backends/open.py:shut_voice`", "`backends/none.py`", "`none.h`"]


@pytest.mark.parametrize("package", FOLDERS)
def test_the_map_shows_every_room(package):
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    cells = {
        name
        for line in text.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert set(rooms_of(arrows(package, ROOT))) - cells == set()
