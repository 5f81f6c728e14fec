"""Does this bundle, on this machine, give what PyTorch gave? Needs no torch.

In order: files, names and shapes of the graphs; every graph on the inputs PyTorch saw; teacher-forced decoding over all
recorded steps; a free run that must choose the same tokens; the whole chain's audio. Each check compares a measured
number with its limit from the manifest, and the verdict is the exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import Audio, hubert_wave, reference_wave
from sovits_runtime.audio.spectrogram import log_mel_distance_db, snr_db
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.drawing.page import json_text
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.host_loop import Step
from sovits_runtime.t2s.sampling import SamplingOptions
from sovits_runtime.verify.decoder import REPLAYS

DEFAULT_TOLERANCES: dict[str, float] = {
    "graph": 1e-4,
    "logits": 1e-3,
    "token_lead": 2e-3,
    "waveform": 1e-4,
    "snr_db": 60.0,
    "log_mel_db": 0.1,
}
"""Limits for FP32: graph outputs as a fraction of their largest magnitude, logits absolute, the lead (in log p) below
which two tokens count as tied, samples absolute, and the whole audio's SNR and log-mel distance."""

TOLERANCES: dict[str, dict[str, float]] = {
    "hifigan": DEFAULT_TOLERANCES,
    "cfm": {**DEFAULT_TOLERANCES, "waveform": 1e-3},
}
"""Limits for FP32 by kind of decoder: what flow matching makes goes through many more layers."""


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


def verify_bundle(
    bundle: Bundle,
    *,
    device: str = "cpu",
    backend: str = "onnxruntime",
    strict: bool = False,
    threads: int | None = None,
    native: bool | None = None,
    on_check: Callable[[Check], None] = lambda _: None,
) -> VerifyReport:
    """Verifies a bundle.

    Args:
        bundle: An opened bundle.
        device: Device to verify on.
        backend: What runs the graphs.
        strict: Whether what cannot run as asked is an error.
        threads: Threads within one operator.
        native: Whether the GPT's steps run on native kernels; see `Synthesizer.load`.
        on_check: Called with each check as it is done.

    Raises:
        BackendError: The device cannot be used.
    """
    golden = bundle.golden("request")
    checks: list[Check] = []
    with Synthesizer.load(
        bundle, device=device, backend=backend, threads=threads, native=native, strict=strict
    ) as voice:
        run = _verification_of(bundle)(voice, golden, bundle.manifest["tolerances"])
        for check in run.checks(SamplingOptions(**bundle.manifest["golden"]["request"])):
            checks.append(check)
            on_check(check)
        provider = voice.text_to_semantic.step.provider
    rate = bundle.spec.sample_rate
    audio = (Audio(golden["waveform"], rate), Audio(run.waveform, rate))
    return VerifyReport(str(bundle.path), bundle.digest, provider, tuple(checks), *audio)


def _verification_of(bundle: Bundle) -> type[Verification]:
    if bundle.precision == "fp32":
        return Verification
    from sovits_runtime.verify.mixed import HalfVerification

    return HalfVerification


class Verification:
    """The checks of an FP32 bundle, one method a stage."""

    def __init__(
        self, voice: Synthesizer, golden: Mapping[str, Array], tolerances: Mapping[str, float]
    ) -> None:
        self.voice = voice
        self.golden = golden
        self.limit = tolerances
        self.replay = REPLAYS[voice.spec.decoder]
        self.waveform: NDArray[np.float32] = np.zeros(0, np.float32)

    def checks(self, options: SamplingOptions) -> Iterator[Check]:
        """Runs all checks, in order."""
        yield from self.reference()
        yield from self.decoder()
        yield from self.teacher_forced(options)
        yield self.free_run(options)
        yield from self.audio()

    def reference(self) -> Iterator[Check]:
        """What a recording becomes."""
        g, encoder = self.golden, self.voice.reference_encoder
        if encoder.hubert is not None:
            ssl = encoder.hubert.run({"wave": hubert_wave(g["wave"], 32000)[None]})["ssl"]
            yield self.graph("hubert", g["ssl"], ssl)
        tokens = encoder.tokens(g["ssl"])
        wrong = float(np.mean(tokens != g["prompt"])) if tokens.shape == g["prompt"].shape else 1.0
        yield Check("prompt_tokens", wrong, 0.0, "share of wrong tokens", note=f"{len(tokens)} tokens")
        feeds = {"wave": reference_wave(g["wave"], 32000)[None]}
        if encoder.needs_speaker:
            feeds["speaker"] = g["speaker"]
        if encoder.speaker is not None:
            yield self.graph("speaker", g["speaker"], encoder.speaker_of(g["wave"], 32000))
        yield self.graph("reference_style", g["style"], encoder.style.run(feeds)["style"])

    def decoder(self) -> Iterator[Check]:
        """The graphs from tokens to sound, each on PyTorch's input."""
        for name, expected, got in self.replay.graphs(self.voice.decoder, self.golden):
            yield self.graph(name, expected, got)

    def graph(self, name: str, expected: Array, got: Array) -> Check:
        """Compares one graph's output with PyTorch's on PyTorch's own input."""
        if expected.shape != got.shape:
            return Check(
                name,
                float("nan"),
                self.limit["graph"],
                "of full scale",
                note=f"shape {list(got.shape)}, expected {list(expected.shape)}",
            )
        error = float(np.abs(expected.astype(np.float64) - got).max() / np.abs(expected).max())
        return Check(name, error, self.limit["graph"], "of full scale")

    def _gpt_inputs(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        g = self.golden
        return np.concatenate([g["prompt_phones"], g["phones"]]), g["bert"], g["prompt"]

    def _noise(self, step: int) -> NDArray[np.float32]:
        noise: NDArray[np.float32] = self.golden["token_noise"][step : step + 1]
        return noise

    def teacher_forced(self, options: SamplingOptions) -> Iterator[Check]:
        """Logits and draws of every step when each is fed PyTorch's tokens.

        A draw may differ where PyTorch's own two best were closer than the limit.
        """
        g = self.golden
        steps = self.voice.text_to_semantic.steps(
            *self._gpt_inputs(), options=options, noise=self._noise, forced=g["tokens"]
        )
        error, ties, wrong, count = 0.0, 0, 0, 0
        for step, logits, lead in zip(steps, g["logits"], g["leads"], strict=False):
            error = float(np.maximum(error, np.abs(step.logits - logits).max()))  # keeps NaN
            if self._draw_differs(count, step):
                ties, wrong = (ties + 1, wrong) if lead <= self.limit["token_lead"] else (ties, wrong + 1)
            count += 1
        note = f"{count} steps"
        yield Check("teacher-forced logits", error, self.limit["logits"], "absolute", note=note)
        yield Check("teacher-forced draws", wrong, 0, "wrong tokens", note=f"{note}, {ties} ties")

    def _draw_differs(self, i: int, step: Step) -> bool:
        expected = self.golden["tokens"]
        if i == len(expected):
            return bool(self.golden["ended"]) != step.stop
        return step.stop or step.token != int(expected[i])

    def free_run(self, options: SamplingOptions) -> Check:
        """Tokens of a free run on the same noise, judged up to the first tie (the rest is `teacher_forced`)."""
        g = self.golden
        expected = g["tokens"]
        steps = self.voice.text_to_semantic.steps(*self._gpt_inputs(), options=options, noise=self._noise)
        for i, step in enumerate(steps):
            if self._draw_differs(i, step):
                tie = bool(g["leads"][i] <= self.limit["token_lead"])
                what = "a tie" if tie else f"PyTorch's lead there is {g['leads'][i]:.3g}"
                return Check(
                    "free run", float(not tie), 0, "wrong tokens", note=f"equal up to token {i}, {what}"
                )
            if i == len(expected):
                break
        return Check("free run", 0, 0, "wrong tokens", note=f"{len(expected)} tokens equal")

    def audio(self) -> Iterator[Check]:
        """The whole chain from tokens to waveform, nothing taken from PyTorch in between."""
        self.waveform = self.replay.waveform(self.voice.decoder, self.golden)
        expected = self.golden["waveform"]
        if self.waveform.shape != expected.shape or not np.isfinite(self.waveform).all():
            note = f"{len(self.waveform)} samples, {np.count_nonzero(~np.isfinite(self.waveform))} not finite"
            self.waveform = np.zeros_like(expected)  # nothing to listen to
            yield Check("waveform", float("nan"), self.limit["waveform"], "of full scale", note=note)
            return
        yield Check(
            "waveform", float(np.abs(self.waveform - expected).max()), self.limit["waveform"], "of full scale"
        )
        yield Check("audio SNR", snr_db(expected, self.waveform), self.limit["snr_db"], "dB", at_least=True)
        distance = log_mel_distance_db(expected, self.waveform, self.voice.spec.sample_rate)
        yield Check("audio log-mel distance", distance, self.limit["log_mel_db"], "dB")
