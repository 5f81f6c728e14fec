"""The exported voice on disk: the one contract between exporter and runtime.

A bundle is a folder with a `manifest.json` that names every file with its size and sha256. Parts that voices share
(HuBERT, BERT) lie in a shared folder under a name that holds their digest; the manifest refers to them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sovits_runtime.bundle.files import FileRecord, content_digest
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.model_spec import ModelSpec, model_spec
from sovits_runtime.bundle.names import CPU_PRECISIONS
from sovits_runtime.errors import BundleError

SCHEMA = 1
MANIFEST = "manifest.json"
WEIGHT_FILES = ("weights", "base_weights")
"""Where a graph's weights lie: its voice's own, and those that a LoRA voice has from its base."""
CPU_FILE = "cpu_file"
"""A second form of a graph, of operators that only ONNX Runtime's CPU has; same inputs, outputs and weights."""
DEVICE_FILE = "device_file"
"""A second form of the GPT's graphs, which needs no host between steps; see `sovits_runtime.t2s.device_step`."""
GRAPH_FORMS = ("file", CPU_FILE, DEVICE_FILE)
SHARED_ENV = "SOVITS_EXPORT_SHARED"


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Digest of a manifest without its own `digest` field: the identity of the bundle."""
    return content_digest({k: v for k, v in manifest.items() if k != "digest"})


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
            path: The bundle's folder.
            shared: The folder of shared parts; by default looked for in `$SOVITS_EXPORT_SHARED`, inside the bundle
                and beside it.
            full: Read every byte and compare sha256; otherwise sizes and samples are compared.

        Raises:
            BundleError: No bundle, another schema, or a file is missing or changed (which is named).
        """
        folder = Path(path)
        manifest = _read_manifest(folder)
        bundle = cls(folder, manifest, _find_shared(folder, manifest, shared))
        bundle.check_files(full=full)
        return bundle

    def check_files(self, *, full: bool) -> None:
        """Compares all files with the manifest.

        Raises:
            BundleError: Names the first file that is missing or changed.
        """
        for path, record in self._records():
            problem = record.problem(path, whole=full)
            if problem:
                raise BundleError(
                    f"{path}: {problem}; the manifest of {self.path} lists it. Build the bundle again"
                )

    def _records(self) -> Iterator[tuple[Path, FileRecord]]:
        for name, record in self.manifest["files"].items():
            yield self.path / name, FileRecord.from_json(record)
        for part in self.manifest["shared"].values():
            assert self.shared is not None
            for name, record in part["files"].items():
                yield self.shared / part["folder"] / name, FileRecord.from_json(record)

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

    def graph_digest(self, name: str) -> str:
        """Returns a digest of the graph and its weights."""
        graph = self._graph(name)
        part = graph["shared"]
        files = self.manifest["files"] if part is None else self.manifest["shared"][part]["files"]
        names = [graph[key] for key in ("file", *WEIGHT_FILES) if key in graph]
        return hashlib.sha256("".join(files[name]["sha256"] for name in names).encode()).hexdigest()

    def golden(self, name: str) -> dict[str, Array]:
        """Reads recorded inputs and PyTorch outputs, `golden/<name>.npz`."""
        with np.load(self.path / "golden" / f"{name}.npz", allow_pickle=False) as z:
            return {k: z[k] for k in z.files}

    def _graph(self, name: str) -> Mapping[str, Any]:
        graphs: Mapping[str, Mapping[str, Any]] = self.manifest["graphs"]
        if name not in graphs:
            raise BundleError(f"{self.path}: holds no graph {name!r}; it has {', '.join(graphs)}")
        return graphs[name]


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(
            f"{folder}: not a bundle, {MANIFEST} is missing; make one with 'sovits-export build'"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema, digest = manifest["schema"], manifest["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: not a manifest ({error}); build the bundle again") from error
    if schema != SCHEMA:
        raise BundleError(
            f"{path}: bundle schema {schema}, this version reads {SCHEMA}; install a matching sovits-export, or build "
            "the bundle again"
        )
    if digest != manifest_digest(manifest):
        raise BundleError(f"{path}: was changed by hand (its digest does not match); build the bundle again")
    return manifest


def _find_shared(
    folder: Path, manifest: Mapping[str, Any], explicit: str | os.PathLike[str] | None
) -> Path | None:
    folders = [part["folder"] for part in manifest["shared"].values()]
    if not folders:
        return None
    env = os.environ.get(SHARED_ENV)
    places = (
        [Path(explicit)]
        if explicit
        else [*([Path(env)] if env else []), folder / "shared", folder.parent / "shared"]
    )
    for place in places:
        if all((place / name).is_dir() for name in folders):
            return place
    raise BundleError(
        f"{folder}: refers to shared parts {', '.join(folders)}, not found in {', '.join(map(str, places))}; copy the "
        f"shared folder along, or name it with --shared or ${SHARED_ENV}"
    )
