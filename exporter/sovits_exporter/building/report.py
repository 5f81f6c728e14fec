"""The results of a build or a conversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_runtime.verify.check import VerifyReport


@dataclass(frozen=True)
class GraphCheck:
    """Largest difference between a graph and its PyTorch module over all sizes it was run at.

    Attributes:
        graph: Name.
        error: Largest absolute difference, as a fraction of the output's largest magnitude.
        limit: Largest allowed.
        sizes: One entry a run: its dimensions and error.
    """

    graph: str
    error: float
    limit: float
    sizes: tuple[Mapping[str, Any], ...]

    @property
    def passed(self) -> bool:
        """Whether the error is within the limit (and a number at all)."""
        return self.error <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Its entry in the manifest."""
        return {"error": self.error, "limit": self.limit, "sizes": list(self.sizes)}


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What was written, and what was measured on the way.

    Attributes:
        path: The bundle's folder.
        manifest: What it holds; of a conversion, "precision" says what was chosen and why.
        verification: Of the whole, if it ran.
        seconds: How long it took.
        checks: Of a build, one a graph: how far it is from PyTorch.
        left_out: Of a build, options without which the bundle cannot read recordings.
    """

    path: Path
    manifest: Mapping[str, Any]
    verification: VerifyReport | None
    seconds: float
    checks: tuple[GraphCheck, ...] = ()
    left_out: tuple[str, ...] = ()
