"""The entries of a manifest for graphs and files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_runtime.bundle.files import FileRecord, file_record
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.manifest import FETCH_AGAIN, FILES, ISLANDS, MANIFEST, SPEC
from sovits_runtime.bundle.names import FP32
from sovits_runtime.bundle.own_files import misplaced
from sovits_runtime.bundle.shape import fields
from sovits_runtime.errors import BundleError
from sovits_runtime.machine.json_file import read_json

_PART = fields({"files": FILES}, {"spec": SPEC, "islands": ISLANDS})


@dataclass(frozen=True, kw_only=True)
class GraphRecord:
    """A graph as a manifest describes it; paths begin in the bundle, or in the folder of its shared part.

    Attributes:
        file: The `.onnx` file.
        weights: Its weight file.
        shared: Kind of the shared part that it belongs to; None: the voice itself.
        precision: "fp32", "fp16", "int8" or "int4".
        spec: Its inputs and outputs.
        check: How far it is from what it was made of, and how far it may be.
        cpu_file: The variant of ONNX Runtime's CPU provider, on the same weights.
        device_file: The variant that needs no host between the GPT's steps, on the same weights.
        rows_file: The variant that steps a batch of rows so, on the same weights.
        base_weights: Weights that a LoRA voice has from its base.
    """

    file: str
    weights: str
    shared: str | None = None
    precision: str = FP32
    spec: GraphSpec
    check: Mapping[str, Any]
    cpu_file: str | None = None
    device_file: str | None = None
    rows_file: str | None = None
    base_weights: str | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GraphRecord:
        """Reads what `to_json` gave."""
        return cls(**{**value, "spec": GraphSpec.from_json(value["spec"])})

    def to_json(self) -> dict[str, Any]:
        """The record as plain values; what a graph has none of is left out, but for `shared`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["spec"] = self.spec.to_json()
        return {name: value for name, value in values.items() if value is not None or name == "shared"}


def file_records(folder: Path) -> dict[str, Any]:
    """Describes every file of a folder for a manifest."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): file_record(p) for p in paths}


def read_part(folder: Path) -> dict[str, Any]:
    """Reads the manifest of a part that voices share.

    Raises:
        BundleError: It is none.
    """
    path = folder / MANIFEST
    value = read_json(path, what="the manifest of a shared part", error=BundleError, remedy=FETCH_AGAIN)
    try:
        _PART(value, "")
    except ValueError as error:
        raise BundleError(f"{path}: not the manifest of a shared part ({error}); {FETCH_AGAIN}") from error
    return dict(value)


def write_json(path: Path, value: object) -> None:
    """Writes a manifest."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def is_complete(folder: Path, *, named: Collection[str] = ()) -> bool:
    """Whether a shared part is there as it was written, its manifest with these fields, which older ones may lack."""
    try:
        manifest = read_part(folder)
    except BundleError:
        return False
    files = {name: FileRecord.from_json(record) for name, record in manifest["files"].items()}
    whole = not any(misplaced(folder, n) or r.problem(folder / n, whole=True) for n, r in files.items())
    return whole and manifest.keys() >= set(named)
