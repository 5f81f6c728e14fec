"""One comparison of a verification, and the report of them all."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sovits_runtime.audio import Audio
from sovits_runtime.bundle.files import json_text


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        name: What was compared.
        value: What was measured.
        limit: Largest (or, where `at_least`, smallest) value that passes.
        unit: Of value and limit.
        at_least: Whether larger is better.
        note: Anything a reader should know.
    """

    name: str
    value: float
    limit: float
    unit: str
    at_least: bool = False
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value is on the right side of the limit; NaN never is."""
        return bool(self.value >= self.limit if self.at_least else self.value <= self.limit)


@dataclass(frozen=True)
class VerifyReport:
    """All checks of one verification, and the two waveforms to listen to."""

    bundle: str
    digest: str
    provider: str
    checks: tuple[Check, ...]
    expected: Audio = field(repr=False)
    actual: Audio = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(c.passed for c in self.checks)

    def failure(self) -> str:
        """Describes the first failed check, or "" when all passed."""
        for c in self.checks:
            if not c.passed:
                side = "at least" if c.at_least else "at most"
                note = f" ({c.note})" if c.note else ""
                return f"{c.name}: {c.value:.3g} {c.unit}, expected {side} {c.limit:g}{note}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        return {
            "passed": self.passed,
            "bundle": self.bundle,
            "digest": self.digest,
            "provider": self.provider,
            "checks": [{**asdict(c), "passed": c.passed} for c in self.checks],
        }

    def save(self, path: Path) -> None:
        """Writes the JSON form."""
        path.write_text(json_text(self.to_json()), encoding="utf-8")
