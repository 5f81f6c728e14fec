"""Hooks of mkdocs.yml: pages that lie outside docs/, and links that work in a checkout and in the site alike.

Links are written for a checkout, where README.md says `docs/gpu.md` and docs/streaming.md says `../examples/play.py`.
In the site the folder docs/ is the top, and everything else keeps its path below it. So every file that a page links
to comes along, and links are rewritten from paths of the checkout to paths of the site. README.md stays outside: the
site has docs/index.md in its place. A folder has no page; a link to one becomes its text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
OUTSIDE = ("README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
"""Pages of the navigation that do not lie in docs/."""

FENCE = re.compile(r"(^ *```.*?^ *```[^\S\n]*$)", re.MULTILINE | re.DOTALL)
"""A block of code; split at it, and every second part is one."""
_WHOLE_LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^()\s]+)\)")
_TARGET = re.compile(r"(?<=\]\()[^()\s]+(?=\))|(?:(?<=src=\")|(?<=srcset=\"))[^\"\s]+(?=\")")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages of `OUTSIDE`, and every file that a page links to."""
    from mkdocs.structure.files import File

    waiting = list(DOCS.rglob("*.md"))
    waiting += [ROOT / name for name in OUTSIDE if (ROOT / name).exists()]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        place = site_path(path)
        if files.get_file_from_path(place) is None:
            files.append(File.generated(config, place, abs_src_path=str(path)))
        if path.suffix == ".md":
            waiting += [target for target in linked_files(path) if site_path(target) != "index.md"]
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Rewrites the links of a page."""
    source = page.file.abs_src_path
    return markdown if source is None else rewrite(markdown, Path(source))


def rewrite(markdown: str, path: Path) -> str:
    """Rewrites links from paths of the checkout to paths of the site.

    Args:
        markdown: Text of a page.
        path: Where the page lies in the checkout.
    """

    def without_folders(match: re.Match[str]) -> str:
        target = resolve(match[2], path)
        return match[1] if target is not None and target.is_dir() else match[0]

    def in_site(match: re.Match[str]) -> str:
        target = resolve(match[0], path)
        if target is None or not target.is_file():
            return match[0]
        place = posixpath.relpath(site_path(target), posixpath.dirname(site_path(path)) or ".")
        _, hash_sign, anchor = match[0].partition("#")
        return place if target == ROOT / "README.md" else f"{place}{hash_sign}{anchor}"

    parts = FENCE.split(markdown)
    parts[::2] = [_TARGET.sub(in_site, _WHOLE_LINK.sub(without_folders, text)) for text in parts[::2]]
    return "".join(parts)


def linked_files(path: Path) -> Iterator[Path]:
    """Yields the files of this project that a page links to."""
    for match in _TARGET.finditer(without_fences(path.read_text(encoding="utf-8"))):
        target = resolve(match[0], path)
        if target is not None and target.is_file():
            yield target


def without_fences(markdown: str) -> str:
    """Returns a page without its blocks of code."""
    return "".join(FENCE.split(markdown)[::2])


def resolve(link: str, path: Path) -> Path | None:
    """Returns what a link of a page names in the checkout; None for addresses and for anchors of the page itself."""
    name = link.partition("#")[0]
    if not name or re.match(r"[a-z][a-z0-9+.-]*:|/", name):
        return None
    target = Path(posixpath.normpath((path.parent / name).as_posix()))
    return target if target.is_relative_to(ROOT) else None


def site_path(path: Path) -> str:
    """Returns where a file of the checkout lies in the site, before pages become HTML."""
    if path == ROOT / "README.md":
        return "index.md"
    return path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()
