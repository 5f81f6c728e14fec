"""What of the models that voices share was fetched to this user's folder."""

from __future__ import annotations

from sovits_runtime.doctor.finding import Finding
from sovits_runtime.machine.data_folder import fetched_pretrained


def fetched_finding() -> Finding:
    """Says where builds look for parts by themselves, and what lies there."""
    folder = fetched_pretrained()
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        names = []
    if names:
        return Finding("ok", "fetched parts", f"{folder}: {', '.join(names)}")
    remedy = "sovits-export fetch v2, or whatever version the voice is of; or build with --pretrained"
    return Finding("info", "fetched parts", f"none in {folder}, where builds look for them", remedy)
