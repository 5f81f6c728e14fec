"""Data that decides precision: corpora, collected ranges, choices."""

import sovits_runtime as _runtime  # noqa: F401 - turns telemetry off before any other import
