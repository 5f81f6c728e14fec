"""How a bundle is written, by a build as by a conversion to another precision.

    with write_bundle(output, shared_folder, steps) as writer:   a hidden folder beside the output
        writer.add_shared(...)                                    a part that voices share, made or found
        writer.add_graph(...)                                     a graph that was written to `writer.graphs_folder`
        writer.copy_rest(source)                                  what a conversion leaves as it is
        writer.add_golden(...)                                    numbers to verify against
        report = writer.finish(...)                               manifest, verification
                                                                  the folder takes its place

`write_bundle` is the one place that cleans up: a step that fails, or a kill at any moment, leaves the older bundle or
none, never half of one. Shared parts are whole by themselves and stay.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sovits_exporter.building.lora_base import share_weights
from sovits_exporter.building.manifest import GraphRecord, file_records, is_complete, read_part, write_json
from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.request import BundleRequest, ReferenceRequest, RequestWords
from sovits_exporter.building.steps import Steps
from sovits_exporter.graphs.files import BASE_SUFFIX
from sovits_runtime.bundle import GRAPH_FORMS, MANIFEST, WEIGHT_FILES, Bundle, manifest_digest
from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.files import write_folder
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.places import refuse_source
from sovits_runtime.bundle.replacing import old_of, restore_folder
from sovits_runtime.bundle.stored_references import FOLDER as VOICE
from sovits_runtime.errors import BundleError, VerificationError
from sovits_runtime.verify.check import VerifyReport

log = logging.getLogger(__name__)

GRAPHS, GOLDEN, REFERENCES, VERIFICATION = "graphs", "golden", "references", "verification.json"
WRITTEN = (MANIFEST, GRAPHS, GOLDEN, REFERENCES, VERIFICATION, "prepacked", VOICE)
"""What a build writes, copies from an older bundle, or leaves behind."""
WAITING = "%s: another process is making this part that voices share; waiting for it"
MANIFEST_KEYS = (
    "schema",
    "made_by",
    "model",
    "sources",
    "graphs",
    "shared",
    "golden",
    "tolerances",
    "files",
    "digest",
    "precision",
    "references",
)
"""The parts of a manifest, in the order in which they are written."""


def check_output(request: BundleRequest, *more: Path) -> None:
    """Repairs what a killed build left at the output, and refuses one that is not ours or holds what is read.

    Args:
        request: What is to be written, and of what.
        more: Other things that are read.

    Raises:
        SovitsError: The output is, or holds, something that it is to be made of.
        BundleError: Something that is no bundle lies there, or shared parts would lie within.
    """
    output = request.output
    restore_folder(output, move=_staying(output))
    refuse_source(output, [*_sources(request), *more])
    if request.shared_folder.resolve().is_relative_to(output.resolve()):
        raise BundleError(
            f"{request.shared_folder}: lies within {output}, which is written anew each time; choose another folder "
            "for shared parts"
        )
    if (
        output.exists()
        and not (output / MANIFEST).is_file()
        and (not output.is_dir() or any(output.iterdir()))
    ):
        raise BundleError(
            f"{output}: exists and is not a bundle; choose another output folder or remove it yourself"
        )


def _sources(request: BundleRequest) -> Iterator[Path]:
    """Everything that a request reads."""
    for field in dataclasses.fields(request):
        value = getattr(request, field.name)
        if field.name not in ("output", "shared"):
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Path):
                    yield part
                if isinstance(part, RequestWords | ReferenceRequest):
                    yield part.recording
        if isinstance(value, Bundle):
            yield value.path


def _staying(output: Path) -> list[str]:
    """What lies in an older bundle and was not written by a build: engines, and whatever a user put there."""
    places = [place for place in (output, old_of(output)) if place.is_dir()]
    return [path.name for place in places for path in place.iterdir() if path.name not in WRITTEN]


@contextmanager
def write_bundle(output: Path, shared_folder: Path, steps: Steps) -> Iterator[BundleWriter]:
    """Yields the writer of a bundle that takes its place when the block ends well, and leaves nothing otherwise.

    Engines of an older bundle at `output` are keyed by content and large, so they are moved to the new one, as is what
    a user put there. After a kill at that moment, the next build moves them.

    Args:
        output: The bundle's folder.
        shared_folder: Where parts that voices share lie.
        steps: Of the whole task; the writer begins the last of them.
    """
    with write_folder(output, move=_staying(output)) as folder:
        writer = BundleWriter(output, folder, shared_folder, steps)
        yield writer
        assert writer.is_finished, "a block that ends well has called finish"


class BundleWriter:
    """Fills the folder of a new bundle and keeps what its manifest needs; see `write_bundle`."""

    def __init__(self, output: Path, folder: Path, shared_folder: Path, steps: Steps) -> None:
        self.output = output
        self.folder = folder
        self.shared_folder = shared_folder
        self.graphs_folder = folder / GRAPHS
        self.steps = steps
        self.is_finished = False
        self._graphs: dict[str, GraphRecord] = {}
        self._shared: dict[str, dict[str, Any]] = {}
        self.graphs_folder.mkdir()
        (folder / GOLDEN).mkdir()

    def add_graph(self, record: GraphRecord) -> None:
        """Adds a graph that was written, in the order of the manifest; finds the base's weights beside its own."""
        base = self.graphs_folder / f"{Path(record.weights).stem}{BASE_SUFFIX}"
        base_weights = f"{GRAPHS}/{base.name}" if base.exists() else None
        self._graphs[record.spec.name] = dataclasses.replace(record, base_weights=base_weights)

    def add_shared(
        self,
        kind: str,
        name: str,
        write: Callable[[Path], Mapping[str, Any]],
        *,
        source_sha256: str,
        is_usable: Callable[[Path], bool] = is_complete,
    ) -> dict[str, Any]:
        """Adds a part that voices share, which is written if it is not there yet.

        Args:
            kind: "hubert", "bert", "speaker" or "vocoder".
            name: Of its folder in the shared folder.
            write: Fills a folder, and returns what the part's manifest says beside its files.
            source_sha256: Digest of what it was made of.
            is_usable: Whether a folder that is there can stay.

        Returns:
            The part's manifest.
        """
        target = self.shared_folder / name
        self.shared_folder.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f".{name}.made.lock"), partial(log.warning, WAITING, target)):
            if not is_usable(target):
                with write_folder(target) as folder:
                    about = write(folder)
                    write_json(folder / MANIFEST, {"files": file_records(folder), **about})
            manifest = read_part(target)
        self._shared[kind] = {"folder": name, "source_sha256": source_sha256, "files": manifest["files"]}
        return manifest

    def add_golden(self, name: str, arrays: Mapping[str, Array]) -> None:
        """Adds numbers to verify against."""
        np.savez(self.folder / GOLDEN / f"{name}.npz", allow_pickle=False, **arrays)

    def copy_golden(self, source: Bundle) -> None:
        """Copies what another bundle is verified against."""
        shutil.copytree(source.path / GOLDEN, self.folder / GOLDEN, dirs_exist_ok=True)

    def copy_rest(self, source: Bundle) -> None:
        """Copies from another bundle the graphs and shared parts that were not added, and files that are not there."""
        records = {n: GraphRecord.from_json(g) for n, g in source.manifest["graphs"].items()}
        self._graphs = {name: self._graphs.get(name, record) for name, record in records.items()}
        for record in self._graphs.values():
            for name in _own_files(record):
                if not (self.folder / name).exists():
                    shutil.copy2(source.path / name, self.folder / name)
        for kind, part in source.manifest["shared"].items():
            if kind not in self._shared:
                assert source.shared is not None
                write = partial(_copy_part, source.shared / part["folder"])
                self.add_shared(kind, part["folder"], write, source_sha256=part["source_sha256"])
        for reference in source.references:
            for name in filter(None, (reference.file, reference.clip)):
                (self.folder / name).parent.mkdir(exist_ok=True)
                shutil.copy2(source.path / name, self.folder / name)

    def finish(
        self,
        manifest: Mapping[str, Any],
        verify: Callable[[Bundle], VerifyReport] | None,
        *,
        store: Callable[[Bundle], Sequence[Mapping[str, str]]] | None = None,
        share_base: bool = True,
        called: str = "the new bundle",
    ) -> BuildReport:
        """Writes the manifest and verifies the whole.

        Args:
            manifest: All of it but graphs, shared parts, files and digest.
            verify: Verifies the bundle; None: it is not verified.
            store: Writes references with the graphs of the bundle, and returns what the manifest says of them.
            share_base: Whether weights of a LoRA voice's base are stored once for all voices of that base.
            called: The bundle's name in messages.

        Raises:
            VerificationError: The verification failed, so the bundle must not take its place.
        """
        written = self._write_manifest(manifest)
        if store is not None:
            references = store(Bundle.open(self.folder, shared=self.shared_folder))
            written = self._write_manifest({**manifest, "references": list(references)})
        verification = None
        if verify is not None:
            self.steps.begin("verify")
            verified = verify(Bundle.open(self.folder, shared=self.shared_folder))
            verification = dataclasses.replace(verified, bundle=str(self.output))
            verification.save(self.folder / VERIFICATION)
            if not verification.passed:
                raise VerificationError(
                    f"{called} failed verification: {verification.failure()}; nothing was written"
                )
        if share_base:
            for path in self.graphs_folder.glob(f"*{BASE_SUFFIX}"):
                share_weights(path, self.shared_folder)
        self._keep_references()
        self.steps.end()
        self.is_finished = True
        return BuildReport(
            path=self.output, manifest=written, verification=verification, seconds=self.steps.seconds
        )

    def _write_manifest(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        whole = {
            **manifest,
            "graphs": {name: record.to_json() for name, record in self._graphs.items()},
            "shared": self._shared,
            "files": _listed(self.folder),
        }
        whole["digest"] = manifest_digest(whole)
        ordered = {key: whole[key] for key in MANIFEST_KEYS if key in whole} | whole
        write_json(self.folder / MANIFEST, ordered)
        return ordered

    def _keep_references(self) -> None:
        """Saved references are keyed by content: those of an older bundle stay valid, or are never read."""
        if (self.output / REFERENCES).is_dir():
            shutil.copytree(self.output / REFERENCES, self.folder / REFERENCES, dirs_exist_ok=True)


def _listed(folder: Path) -> dict[str, Any]:
    """Every file but the manifest, which is written again when references were added."""
    return {name: record for name, record in file_records(folder).items() if name != MANIFEST}


def _own_files(record: GraphRecord) -> list[str]:
    """Files of a graph that lie in the bundle itself."""
    if record.shared is not None:
        return []
    return [name for key in (*GRAPH_FORMS, *WEIGHT_FILES) if (name := getattr(record, key)) is not None]


def _copy_part(source: Path, folder: Path) -> dict[str, Any]:
    """Copies a shared part; returns what its manifest says beside its files."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)
    return {key: value for key, value in read_part(source).items() if key != "files"}
