"""Folders that appear whole or not at all.

A build writes into a hidden folder beside its target and renames it when all is done. A kill at any moment leaves the
old folder, or none; what killed builds leave behind is cleaned up by the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from sovits_runtime.bundle import MANIFEST
from sovits_runtime.bundle.engine_store import ENGINES
from sovits_runtime.errors import BundleError


def check_output(output: Path) -> None:
    """Repairs what a killed build left at `output`, and refuses a folder that is not ours.

    Raises:
        BundleError: Something that is no bundle lies there.
    """
    _restore(output)
    if (
        output.exists()
        and not (output / MANIFEST).is_file()
        and (not output.is_dir() or any(output.iterdir()))
    ):
        raise BundleError(
            f"{output}: exists and is not a bundle; choose another output folder or remove it yourself"
        )


@contextlib.contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, gone afterwards unless published; leftovers of killed builds go too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{target.name}.building-*"):
        if not _is_running(stale.name.rpartition("-")[2]):
            shutil.rmtree(stale, ignore_errors=True)
    folder = target.parent / f".{target.name}.building-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), signal.Signals(0)) if os.name == "posix" else None
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return os.name == "posix" or pid == str(os.getpid())


def publish(folder: Path, target: Path) -> None:
    """Puts the finished folder in place; between the two renames the old one waits where `_restore` looks for it."""
    old = target.parent / f".{target.name}.old"
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        _keep_references(target, folder)
        target.rename(old)
        _keep_engines(old, folder)
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _keep_references(old: Path, new: Path) -> None:
    """Saved references are keyed by content, so those of the old bundle stay valid or are simply never asked for."""
    if (old / "references").is_dir():
        shutil.copytree(old / "references", new / "references", dirs_exist_ok=True)


def _keep_engines(old: Path, new: Path) -> None:
    """Engines are keyed by content too; they are large, so they are moved. A kill here loses them, and nothing else."""
    if (old / ENGINES).is_dir() and not (new / ENGINES).exists():
        (old / ENGINES).rename(new / ENGINES)


def _restore(target: Path) -> None:
    """Brings back the old bundle of a build that was killed between its two renames."""
    old = target.parent / f".{target.name}.old"
    if old.is_dir() and not target.exists():
        old.rename(target)
