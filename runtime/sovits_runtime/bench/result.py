"""What a benchmark measured, as values that know their percentiles and their JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Timing:
    """Samples of one stage by one party, in seconds.

    Attributes:
        samples: One for each repetition; for `gpt_step` one for each token.
        warmup_s: The first run, which is in no other figure; None for stages that have no warm-up.
    """

    samples: tuple[float, ...]
    warmup_s: float | None = None

    def percentile(self, q: float) -> float:
        """Returns a percentile, interpolated between samples."""
        return float(np.percentile(self.samples, q))

    @property
    def p50(self) -> float:
        """The median."""
        return self.percentile(50)

    def to_json(self) -> dict[str, Any]:
        """Returns count, percentiles, extremes and (up to 50 of them) the samples, in seconds."""
        few = self.samples if len(self.samples) <= 50 else ()
        return {
            "count": len(self.samples),
            **{f"p{q}_s": self.percentile(q) for q in PERCENTILES},
            "min_s": min(self.samples),
            "max_s": max(self.samples),
            "warmup_s": self.warmup_s,
            "samples_s": list(few),
        }


@dataclass(frozen=True)
class Stage:
    """One stage, by us and by the rival.

    Attributes:
        name: See `bench.STAGES`.
        what: What one sample is.
        ours: Our samples.
        rival: The rival's samples; None where it has no such stage or there is no rival.
        ratios: Rival's time over ours, one for each repetition in which both ran side by side.
    """

    name: str
    what: str
    ours: Timing
    rival: Timing | None = None
    ratios: tuple[float, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Median of `ratios`: above 1, we are faster. None without a rival."""
        return float(np.median(self.ratios)) if self.ratios else None

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        return {
            "name": self.name,
            "what": self.what,
            "ours": self.ours.to_json(),
            "rival": self.rival.to_json() if self.rival else None,
            "ratio": self.ratio,
            "ratios": list(self.ratios),
        }


@dataclass(frozen=True)
class ProcessFacts:
    """What a fresh process that spoke one utterance said about itself.

    Attributes:
        import_s: Seconds for imports.
        load_s: Seconds until the voice was ready to speak.
        utterance_s: Seconds for the first utterance.
        peak_bytes: Largest resident memory it had; None where the system does not tell.
        private_bytes: Resident memory at the end without pages that mirror files; None where not told.
    """

    import_s: float
    load_s: float
    utterance_s: float
    peak_bytes: int | None
    private_bytes: int | None


@dataclass(frozen=True)
class GptFigures:
    """What the token times of one party mean.

    Attributes:
        tokens_per_s: From the median step.
        gb_per_s: Useful bytes of a step (`bytes_per_token`) over the median step, in GB/s.
    """

    tokens_per_s: float
    gb_per_s: float | None


@dataclass(frozen=True)
class BenchResult:
    """A whole benchmark.

    Attributes:
        conditions: Machine, versions, threads, device, bundle, digest, time, workload, load average.
        stages: In the order of an utterance.
        bytes_per_token: Weights that a step reads, and the keys and values of the rows that exist on average.
        audio_s: Length of the utterance, in seconds.
        gpt: Figures of the decode loop: ours, and the rival's.
        processes: Facts about fresh processes: ours, and the rival's.
        rival: Name of the rival; empty without one.
        rival_note: How the rival computes.
        agreement: Whether both parties made the same tokens from the same noise; empty without a rival.
    """

    conditions: Mapping[str, Any]
    stages: tuple[Stage, ...]
    bytes_per_token: int | None
    audio_s: float
    gpt: tuple[GptFigures, ...]
    processes: tuple[tuple[ProcessFacts, ...], ...]
    rival: str = ""
    rival_note: str = ""
    agreement: str = ""

    @property
    def parties(self) -> tuple[str, ...]:
        """Names in the order of `gpt` and `processes`."""
        return ("sovits-export", self.rival) if self.rival else ("sovits-export",)

    def stage(self, name: str) -> Stage | None:
        """Returns the stage of this name, if it was measured."""
        return next((s for s in self.stages if s.name == name), None)

    def rtf(self, party: int = 0) -> float:
        """Returns the real-time factor of the utterance: seconds of work for a second of speech."""
        stage = self.stage("utterance")
        timing = None if stage is None else (stage.ours, stage.rival)[party]
        return timing.p50 / self.audio_s if timing else float("nan")

    def peak_bytes(self, party: int = 0) -> int | None:
        """Returns the largest peak memory of the party's fresh processes."""
        return max((p.peak_bytes for p in self.processes[party] if p.peak_bytes), default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        parties = {
            name: {
                "rtf": self.rtf(i),
                "tokens_per_s": self.gpt[i].tokens_per_s,
                "gb_per_s": self.gpt[i].gb_per_s,
                "peak_memory_bytes": self.peak_bytes(i),
                "processes": [asdict(p) for p in self.processes[i]],
            }
            for i, name in enumerate(self.parties)
        }
        return {
            "conditions": dict(self.conditions),
            "audio_s": self.audio_s,
            "bytes_per_token": self.bytes_per_token,
            "parties": parties,
            "stages": [s.to_json() for s in self.stages],
            "rival_note": self.rival_note,
            "agreement": self.agreement,
        }
