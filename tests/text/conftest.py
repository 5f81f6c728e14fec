"""Tests of text fronts share the detector that replays recorded answers with the conformance runs beside them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
