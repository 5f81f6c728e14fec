"""Engines kept by content: an engine is built once for all that its key holds, by one process, or not at all.

A plan is written under another name, synced and renamed; its record follows in the same way and makes it count. What a
killed or failed build leaves behind is never taken for an engine, and goes with the next build for the target.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_engines.engine_graph import TrtGraph
from sovits_runtime.bundle import file_record
from sovits_runtime.bundle.engine_store import (
    PORTABILITY,
    EngineRecord,
    describe_difference,
    engine_key,
    read_record,
)
from sovits_runtime.errors import BackendError

LOG = logging.getLogger(__name__)
LOCK, TIMINGS = ".lock", ".timings"
_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Slot:
    """The place of one engine.

    Attributes:
        folder: The target's folder.
        engine: What is built.
        ingredients: Everything the engine depends on.
    """

    folder: Path
    engine: TrtGraph
    ingredients: Mapping[str, Any]

    @property
    def stem(self) -> Path:
        """Path of plan and record, less the suffix."""
        return self.folder / f"{self.engine.name}-{engine_key(self.ingredients)}"

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
        wanted = self.ingredients
        folders = f"{wanted['capability']}-{wanted['flavour']}*"
        for path in sorted(self.folder.parent.glob(f"{folders}/{self.engine.name}-*.json")):
            with contextlib.suppress(BackendError):
                built = read_record(path).ingredients
                different = [n for n in sorted({*built, *wanted}) if built.get(n) != wanted.get(n)]
                both = different == ["flags"] and {*built["flags"]} ^ {*wanted["flags"]} == {"REFIT"}
                if not both and not {"device", "platform"} & set(different):
                    return describe_difference(built, wanted, different)
        return ""

    @property
    def _timings(self) -> Path:
        """What TensorRT measured on this GPU, one file for all engines of the folder."""
        return self.folder / f"timings-{engine_key({n: self.ingredients[n] for n in PORTABILITY})}{TIMINGS}"

    def timings(self) -> bytes:
        """What earlier builds for this GPU by this version measured; empty where there were none."""
        return self._timings.read_bytes() if self._timings.is_file() else b""

    def keep_timings(self, timings: bytes) -> None:
        """Writes what builds measured so far; a disk that does not take it costs the next build its time."""
        try:
            with _written(self._timings) as unfinished:
                unfinished.write_bytes(timings)
        except OSError as error:
            LOG.warning("%s: the builder's measurements are not kept: %s", self._timings, error)

    def store(self, plan: memoryview, built: Mapping[str, Any]) -> EngineRecord:
        """Writes plan and record.

        Raises:
            OSError: The disk is full or cannot be written; nothing half-written stays.
        """
        file = self.stem.with_suffix(".plan")
        with _written(file) as unfinished:
            with unfinished.open("wb") as f:
                f.write(plan)
                f.flush()
                os.fsync(f.fileno())
            facts = file_record(unfinished)
        record = EngineRecord(
            name=self.engine.name,
            graph=self.engine.graph,
            cache_size=self.engine.cache_size,
            plan=file,
            ingredients=self.ingredients,
            spec=self.engine.spec,
            built=built,
            **facts,
        )
        with _written(file.with_suffix(".json")) as unfinished:
            unfinished.write_text(json.dumps(record.to_json(), indent=1) + "\n", encoding="utf-8")
        return record


@contextlib.contextmanager
def _written(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its name at the end, or is gone."""
    unfinished = path.with_name(f".{path.name}{_UNFINISHED}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which file it had no room for
        raise
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds the folder against other processes; what killed ones left unfinished in it is removed.

    Args:
        folder: Is made where it is missing.
        wait: Is called once if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+b") as file:
        if not _lock(file.fileno(), blocking=False):
            wait()
            _lock(file.fileno(), blocking=True)
        try:
            for leftover in folder.glob(f".*{_UNFINISHED}"):
                leftover.unlink(missing_ok=True)
            yield
        finally:
            _unlock(file.fileno())


if sys.platform == "win32":
    import msvcrt
    import time

    def _lock(descriptor: int, *, blocking: bool) -> bool:
        while True:
            os.lseek(descriptor, 0, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return True
            except OSError:
                if not blocking:
                    return False
                time.sleep(0.2)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, *, blocking: bool) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
