"""How an FP32 bundle is judged: digit by digit, and token by token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import REFERENCE_RATE, hubert_wave, reference_wave
from sovits_runtime.audio.mel import reference_mel
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.speech.decoder import SpeechDecoder
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import SpeechOptions, TokenSequence
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.generator import Step
from sovits_runtime.t2s.sampling import SamplingOptions
from sovits_runtime.verify.check import Check
from sovits_runtime.verify.metrics import log_mel_distance_db, relative_error, snr_db

FP32_TOLERANCES: dict[str, float] = {
    "graph": 1e-4,
    "logits": 1e-3,
    "token_lead": 2e-3,
    "waveform": 1e-4,
    "snr_db": 60.0,
    "log_mel_db": 0.1,
}
"""Limits for FP32: graph outputs as a fraction of their largest magnitude, logits absolute, the lead (in log p) below
which two tokens count as tied, samples absolute, and the whole audio's SNR and log-mel distance."""


def fp32_tolerances(decoder: type[SpeechDecoder]) -> dict[str, float]:
    """Returns the limits for FP32 of bundles with this decoder."""
    return {**FP32_TOLERANCES, "waveform": decoder.waveform_tolerance}


class Verification:
    """The checks of an FP32 bundle, one method a stage."""

    def __init__(
        self, voice: Synthesizer, golden: Mapping[str, Array], tolerances: Mapping[str, float]
    ) -> None:
        self.voice = voice
        self.golden = golden
        self.limit = tolerances
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
            ssl = encoder.hubert.run({"wave": hubert_wave(g["wave"], REFERENCE_RATE)[None]})["ssl"]
            yield self.graph("hubert", g["ssl"], ssl)
        tokens = encoder.tokens(g["ssl"])
        wrong = float(np.mean(tokens != g["prompt"])) if tokens.shape == g["prompt"].shape else 1.0
        yield Check("prompt_tokens", wrong, 0.0, "share of wrong tokens", note=f"{len(tokens)} tokens")
        feeds = {"wave": reference_wave(g["wave"], REFERENCE_RATE)[None]}
        if encoder.needs_speaker:
            feeds["speaker"] = g["speaker"]
        if encoder.speaker is not None:
            yield self.graph("speaker", g["speaker"], encoder.speaker_of(g["wave"], REFERENCE_RATE))
        yield self.graph("reference_style", g["style"], encoder.style.run(feeds)["style"])
        if self.voice.spec.flow is not None:
            mel = reference_mel(g["wave"], REFERENCE_RATE, flow=self.voice.spec.flow)
            yield self.graph("reference mel", g["reference_mel"], mel)

    def decoder(self) -> Iterator[Check]:
        """The graphs from tokens to sound, each on PyTorch's input."""
        recording = {**self.golden, "tokens": self.golden["decoded_tokens"]}
        for stage in self.voice.decoder.stages:
            for name, arrays in stage.recorded_calls(recording):
                result = stage.run(arrays)
                *others, last = stage.outputs
                for output in others:
                    yield self.graph(f"{name}, {output}", arrays[output], result[output])
                yield self.graph(name, arrays[last], result[last])

    def graph(self, name: str, expected: Array, got: Array) -> Check:
        """Compares one graph's output with PyTorch's on PyTorch's own input."""
        limit, unit = self.limit["graph"], "of full scale"
        if problem := shape_or_number_problem(expected, got):
            return Check(name, float("nan"), limit, unit, note=problem)
        return Check(name, relative_error(expected, got), limit, unit)

    def _gpt_inputs(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        g = self.golden
        return np.concatenate([g["prompt_phones"], g["phones"]]), g["bert"], g["prompt"]

    def _noise(self, step: int) -> NDArray[np.float32]:
        noise: NDArray[np.float32] = self.golden["token_noise"][step : step + 1]
        return noise

    def teacher_forced(self, options: SamplingOptions) -> Iterator[Check]:
        """Logits and sampled tokens of every step when each is fed PyTorch's tokens.

        A sampled token may differ where PyTorch's own two best were closer than the limit.
        """
        g = self.golden
        steps = self.voice.text_to_semantic.steps(
            *self._gpt_inputs(), options=options, noise=self._noise, forced=g["tokens"]
        )
        error, ties, wrong, count = 0.0, 0, 0, 0
        for step, logits, lead in zip(steps, g["logits"], g["leads"], strict=False):
            error = float(np.maximum(error, np.abs(step.logits - logits).max()))  # keeps NaN
            if self._token_differs(count, step):
                ties, wrong = (ties + 1, wrong) if lead <= self.limit["token_lead"] else (ties, wrong + 1)
            count += 1
        note = f"{count} steps"
        if problem := length_problem(count, g["tokens"]):
            error, note = float("nan"), problem
        yield Check("teacher-forced logits", error, self.limit["logits"], "absolute", note=note)
        yield Check("teacher-forced draws", wrong, 0, "wrong tokens", note=f"{note}, {ties} ties")

    def _token_differs(self, i: int, step: Step) -> bool:
        expected = self.golden["tokens"]
        if i == len(expected):
            return bool(self.golden["ended"]) != step.stop
        return step.stop or step.token != int(expected[i])

    def free_run(self, options: SamplingOptions) -> Check:
        """Tokens of a free run on the same noise, judged up to the first tie (the rest is `teacher_forced`)."""
        g = self.golden
        expected = g["tokens"]
        steps = self.voice.text_to_semantic.steps(*self._gpt_inputs(), options=options, noise=self._noise)
        count = 0
        for i, step in enumerate(islice(steps, len(expected) + 1)):
            count += 1
            if self._token_differs(i, step):
                tie = bool(g["leads"][i] <= self.limit["token_lead"])
                what = "a tie" if tie else f"PyTorch's lead there is {g['leads'][i]:.3g}"
                return Check(
                    "free run", float(not tie), 0, "wrong tokens", note=f"equal up to token {i}, {what}"
                )
        if problem := length_problem(count, expected):
            return Check("free run", float("nan"), 0, "wrong tokens", note=problem)
        return Check("free run", 0, 0, "wrong tokens", note=f"{len(expected)} tokens equal")

    def _decoded(self) -> NDArray[np.float32]:
        """Tokens to waveform on the recorded noise, by the public path."""
        g = self.golden
        bert = g["bert"][: len(g["prompt_phones"])]
        mel = g.get("reference_mel")
        reference = Reference("golden", g["prompt_phones"], bert, g["prompt"], g["style"], mel=mel)
        return self.voice.decoder.speak(
            TokenSequence(g["decoded_tokens"], g["phones"]),
            reference,
            options=SpeechOptions(flow_steps=len(g["velocities"]) if "velocities" in g else None),
            noise=lambda _: g["noise"],
        )

    def audio(self) -> Iterator[Check]:
        """The whole chain from tokens to waveform, nothing taken from PyTorch in between."""
        self.waveform = self._decoded()
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


def length_problem(count: int, tokens: Array) -> str:
    """Says that a run had not one step for each token and one for what follows, or "" where it had."""
    return "" if count == len(tokens) + 1 else f"{count} steps, expected {len(tokens) + 1}"


def shape_or_number_problem(expected: Array, got: Array) -> str:
    """Says why an output cannot be compared, or "" where it can."""
    if expected.shape != got.shape:
        return f"shape {list(got.shape)}, expected {list(expected.shape)}"
    bad = int(np.count_nonzero(~np.isfinite(got)))
    return f"{bad} of {got.size} values not finite" if bad else ""
