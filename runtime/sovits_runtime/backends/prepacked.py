"""Graphs on disk as ONNX Runtime runs them on this processor: loaded at once, and shared between processes.

Whenever a graph is opened, ONNX Runtime optimizes it and copies most weights to the layout that its kernels for the
processor at hand read fastest. That takes most of the time of loading, and the copies belong to the process alone.
`prepack` writes the result, copies included, to `prepacked/<key>/` in the bundle; whoever loads the bundle then maps
those files into memory. Where native kernels run the GPT's step, its weights are kept as those read them instead. The
key holds everything the files depend on, the processor among it: another machine, another ONNX Runtime or another
bundle does not take them, and says so.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sovits_runtime.backends.native import ABI, library_for, pack_step
from sovits_runtime.bundle import CPU_FILE, Bundle, content_digest, sampled_digest
from sovits_runtime.bundle.gpt_weights import save_packed
from sovits_runtime.drawing.page import json_text
from sovits_runtime.errors import BundleError

logger = logging.getLogger(__name__)

FOLDER, RECORD = "prepacked", "prepacked.json"
FORMAT = 1
KEY_CHARACTERS = 16
STEP, PREFILL = "gpt_step", "gpt_prefill"
MEMORY_MAPPED = {PREFILL, "hubert"}
"""Graphs that read their weights where the bundle has them, without copies that are faster to read, unless those are on
disk. The prefill's weights are those of the step, and a process must not hold two copies of them; HuBERT runs once a
recording, and making the copies takes longer than they save."""


@dataclass(frozen=True)
class Prepacked:
    """Prepacked graphs of a bundle.

    Attributes:
        folder: Where they lie.
        ingredients: What they were made from and for; their digest is the folder's name.
        graphs: Graph -> its file, to be opened with `SessionOptions.optimized`, or by `native_weights.load_packed`.
        files: File -> size and sampled digest.
    """

    folder: Path
    ingredients: Mapping[str, Any]
    graphs: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(int(record["bytes"]) for record in self.files.values())

    def path(self, graph: str) -> Path | None:
        """Returns the prepacked graph, or None where there is none of it."""
        return self.folder / self.graphs[graph] if graph in self.graphs else None

    def problem(self) -> str:
        """Says which file is missing or visibly damaged; empty when all look whole. Reads samples only."""
        for name, record in self.files.items():
            path = self.folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != record["bytes"]:
                return f"{name} has {path.stat().st_size} bytes, expected {record['bytes']}"
            if sampled_digest(path) != record["sampled"]:
                return f"{name} was changed"
        return ""


def prepack(
    bundle: Bundle,
    *,
    native: bool | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Prepacked:
    """Writes the bundle's own graphs as ONNX Runtime runs them on this processor; what is there already is kept.

    Parts that voices share (HuBERT, BERT, vocoders of v3 and v4) are left alone. The GPT's prefill takes its weights
    from the step's file; where the step has most of them in another form (int8, or packed for native kernels), it is
    left alone too.

    Args:
        bundle: The bundle.
        native: Whether the step is packed for the native kernels; see `Synthesizer.load`.
        progress: Called with a graph's name, how many graphs are done, and how many there are.

    Raises:
        BackendError: ONNX Runtime is not installed or cannot write a graph.
        BundleError: The bundle's folder cannot be written.
    """
    from sovits_runtime.backends.onnxruntime import write_optimized

    kernels = library_for(bundle, native)
    ingredients = _ingredients(bundle, kernels)
    target = bundle.path / FOLDER / _key(ingredients)
    if target.is_dir() and not _problem(target):
        return _read(target)
    shared = {name for name, graph in bundle.manifest["graphs"].items() if graph["shared"] is not None}
    names = [name for name in bundle.graph_names if name not in shared]
    try:
        shutil.rmtree(target, ignore_errors=True)  # damaged
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as temporary:
            folder = Path(temporary) / target.name
            folder.mkdir()
            graphs = {name: f"{name}.onnx" for name in names}
            if kernels is not None:
                del graphs[PREFILL]
                graphs[STEP] = f"{STEP}.native"
            for i, (name, file) in enumerate(graphs.items()):
                progress(name, i, len(graphs))
                if name == STEP and kernels is not None:
                    save_packed(pack_step(kernels, bundle), folder / file)
                else:
                    write_optimized(bundle.graph_path(name, form=CPU_FILE), folder / file)
            if PREFILL in graphs and not _share_weights(folder):
                del graphs[PREFILL]
            progress("done", len(graphs), len(graphs))
            files = {
                path.name: {"bytes": path.stat().st_size, "sampled": sampled_digest(path)}
                for path in sorted(folder.iterdir())
            }
            record = {"ingredients": ingredients, "graphs": graphs, "files": files}
            (folder / RECORD).write_text(json_text(record), encoding="utf-8")
            _move(folder, target)
    except OSError as error:
        raise BundleError(
            f"{target}: cannot be written ({error}); free some space, or copy the bundle"
        ) from error
    return _read(target)


def _share_weights(folder: Path) -> bool:
    """Lets the prefill take its weights from the step's file; removes it where that has other ones."""
    from sovits_runtime.bundle.external_weights import share_weights

    shared = share_weights(folder / f"{PREFILL}.onnx", folder / f"{STEP}.onnx")
    if shared >= (folder / f"{PREFILL}.weights").stat().st_size:
        return True
    for path in folder.glob(f"{PREFILL}.*"):
        path.unlink()
    return False


def _move(folder: Path, target: Path) -> None:
    try:
        os.replace(folder, target)
    except OSError:
        if not (target / RECORD).is_file():  # else another process was faster, and made the same
            raise


def find_prepacked(bundle: Bundle, *, native: bool | None = None) -> Prepacked | None:
    """Finds the prepacked graphs for this processor and ONNX Runtime; logs when there are only others.

    Args:
        bundle: The bundle.
        native: Whether the step is to run on the native kernels; see `Synthesizer.load`.

    Raises:
        BundleError: They are damaged.
    """
    folders = list(_folders(bundle))
    if not folders:
        return None
    ingredients = _ingredients(bundle, library_for(bundle, native))
    folder = bundle.path / FOLDER / _key(ingredients)
    if folder not in folders:
        logger.warning(
            "%s: its prepacked graphs are not for this processor, ONNX Runtime and bundle (%s); they are not used. "
            "'sovits-export prepack %s' makes them anew",
            bundle.path,
            _difference(folders, ingredients),
            bundle.path,
        )
        return None
    problem = _problem(folder)
    if problem:
        raise BundleError(
            f"{folder}: {problem}; 'sovits-export prepack {bundle.path}' makes it anew, with --remove it goes"
        )
    return _read(folder)


def remove_prepacked(bundle: Bundle) -> int:
    """Deletes all prepacked graphs of a bundle, those for other machines too; returns how many bytes that freed.

    Raises:
        BundleError: They cannot be deleted.
    """
    folder = bundle.path / FOLDER
    if not folder.exists():
        return 0
    freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be deleted ({error}); close what uses it") from error
    return freed


def describe_prepacked(bundle: Bundle) -> list[dict[str, Any]]:
    """Says for each set of prepacked graphs what it is for, how large it is, and whether it is taken here."""
    folders, sets = list(_folders(bundle)), []
    key = _key(_ingredients(bundle, library_for(bundle, None))) if folders else ""
    for folder in folders:
        problem, here = _problem(folder), folder.name == key
        found = None if problem else _read(folder)
        facts = {**found.ingredients, "bytes": found.bytes} if found else {}
        sets.append({"folder": str(folder), **facts, "here": here, "problem": problem})
    return sets


def _folders(bundle: Bundle) -> Iterator[Path]:
    for record in sorted((bundle.path / FOLDER).glob(f"*/{RECORD}")):
        yield record.parent


def _problem(folder: Path) -> str:
    try:
        return _read(folder).problem()
    except BundleError as error:
        return str(error)


def _read(folder: Path) -> Prepacked:
    path = folder / RECORD
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return Prepacked(folder, value["ingredients"], value["graphs"], value["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path.name} is damaged ({error})") from error


def _ingredients(bundle: Bundle, kernels: ctypes.CDLL | None) -> dict[str, Any]:
    native = None if kernels is None else ABI
    return {**_here(), "native": native, "bundle": bundle.digest, "format": FORMAT}


@lru_cache(maxsize=1)
def _here() -> Mapping[str, Any]:
    from sovits_runtime.machine import read_machine
    from sovits_runtime.machine.onnx_runtime import load_onnxruntime

    machine = read_machine()
    return {
        "onnxruntime": load_onnxruntime().__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": machine.cpu,
        "features": list(machine.features),
    }


def _key(ingredients: Mapping[str, Any]) -> str:
    return content_digest(ingredients)[:KEY_CHARACTERS]


def _difference(folders: list[Path], here: Mapping[str, Any]) -> str:
    """How the nearest of some sets differs."""
    nearest: list[str] | None = None
    for folder in folders:
        if _problem(folder):
            continue
        made = _read(folder).ingredients
        found = [f"{k}: made for {made.get(k)}, here {here[k]}" for k in here if made.get(k) != here[k]]
        if nearest is None or len(found) < len(nearest):
            nearest = found
    return "; ".join(nearest or ["damaged"])
