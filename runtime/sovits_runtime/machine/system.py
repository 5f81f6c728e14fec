"""Reads files of the system and runs its small programs, which may be missing."""

from __future__ import annotations

import subprocess
from pathlib import Path

_TIMEOUT_S = 5


def read_text(path: Path) -> str:
    """Reads a file; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def output_of(*command: str) -> str:
    """What a command prints; empty where it cannot be run."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
