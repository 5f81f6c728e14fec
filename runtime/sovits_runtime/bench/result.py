"""Results of a benchmark, with their percentiles and their JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PERCENTILES = (50, 95, 99)

STAGES: dict[str, str] = {
    "import": "fresh process: from its start to the end of its imports",
    "load": "fresh process: from files to a voice that is ready to speak",
    "hubert": "reference of 5 s to HuBERT features",
    "prompt_tokens": "HuBERT features to 125 prompt tokens",
    "speaker": "reference of 5 s to its speaker embedding, features included",
    "reference_style": "reference of 5 s to its style, spectrogram included",
    "gpt_prefill": "100 phones and 125 prompt tokens to the first token",
    "gpt_step": "one more token, sampling included",
    "gpt": "all tokens: prefill and steps",
    "sovits_encoder": "tokens and phones to the state",
    "sovits_flow": "state to latent",
    "sovits_vocoder": "latent to waveform",
    "cfm_features": "state to the features of the flow matching",
    "cfm_condition": "features of one window to the condition of every step",
    "cfm_step": "one Euler step of one window",
    "mel_vocoder": "mel to waveform",
    "utterance": "phones to waveform, reference prepared before",
    "first_audio": "to the first chunk of the utterance; PyTorch: to its first half, as a sentence",
}
"""What is timed, in order, and what one sample of it is; a version has some of the stages behind the GPT."""


@dataclass(frozen=True)
class Timing:
    """Samples of one stage by one runner, in seconds.

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
class StageTiming:
    """One stage, by us and by the baseline.

    Attributes:
        name: One of `STAGES`.
        what: What one sample is.
        ours: Samples of this project.
        baseline: The baseline's samples; None where it has no such stage or there is no baseline.
        ratios: The baseline's time over ours, one for each repetition in which both ran side by side.
    """

    name: str
    what: str
    ours: Timing
    baseline: Timing | None = None
    ratios: tuple[float, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Median of `ratios`: above 1, we are faster. None without a baseline."""
        return float(np.median(self.ratios)) if self.ratios else None

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        return {
            "name": self.name,
            "what": self.what,
            "ours": self.ours.to_json(),
            "rival": self.baseline.to_json() if self.baseline else None,
            "ratio": self.ratio,
            "ratios": list(self.ratios),
        }


@dataclass(frozen=True)
class ProcessFacts:
    """Measurements of a fresh process that spoke one utterance.

    Attributes:
        import_s: Seconds for imports.
        load_s: Seconds until the voice was ready to speak.
        utterance_s: Seconds for the first utterance.
        peak_bytes: Largest resident memory it had; None where the system does not report it.
        private_bytes: Resident memory at the end without pages that mirror files; None where not known.
    """

    import_s: float
    load_s: float
    utterance_s: float
    peak_bytes: int | None
    private_bytes: int | None


@dataclass(frozen=True)
class GptFigures:
    """Figures that follow from the token times of one runner.

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
        bytes_per_token: Weights that a step reads, and the keys and values of the positions filled on average.
        audio_s: Length of the utterance, in seconds.
        gpt: Figures of the decode loop: ours, and the baseline's.
        processes: Facts about fresh processes: ours, and the baseline's.
        baseline: Name of the baseline; empty without one.
        baseline_note: How the baseline computes.
        agreement: Whether both made the same tokens from the same noise; empty without a baseline.
    """

    conditions: Mapping[str, Any]
    stages: tuple[StageTiming, ...]
    bytes_per_token: int | None
    audio_s: float
    gpt: tuple[GptFigures, ...]
    processes: tuple[tuple[ProcessFacts, ...], ...]
    baseline: str = ""
    baseline_note: str = ""
    agreement: str = ""

    @property
    def runners(self) -> tuple[str, ...]:
        """Names in the order of `gpt` and `processes`."""
        return ("sovits-export", self.baseline) if self.baseline else ("sovits-export",)

    def stage(self, name: str) -> StageTiming | None:
        """Returns the stage of this name, if it was measured."""
        return next((s for s in self.stages if s.name == name), None)

    def rtf(self, runner: int = 0) -> float:
        """Returns the real-time factor of the utterance: seconds of work for a second of speech."""
        stage = self.stage("utterance")
        timing = None if stage is None else (stage.ours, stage.baseline)[runner]
        return timing.p50 / self.audio_s if timing else float("nan")

    def peak_bytes(self, runner: int = 0) -> int | None:
        """Returns the largest peak memory of the runner's fresh processes."""
        return max((p.peak_bytes for p in self.processes[runner] if p.peak_bytes), default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        runners = {
            name: {
                "rtf": self.rtf(i),
                "tokens_per_s": self.gpt[i].tokens_per_s,
                "gb_per_s": self.gpt[i].gb_per_s,
                "peak_memory_bytes": self.peak_bytes(i),
                "processes": [asdict(p) for p in self.processes[i]],
            }
            for i, name in enumerate(self.runners)
        }
        return {
            "conditions": dict(self.conditions),
            "audio_s": self.audio_s,
            "bytes_per_token": self.bytes_per_token,
            "parties": runners,
            "stages": [s.to_json() for s in self.stages],
            "rival_note": self.baseline_note,
            "agreement": self.agreement,
        }
