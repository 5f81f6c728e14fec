"""Graphs optimized for this processor and kept on disk: quick to load, and shared between processes.

Whenever a graph is opened, ONNX Runtime optimizes it and copies most weights to the layout that its kernels for this
processor read fastest. That takes most of the loading time, and the copies belong to one process alone.
`prepack` writes the result, copies included, to `prepacked/<key>/` in the bundle; whoever loads the bundle then maps
those files into memory. Where native kernels run the GPT's step or the vocoder, its weights are kept as those read them
instead. The key holds everything the files depend on, the processor among it: another machine, another ONNX Runtime or
another bundle does not take them, and says so.

What lies there is used as it is: ONNX Runtime trusts the copies blindly. So the key also holds who made a set, and its
record has their seal (`sovits_runtime.bundle.seal`): one that came with somebody else's bundle is not taken.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sovits_runtime.backends.machine_key import machine_fields
from sovits_runtime.backends.native import ABI, library_for, pack_step
from sovits_runtime.backends.native_packing import save_packed
from sovits_runtime.backends.native_vocoder import native_vocoder, packed_vocoder
from sovits_runtime.backends.native_vocoder_packing import save_vocoder
from sovits_runtime.backends.onnxruntime import import_onnxruntime, write_optimized
from sovits_runtime.backends.voice import GptSteps, VocoderEngine
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.bundle.external_weights import share_weights
from sovits_runtime.bundle.files import (
    FileRecord,
    first_problem,
    json_text,
    key_of,
    nearest_difference,
    write_folder,
)
from sovits_runtime.bundle.manifest import is_one_name
from sovits_runtime.bundle.moving import remove_tree
from sovits_runtime.bundle.names import HUBERT, PREFILL, STEP
from sovits_runtime.bundle.seal import is_sealed, make_key, sealed, user_mark
from sovits_runtime.bundle.shape import each, fields, nullable, rows, text, that, whole
from sovits_runtime.errors import BundleError
from sovits_runtime.machine.json_file import read_json
from sovits_runtime.machine.onnx_runtime import has_tensor_scatter
from sovits_runtime.machine.progress import Progress, no_progress

logger = logging.getLogger(__name__)

FOLDER, RECORD = "prepacked", "prepacked.json"
GRAPH_FILE, NATIVE_FILE = ".onnx", ".native"
"""What is added to a graph's name: a graph of ONNX Runtime, or weights packed for the native kernels."""
VOCODER = "vocoder"
"""What a key has besides where native kernels run the vocoder, and the ABI of those; without them keys are as they
were."""
RUNS: tuple[Literal["auto", "onnxruntime"], ...] = ("auto", "onnxruntime")
"""What a set of this machine may be for, of the step and of the vocoder."""
FORMAT = 1
KEY_CHARACTERS = 16
MEMORY_MAPPED = {PREFILL, HUBERT}
"""Graphs that read their weights where the bundle has them, without copies that are faster to read, unless those are on
disk. The prefill's weights are those of the step, and a process must not hold two copies of them; HuBERT runs once a
recording, and making the copies takes longer than they save."""
_FILE = that(is_one_name, "the name of a file in its folder")
_MOST = 1 << 50
_SHAPE = fields(
    {
        "ingredients": fields(
            {
                **dict.fromkeys(("onnxruntime", "platform", "cpu", "bundle", "user"), text),
                "features": rows(text),
                "native": nullable(whole(_MOST)),
                "format": whole(_MOST),
            },
            {VOCODER: nullable(whole(_MOST))},
        ),
        "graphs": each(_FILE),
        "files": each(fields({"bytes": whole(_MOST), "sampled": text}), names=_FILE),
        "seal": text,
    }
)


@dataclass(frozen=True)
class Prepacked:
    """Prepacked graphs of a bundle.

    Attributes:
        folder: Where they lie.
        key_fields: What they were made from and for; their digest is the folder's name.
        graphs: Graph -> its file, to be opened with `SessionOptions.optimized`, or mapped by the native kernels.
        files: File -> size and sampled digest.
    """

    folder: Path
    key_fields: Mapping[str, Any]
    graphs: Mapping[str, str]
    files: Mapping[str, FileRecord]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(record.bytes for record in self.files.values())

    def path(self, graph: str, suffix: str = GRAPH_FILE) -> Path | None:
        """Returns the prepacked graph, or None where there is none of it, or another kind of file."""
        file = self.graphs.get(graph, "")
        return self.folder / file if file.endswith(suffix) else None

    def problem(self) -> str:
        """Says which file is missing or visibly damaged; empty when all look whole. Reads samples only."""
        return first_problem(self.folder, self.files)


def prepack(
    bundle: Bundle,
    *,
    gpt_steps: GptSteps = "auto",
    vocoder_engine: VocoderEngine = "auto",
    progress: Progress = no_progress,
) -> Prepacked:
    """Writes the bundle's own graphs as ONNX Runtime runs them on this processor; what is there already is kept.

    Parts that voices share (HuBERT, BERT, vocoders of v3 to v5) are left alone, but for a vocoder that native kernels
    run. The GPT's prefill takes its weights from the step's file; where the step has most of them in another form
    (int8, or packed for native kernels), it is left alone too.

    Args:
        gpt_steps: What the step is packed for; see `LoadOptions`.
        vocoder_engine: What the vocoder is packed for; see `LoadOptions`.
        progress: Called with a graph's name, how many graphs are done, and how many there are.

    Raises:
        BackendError: ONNX Runtime is not installed or cannot write a graph.
        BundleError: The bundle's folder cannot be written.
    """
    kernels, vocoder = library_for(bundle, gpt_steps), native_vocoder(bundle, vocoder_engine)
    make_key()
    key_fields = _key_fields(bundle, gpt_steps, vocoder_engine)
    target = bundle.path / FOLDER / _key(key_fields)
    if target.is_dir() and not _problem(target):
        return _read(target)
    try:
        with write_folder(target, keep=not target.exists()) as folder:  # what is there is damaged
            graphs = _write_graphs(bundle, folder, kernels=kernels, vocoder=vocoder, progress=progress)
            files = {
                path.name: FileRecord.of(path, whole=False).to_json() for path in sorted(folder.iterdir())
            }
            record = sealed({"ingredients": key_fields, "graphs": graphs, "files": files})
            (folder / RECORD).write_text(json_text(record), encoding="utf-8")
    except OSError as error:
        raise BundleError(
            f"{target}: cannot be written ({error}); free some space, or copy the bundle"
        ) from error
    return _read(target)


def _write_graphs(
    bundle: Bundle,
    folder: Path,
    *,
    kernels: ctypes.CDLL | None,
    vocoder: tuple[str, ctypes.CDLL] | None,
    progress: Progress,
) -> dict[str, str]:
    """Writes the files of a set; returns the file of each graph."""
    shared = {name for name, graph in bundle.manifest["graphs"].items() if graph["shared"] is not None}
    graphs = {name: f"{name}{GRAPH_FILE}" for name in bundle.graph_names if name not in shared}
    if kernels is not None or not has_tensor_scatter(import_onnxruntime("cpu")):
        del graphs[PREFILL]
    if kernels is not None:
        graphs[STEP] = f"{STEP}{NATIVE_FILE}"
    sound = packed_vocoder(vocoder[1], bundle, vocoder[0]) if vocoder else None
    if vocoder and sound:
        graphs[vocoder[0]] = f"{vocoder[0]}{NATIVE_FILE}"
    for i, (name, file) in enumerate(graphs.items()):
        progress(name, i, len(graphs))
        if name == STEP and kernels is not None:
            save_packed(pack_step(kernels, bundle), folder / file)
        elif sound and file.endswith(NATIVE_FILE):
            save_vocoder(sound, folder / file)
        else:
            write_optimized(bundle.graph_path(name, form=CPU_FILE), folder / file)
    if PREFILL in graphs and not _share_weights(folder):
        del graphs[PREFILL]
    progress("done", len(graphs), len(graphs))
    return graphs


def _share_weights(folder: Path) -> bool:
    """Lets the prefill take its weights from the step's file; removes it where that has other ones."""
    shared = share_weights(folder / f"{PREFILL}.onnx", folder / f"{STEP}.onnx")
    if shared >= (folder / f"{PREFILL}.weights").stat().st_size:
        return True
    for path in folder.glob(f"{PREFILL}.*"):
        path.unlink()
    return False


def find_prepacked(
    bundle: Bundle,
    gpt_steps: GptSteps = "auto",
    *,
    vocoder_engine: VocoderEngine = "auto",
    quiet: bool = False,
) -> Prepacked | None:
    """Finds the prepacked graphs for this processor and ONNX Runtime; logs when there are only others.

    Args:
        gpt_steps: What is to run the step; see `LoadOptions`.
        vocoder_engine: What is to run the vocoder; see `LoadOptions`.
        quiet: Do not log it.

    Raises:
        BundleError: They are damaged.
    """
    folders = list(_folders(bundle))
    if not folders:
        return None
    key_fields = _key_fields(bundle, gpt_steps, vocoder_engine)
    folder = bundle.path / FOLDER / _key(key_fields)
    if folder not in folders:
        level = logging.DEBUG if quiet else logging.WARNING
        logger.log(
            level,
            "%s: its prepacked graphs are not of this user for this processor, ONNX Runtime and bundle (%s); they are "
            "not used. 'sovits-export prepack %s' makes them anew",
            bundle.path,
            _nearest(folders, key_fields),
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
        for record in folder.glob(f"*/{RECORD}"):
            record.unlink()  # first: a set without one is not taken, whatever else a program keeps in place
        remove_tree(folder)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be deleted ({error}); close what uses it") from error
    return freed


def describe_prepacked(bundle: Bundle) -> list[dict[str, Any]]:
    """Says for each set of prepacked graphs what it is for, how large it is, and whether it is taken here."""
    folders, sets = list(_folders(bundle)), []
    keys = {_key(_key_fields(bundle, step, sound)) for step in RUNS for sound in RUNS} if folders else set()
    for folder in folders:
        fits = folder.name in keys
        problem = _problem(folder) if fits else _record_problem(folder)
        prepacked = None if problem else _read(folder)
        facts = {**prepacked.key_fields, "bytes": prepacked.bytes} if prepacked else {}
        sets.append({"folder": str(folder), **facts, "here": fits, "problem": problem})
    return sets


def _folders(bundle: Bundle) -> Iterator[Path]:
    for record in sorted((bundle.path / FOLDER).glob(f"[!.]*/{RECORD}")):
        yield record.parent


def _problem(folder: Path) -> str:
    """What is wrong with a set of this user; empty where nothing is."""
    problem = _record_problem(folder)
    return problem or _read(folder).problem()


def _record_problem(folder: Path) -> str:
    try:
        _read(folder)
    except BundleError as error:
        return str(error)
    return ""


def _read(folder: Path) -> Prepacked:
    """Reads a set's record, whoever made it; one that says to be this user's has to have their seal."""
    path = folder / RECORD
    value = read_json(path, what="a record of prepacked graphs", error=BundleError, remedy="it is not used")
    try:
        _SHAPE(value, "")
        key_fields, graphs = value["ingredients"], value["graphs"]
        if folder.name != _key(key_fields):
            raise ValueError("it is that of another folder")
        unlisted = [file for file in graphs.values() if file not in value["files"]]
        if unlisted:
            raise ValueError(f"it does not list {unlisted[0]}")
        if key_fields["user"] == user_mark() and not is_sealed(value):
            raise ValueError("it was changed since it was made")
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path.name} is damaged ({error})") from error
    files = {name: FileRecord.from_json(record) for name, record in value["files"].items()}
    return Prepacked(folder, key_fields, graphs, files)


def _key_fields(bundle: Bundle, gpt_steps: GptSteps, vocoder_engine: VocoderEngine) -> dict[str, Any]:
    return {
        **machine_fields(),
        "native": None if library_for(bundle, gpt_steps) is None else ABI,
        **({} if native_vocoder(bundle, vocoder_engine) is None else {VOCODER: ABI}),
        "bundle": bundle.digest,
        "user": user_mark(),
        "format": FORMAT,
    }


def _key(key_fields: Mapping[str, Any]) -> str:
    return key_of(key_fields, KEY_CHARACTERS)


def _nearest(folders: list[Path], current: Mapping[str, Any]) -> str:
    """How that one of some sets differs which differs least."""
    readable = [_read(folder).key_fields for folder in folders if not _record_problem(folder)]
    return nearest_difference(readable, {VOCODER: None, **current})
