"""The exported voice on disk: the one contract between exporter and runtime.

A bundle is a folder with a `manifest.json` that names every file with its size and sha256. Parts that voices share
(HuBERT, BERT) lie in a shared folder under a name that holds their digest; the manifest refers to them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_runtime.bundle.arrays import Arrays, read_arrays
from sovits_runtime.bundle.files import FileRecord
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.manifest import FETCH_AGAIN, MANIFEST, SCHEMA, manifest_digest, read_manifest
from sovits_runtime.bundle.model_spec import ModelSpec, model_spec
from sovits_runtime.bundle.names import CPU_PRECISIONS
from sovits_runtime.bundle.own_files import check_links, misplaced
from sovits_runtime.bundle.pack import pack_in, unpacked
from sovits_runtime.bundle.replacing import restore_folder
from sovits_runtime.bundle.stored_references import StoredReference, stored_references
from sovits_runtime.errors import BundleError
from sovits_runtime.machine.json_file import LFS_REMEDY, is_lfs_pointer

__all__ = [
    "CPU_FILE",
    "DEVICE_FILE",
    "GRAPH_FORMS",
    "MANIFEST",
    "ROWS_FILE",
    "SCHEMA",
    "SHARED_ENV",
    "WEIGHT_FILES",
    "Bundle",
    "manifest_digest",
]

WEIGHT_FILES = ("weights", "base_weights")
"""Where a graph's weights lie: its voice's own, and those that a LoRA voice has from its base."""
CPU_FILE = "cpu_file"
"""A second form of a graph, of operators that only ONNX Runtime's CPU has; same inputs, outputs and weights."""
DEVICE_FILE = "device_file"
"""A second form of the GPT's graphs, which needs no host between steps; see `sovits_runtime.t2s.device_step`. That of
the prefill also serves an ONNX Runtime without TensorScatter; see `sovits_runtime.backends.cacheless_prefill`."""
ROWS_FILE = "rows_file"
"""A form of the GPT's step as `DEVICE_FILE`, for a batch of rows; bundles of older versions have none."""
GRAPH_FORMS = ("file", CPU_FILE, DEVICE_FILE, ROWS_FILE)
SHARED_ENV = "SOVITS_EXPORT_SHARED"


GOLDEN = {
    **dict.fromkeys(("prompt", "prompt_phones", "phones", "tokens", "decoded_tokens"), ("int64", 1)),
    **dict.fromkeys(("wave", "leads", "waveform"), ("float32", 1)),
    **dict.fromkeys(("bert", "token_noise", "logits", "speaker", "reference_mel"), ("float32", 2)),
    **dict.fromkeys(
        ("ssl", "style", "state", "noise", "z", "features", "condition", "unprompted"), ("float32", 3)
    ),
    **dict.fromkeys(("prompt_mel", "window_features", "turn", "moves"), ("float32", 3)),
    **dict.fromkeys(("x", "velocities"), ("float32", 4)),
    "ended": ("bool", 0),
}
"""Recorded arrays: dtype and number of axes."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        path: The bundle's folder.
        manifest: Content of `manifest.json`.
        shared: The folder that holds shared parts, or None when the bundle refers to none.
    """

    path: Path
    manifest: Mapping[str, Any]
    shared: Path | None

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, shared: str | os.PathLike[str] | None = None, full: bool = False
    ) -> Bundle:
        """Opens a bundle and checks that its files are those that were written.

        Args:
            path: The bundle's folder, or a voice pack, which is unpacked into the user's cache when first opened.
            shared: The folder of shared parts; by default looked for in `$SOVITS_EXPORT_SHARED`, inside the bundle
                and beside it, and beside the pack.
            full: Read every byte and compare sha256; otherwise sizes and samples are compared.

        Raises:
            BundleError: No bundle, another schema, or a file is missing or changed (which is named).
        """
        given = Path(path)
        pack = pack_in(given)
        folder = given if pack is None else unpacked(pack)
        _require_bundle(folder)
        manifest = read_manifest(folder)
        beside = [] if pack is None else [pack.parent / "shared"]
        bundle = cls(folder, manifest, _find_shared(folder, manifest, shared, beside=beside, called=given))
        bundle.check_files(full=full)
        return bundle

    def check_files(self, *, full: bool) -> None:
        """Compares all files with the manifest, and refuses links that lead out of the bundle.

        Raises:
            BundleError: Names the first file that is missing or changed, or lies elsewhere.
        """
        check_links(self.path)
        if self.shared is not None:
            for name in ("engines", *(part["folder"] for part in self.manifest["shared"].values())):
                check_links(self.shared / name, root=self.shared)
        for root, name, record in self._records():
            problem = misplaced(root, name) or record.problem(root / name, whole=full)
            if problem and is_lfs_pointer(root / name):
                raise BundleError(f"{root / name}: is a Git LFS pointer, not the file itself; {LFS_REMEDY}")
            if problem:
                raise BundleError(
                    f"{root / name}: {problem}; the manifest of {self.path} lists it. {FETCH_AGAIN.capitalize()}"
                )

    def _records(self) -> Iterator[tuple[Path, str, FileRecord]]:
        """The folder of each listed file, its name in that, and its record."""
        for name, record in self.manifest["files"].items():
            yield self.path, name, FileRecord.from_json(record)
        for part in self.manifest["shared"].values():
            assert self.shared is not None
            for name, record in part["files"].items():
                yield self.shared / part["folder"], name, FileRecord.from_json(record)

    @property
    def digest(self) -> str:
        """Identity of the bundle's content."""
        return str(self.manifest["digest"])

    @property
    def spec(self) -> ModelSpec:
        """The model version's row."""
        return model_spec(self.manifest["model"]["version"])

    @property
    def precision(self) -> str:
        """What the graphs are in: "fp32", "fp16" (with FP32 parts that the manifest lists), or several: "fp32+int8"."""
        return "+".join(sorted(self.precisions))

    @property
    def precisions(self) -> frozenset[str]:
        """The precisions of all graphs, of `bundle.names`."""
        return frozenset(graph["precision"] for graph in self.manifest["graphs"].values())

    @property
    def cpu_only(self) -> bool:
        """Whether graphs hold int8 or int4 operators, which ONNX Runtime has for CPUs."""
        return not CPU_PRECISIONS.isdisjoint(self.precisions)

    @property
    def references(self) -> tuple[StoredReference, ...]:
        """The references that it carries; the first speaks when none is named."""
        return stored_references(self.manifest)

    def stored_reference(self, name: str | None = None) -> StoredReference:
        """Returns the reference of a name, or the first.

        Raises:
            BundleError: It carries none, or none of that name.
        """
        known = self.references
        if not known:
            raise BundleError(
                f"{self.path}: carries no reference, so it does not know whose voice to speak with; give a recording "
                "(--ref), or build it again with one"
            )
        if name is None:
            return known[0]
        for reference in known:
            if reference.name == name:
                return reference
        raise BundleError(
            f"{self.path}: carries no reference {name!r}; it has {', '.join(r.name for r in known)}"
        )

    @property
    def graph_names(self) -> tuple[str, ...]:
        """Names of all graphs, shared ones included."""
        return tuple(self.manifest["graphs"])

    def graph_spec(self, name: str) -> GraphSpec:
        """Returns the inputs and outputs of a graph."""
        return GraphSpec.from_json(self._graph(name)["spec"])

    def graph_path(self, name: str, *, form: str = GRAPH_FORMS[0]) -> Path:
        """Returns the graph's `.onnx` file, in one of `GRAPH_FORMS` where the bundle has it and else as exported."""
        graph = self._graph(name)
        part = graph["shared"]
        if part is None:
            return self.path / str(graph.get(form, graph["file"]))
        assert self.shared is not None
        return self.shared / str(self.manifest["shared"][part]["folder"]) / str(graph["file"])

    def has_form(self, name: str, form: str) -> bool:
        """Whether the bundle has a graph in a form."""
        return form in self._graph(name)

    def graph_precision(self, name: str) -> str:
        """Returns what a graph is in, of `bundle.names`."""
        return str(self._graph(name)["precision"])

    def graph_digest(self, name: str) -> str:
        """Returns a digest of the graph and its weights."""
        graph = self._graph(name)
        part = graph["shared"]
        files = self.manifest["files"] if part is None else self.manifest["shared"][part]["files"]
        names = [graph[key] for key in ("file", *WEIGHT_FILES) if key in graph]
        return hashlib.sha256("".join(files[name]["sha256"] for name in names).encode()).hexdigest()

    def golden(self, name: str) -> Arrays:
        """Reads recorded inputs and PyTorch outputs, `golden/<name>.npz`.

        Raises:
            BundleError: The file is damaged, or an array that is asked for is missing.
        """
        return read_arrays(self.path / "golden" / f"{name}.npz", GOLDEN, remedy=FETCH_AGAIN)

    def _graph(self, name: str) -> Mapping[str, Any]:
        graphs: Mapping[str, Mapping[str, Any]] = self.manifest["graphs"]
        if name not in graphs:
            raise BundleError(f"{self.path}: holds no graph {name!r}; it has {', '.join(graphs)}")
        return graphs[name]


def _require_bundle(folder: Path) -> None:
    """Refuses what is no bundle, and says what it is.

    Raises:
        BundleError: There is no manifest.
    """
    path = folder / MANIFEST
    try:
        restore_folder(folder)  # while another process replaces the bundle, there may be none for a moment
    except OSError as error:
        raise BundleError(
            f"{folder}: was being replaced when that was broken off, and cannot be restored ({error.strerror}); rename "
            f"{error.filename} to it"
        ) from error
    if path.is_file() or path.is_fifo():  # the reader says what is wrong with a pipe
        return
    if folder.is_file():
        raise BundleError(
            f"{folder}: is a file, expected the folder of a bundle; if it is an archive, unpack it"
        )
    within = [p.parent for p in sorted(folder.glob(f"*/{MANIFEST}")) if p.parent.name != "shared"]
    if len(within) == 1:
        raise BundleError(f"{folder}: not a bundle, but holds one; give {within[0]}")
    raise BundleError(
        f"{folder}: not a bundle, {MANIFEST} is missing; make one with 'sovits-export build', or copy or download a "
        "voice whole"
    )


def _find_shared(
    folder: Path,
    manifest: Mapping[str, Any],
    explicit: str | os.PathLike[str] | None,
    *,
    beside: Sequence[Path],
    called: Path,
) -> Path | None:
    folders = [part["folder"] for part in manifest["shared"].values()]
    if not folders:
        return None
    env = os.environ.get(SHARED_ENV)
    places = (
        [Path(explicit)]
        if explicit
        else [*([Path(env)] if env else []), folder / "shared", folder.parent / "shared", *beside]
    )
    for place in places:
        if all((place / name).is_dir() for name in folders):
            return place
    raise BundleError(
        f"{called}: refers to shared parts {', '.join(folders)}, not found in {', '.join(map(str, places))}; copy the "
        f"shared folder along, or name it with --shared or ${SHARED_ENV}"
    )
