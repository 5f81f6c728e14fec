"""Manifests and verifications of bundles and shared parts, as builds write them."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sovits_runtime.bundle import MANIFEST, file_record
from sovits_runtime.errors import VerificationError
from sovits_runtime.verify import VerifyReport


def file_records(folder: Path) -> dict[str, Any]:
    """Describes every file of a folder for a manifest."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): file_record(p) for p in paths}


def write_json(path: Path, value: object) -> None:
    """Writes a manifest."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def keep_verification(report: VerifyReport, folder: Path, *, what: str = "the new bundle") -> None:
    """Writes the verification of a bundle that is being made.

    Raises:
        VerificationError: It failed, so the bundle must not take its place.
    """
    report.save(folder / "verification.json")
    if not report.passed:
        raise VerificationError(f"{what} failed verification: {report.failure()}; nothing was written")


def is_complete(folder: Path, *, fields: Collection[str] = ()) -> bool:
    """Whether a shared part is there as it was written, its manifest with these fields, which older ones may lack."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = all(file_record(folder / name) == record for name, record in manifest["files"].items())
        return whole and manifest.keys() >= set(fields)
    except (OSError, ValueError, KeyError, AttributeError):
        return False
