"""Weights that voices have from the same base, stored once: each voice's file is a hard link to the shared one.

A linked file is a plain file of the bundle: it is listed in the manifest and checked as any other, readers find it
beside its graph, and the bundle stays whole without the shared folder. Only the disk holds it once.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from sovits_exporter.building.manifest import file_records, is_complete, write_json
from sovits_runtime.bundle import MANIFEST
from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.files import sha256_file, write_folder, write_path

log = logging.getLogger(__name__)


def share_weights(path: Path, shared_folder: Path) -> None:
    """Makes `path` a link to the file of the same content in the shared folder, and puts it there if it is new."""
    target = shared_folder / f"base-{sha256_file(path)[:12]}"
    try:
        shared_folder.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f".{target.name}.made.lock")):
            if not is_complete(target):
                with write_folder(target) as folder:
                    os.link(path, folder / path.name)
                    write_json(folder / MANIFEST, {"files": file_records(folder)})
                return
        with write_path(path) as link:
            os.link(target / path.name, link)
    except OSError as error:
        log.warning(
            "%s: stored once more, as it cannot be linked to %s (%s)", path.name, shared_folder, error
        )
