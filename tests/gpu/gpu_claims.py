"""The claims of docs/gpu.md, read without the other files of the report, whose names are short."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "gpu"
_spec = importlib.util.spec_from_file_location("gpu_report_claims", BENCHMARKS / "claims.py")
assert _spec is not None
assert _spec.loader is not None
claims = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = claims
_spec.loader.exec_module(claims)

SHOWN = tuple(dict.fromkeys(part for claim in claims.CLAIMS for part in claim.parts))
"""Every part that a claim names, in order."""
