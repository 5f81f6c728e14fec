"""What an attack gave, as a file that says when and on what machine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sovits_runtime.bundle.files import json_text, write_file
from sovits_runtime.machine import read_machine


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Writes them as JSON.

    Args:
        path: The file.
        results: What the attack counted and measured.
    """
    conditions = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_file(path) as file:
        file.write(json_text({**conditions, "results": results}).encode())
