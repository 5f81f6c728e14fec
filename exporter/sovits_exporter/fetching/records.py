"""What was fetched, from where, and what was trusted at its first fetch: `.fetch/fetched.json` beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovits_exporter.fetching.errors import FetchError
from sovits_runtime.bundle.files import FileRecord, json_text, write_file
from sovits_runtime.bundle.manifest import FILES
from sovits_runtime.bundle.shape import each, fields, switch, text, whole
from sovits_runtime.machine.json_file import read_json

WORK = ".fetch"
_FILE = "fetched.json"
_MOST = 1 << 50
_NO_ARCHIVE = ""
"""In place of the digest of an archive that nobody saw."""
_SHAPE = fields(
    {
        "files": each(
            fields(
                {"bytes": whole(_MOST), "sha256": text, "from": text, "revision": text, "first_use": switch}
            )
        ),
        "archives": each(fields({"sha256": text, "files": FILES})),
    }
)


class Records:
    """The records of a folder.

    Args:
        folder: Of what was fetched.

    Raises:
        FetchError: They cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / WORK / _FILE
        self._value: dict[str, Any] = {"files": {}, "archives": {}}
        if self.path.exists():
            remedy = "remove it; then what has no published sha256 is trusted anew"
            value = read_json(self.path, what="a record of what was fetched", error=FetchError, remedy=remedy)
            try:
                _SHAPE(value, "")
            except ValueError as error:
                raise FetchError(
                    f"{self.path}: not a record of what was fetched ({error}); {remedy}"
                ) from error
            self._value = value

    def file(self, path: str) -> Mapping[str, Any]:
        """What is known of a file; empty where nothing is."""
        known: Mapping[str, Any] = self._value["files"].get(path, {})
        return known

    def add_file(self, path: str, **about: Any) -> None:
        """Notes a file: its `bytes`, `sha256`, where it is `from`, its `revision`, whether trust was at `first_use`."""
        self._value["files"][path] = about
        self._save()

    def has_unpacked(self, folder: str, sha256: str) -> bool:
        """Whether an archive of this digest was unpacked to a folder, or one taken over, and all of it is there."""
        known = self._value["archives"].get(folder)
        return (
            known is not None
            and known["sha256"] in (sha256, _NO_ARCHIVE)
            and not any(
                FileRecord.from_json(record).problem(self.folder / folder / name)
                for name, record in known["files"].items()
            )
        )

    def add_unpacked(self, folder: str, sha256: str) -> None:
        """Notes all files of a folder, and the digest of the archive that they are from."""
        place = self.folder / folder
        files = {
            path.relative_to(place).as_posix(): FileRecord.of(path).to_json()
            for path in sorted(place.rglob("*"))
            if path.is_file()
        }
        self._value["archives"][folder] = {"sha256": sha256, "files": files}
        self._save()

    def add_folder(self, folder: str) -> None:
        """Notes all files of a folder that was taken over as it was."""
        self.add_unpacked(folder, _NO_ARCHIVE)

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with write_file(self.path, sync=True) as file:
            file.write(json_text(self._value).encode())
