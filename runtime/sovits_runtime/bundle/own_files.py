"""A bundle's files lie in the bundle: what links lead elsewhere is neither read nor written.

Somebody else's bundle could have a link in place of a folder that is written later, such as `engines`. And ONNX Runtime
refuses weights that do not lie beside their graph.
"""

from __future__ import annotations

import os
from pathlib import Path

from sovits_runtime.errors import BundleError

REMEDY = "put what it leads to in its place, as 'cp -rL' does"


def check_links(folder: Path, *, root: Path | None = None) -> None:
    """Refuses links in a folder that lead out of it.

    Args:
        folder: The folder, which may itself be a link; one that is not there holds none.
        root: What links must not lead out of, the folder itself included; by default the folder.

    Raises:
        BundleError: Names the first link.
    """
    place = os.path.realpath(root or folder)
    if root is not None:
        _check_link(folder, place)
    for parent, folders, files in os.walk(folder):
        if root is None and Path(parent) == folder:
            folders[:] = [name for name in folders if name != ".git"]
        for name in (*folders, *files):
            _check_link(Path(parent, name), place)


def _check_link(path: Path, place: str) -> None:
    if path.is_symlink() or _is_junction(path):
        real = os.path.realpath(path)
        if not Path(os.path.normcase(real)).is_relative_to(os.path.normcase(place)):
            raise BundleError(f"{path}: is a link out of the bundle, to {real}; {REMEDY}")


def _is_junction(path: Path) -> bool:
    """Whether a folder is what Windows has in place of a link to a folder; Python knows since 3.12."""
    return bool(getattr(os.path, "isjunction", lambda _: False)(path))


def misplaced(folder: Path, name: str) -> str:
    """Says that a listed file lies elsewhere than its name says; empty where it is in its place."""
    place = os.path.join(os.path.realpath(folder), *name.split("/"))
    real = os.path.realpath(place)
    if os.path.normcase(real) == os.path.normcase(place):
        return ""
    return f"is a link to {real}, and weights have to lie beside their graph ({REMEDY})"
