"""The engine cache: one engine for each cache key, built by one process while others wait.

A plan is written under another name, synced and renamed; its record follows in the same way and makes it count. What a
killed or failed build leaves behind is never taken for an engine, and goes with the next build for the target.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_engines.engine_graph import TrtGraph
from sovits_runtime.bundle.engine_store import (
    PORTABILITY,
    EngineRecord,
    engine_key,
    read_record,
)
from sovits_runtime.bundle.file_lock import locked as hold
from sovits_runtime.bundle.files import difference, differing, file_record, json_text, write_file
from sovits_runtime.bundle.parts import sweep
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.json_file import open_regular

LOG = logging.getLogger(__name__)
LOCK, TIMINGS = ".lock", ".timings"


@dataclass(frozen=True)
class CacheEntry:
    """The place of one engine.

    Attributes:
        folder: The target's folder.
        engine: What is built.
        key_fields: Everything the engine depends on.
    """

    folder: Path
    engine: TrtGraph
    key_fields: Mapping[str, Any]

    @property
    def stem(self) -> Path:
        """Path of plan and record, less the suffix."""
        return self.folder / f"{self.engine.name}-{engine_key(self.key_fields)}"

    def look(self) -> tuple[EngineRecord | None, str]:
        """Returns the engine if it is there and whole; else None and why not ("" when there never was one)."""
        path = self.stem.with_suffix(".json")
        if not path.is_file():
            return None, self._nearest()
        try:
            record = read_record(path)
        except BackendError as error:
            return None, str(error)
        problem = record.problem()
        return (None, problem) if problem else (record, "")

    def _nearest(self) -> str:
        """How the engine that this one replaces differs: for the same GPU and system, perhaps of another version.

        Plain and refittable engines stand side by side.
        """
        requested = self.key_fields
        folders = f"{requested['capability']}-{requested['flavour']}*"
        for path in sorted(self.folder.parent.glob(f"{folders}/{self.engine.name}-*.json")):
            with contextlib.suppress(BackendError):
                built = read_record(path).key_fields
                different = differing(built, requested)
                both = different == ["flags"] and {*built["flags"]} ^ {*requested["flags"]} == {"REFIT"}
                if not both and not {"device", "platform"} & set(different):
                    return difference(built, requested)
        return ""

    @property
    def _timings(self) -> Path:
        """What TensorRT measured on this GPU, one file for all engines of the folder."""
        return self.folder / f"timings-{engine_key({n: self.key_fields[n] for n in PORTABILITY})}{TIMINGS}"

    def timings(self) -> bytes:
        """What earlier builds for this GPU by this version measured; empty where there were none."""
        try:
            with open_regular(self._timings) as file:
                return file.read()
        except OSError:
            return b""

    def keep_timings(self, timings: bytes) -> None:
        """Writes what builds measured so far; a disk that does not take it costs the next build its time."""
        try:
            with write_file(self._timings) as file:
                file.write(timings)
        except OSError as error:
            LOG.warning("%s: the builder's measurements are not kept: %s", self._timings, error)

    def store(self, plan: memoryview, built: Mapping[str, Any]) -> EngineRecord:
        """Writes plan and record.

        Raises:
            OSError: The disk is full or cannot be written; nothing half-written stays.
        """
        file = self.stem.with_suffix(".plan")
        with write_file(file, sync=True) as f:
            f.write(plan)
        record = EngineRecord(
            name=self.engine.name,
            graph=self.engine.graph,
            cache_size=self.engine.cache_size,
            plan=file,
            key_fields=self.key_fields,
            spec=self.engine.spec,
            built=built,
            **file_record(file),
        )
        with write_file(file.with_suffix(".json"), sync=True) as f:
            f.write(json_text(record.to_json()).encode("utf-8"))
        return record


@contextlib.contextmanager
def locked(folder: Path, wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds the folder against other processes; what killed ones left unfinished in it is removed.

    Args:
        folder: Is made where it is missing.
        wait: Is called once if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / LOCK, wait):
        sweep(folder)
        yield
