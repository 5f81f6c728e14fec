"""Files that are already on this machine: in folders that the user names, and in the caches of other tools.

Nothing is believed by its name: whoever uses a file found here compares its digest first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sovits_exporter.fetching.catalog import Item
from sovits_runtime.errors import TextError

_SHA256 = re.compile("[0-9a-f]{64}")
_TREES = ("", "pretrained_models", "GPT_SoVITS/pretrained_models", "GPT_SoVITS/text", "text")
"""Where a GPT-SoVITS folder, or one that was fetched, has files; below the folder that a user names."""
_LANGID_FOLDER = "fast_langdetect"


def candidates(item: Item, folders: Sequence[Path]) -> Iterator[Path]:
    """Yields files that may be the item.

    Args:
        item: What is looked for.
        folders: Those that the user names: a GPT-SoVITS folder, its `pretrained_models`, or any with the file in it.
    """
    inside = item.path.partition("/")[2]
    names = (inside, item.hub_path, item.name, f"{_LANGID_FOLDER}/{item.name}")
    for folder in folders:
        yield from _files(folder / tree / name for tree in _TREES for name in names)
    for cache in hub_caches():
        yield from _in_hub_cache(cache, item)
    for cache in modelscope_caches():
        if item.repository is not None:
            yield from _files([cache / item.repository.modelscope / item.hub_path])


def hub_caches() -> list[Path]:
    """Folders in which `huggingface_hub` and what is built on it keep files."""
    if named := os.environ.get("HF_HUB_CACHE"):
        return [Path(named)]
    if home := os.environ.get("HF_HOME"):
        return [Path(home) / "hub"]
    cache = os.environ.get("XDG_CACHE_HOME")
    base = Path(cache) if cache else _home() / ".cache"
    return [base / "huggingface" / "hub"]


def modelscope_caches() -> list[Path]:
    """Folders in which `modelscope` keeps files; its releases differ."""
    named = os.environ.get("MODELSCOPE_CACHE")
    base = Path(named) if named else _home() / ".cache" / "modelscope"
    return [base / place for place in ("hub/models", "hub", "models", "")]


def is_named_by_digest(path: Path) -> str:
    """The digest by which a hub cache calls what a path leads to; empty where it is called otherwise."""
    name = Path(os.path.realpath(path)).name
    return name if _SHA256.fullmatch(name) else ""


def found_by_front_end(part: str) -> Path | None:
    """Where a text front end finds the data of a part that was not fetched by this project.

    Args:
        part: "openjtalk", "nltk", "g2pw" or "langid"; others have none.
    """
    from sovits_runtime.text.en.tagger import find_tagger_data
    from sovits_runtime.text.ja.openjtalk import find_dictionary

    try:
        if part == "openjtalk":
            return find_dictionary()
        if part == "nltk":
            return find_tagger_data()
    except TextError:  # a variable names nothing useful, which the front end will say
        return None
    named = os.environ.get({"g2pw": "SOVITS_G2PW_DIR", "langid": "SOVITS_LANGID_MODEL"}.get(part, ""))
    return Path(named) if named and Path(named).exists() else None


def _in_hub_cache(cache: Path, item: Item) -> Iterator[Path]:
    """By digest in any repository, then by name in the item's own."""
    if item.sha256:
        yield from _files(cache.glob(f"models--*/blobs/{item.sha256}"))
        yield from _files((cache / "blobs" / item.sha256, cache / "blobs" / item.sha256[:2] / item.sha256))
    if item.repository is not None:
        folder = cache / f"models--{item.repository.hub.replace('/', '--')}" / "snapshots"
        snapshots = sorted(folder.iterdir()) if folder.is_dir() else []
        yield from _files(snapshot / item.hub_path for snapshot in snapshots)


def _files(paths: Iterator[Path] | Sequence[Path]) -> Iterator[Path]:
    return (path for path in paths if path.is_file())


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a container's user without a home
        return Path(os.devnull)
