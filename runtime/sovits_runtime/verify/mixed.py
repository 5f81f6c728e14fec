"""How a mixed-precision bundle is judged: by direction, distribution and sound rather than by digits.

FP16 keeps 11 bits, so two runs of a chaotic loop part sooner or later; what must hold is that every step, given the
same past, gives the same distribution, and that the same tokens give the same sound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.t2s.sampling import SamplingOptions
from sovits_runtime.verify.check import Check
from sovits_runtime.verify.exact import Verification, length_problem, shape_or_number_problem
from sovits_runtime.verify.metrics import cosine, kl_divergence, relative_error
from sovits_runtime.verify.recorded import recorded_steps

FP16_TOLERANCES: dict[str, float] = {
    "graph_cosine": 0.9995,
    "kl": 1e-3,
    "token_lead": 0.05,
    "waveform": 0.1,
    "snr_db": 35.0,
    "log_mel_db": 1.0,
}
"""Limits for FP16: cosine of a graph's output with FP32, mean KL divergence of the tokens' distribution in nats, the
lead (in log p) from which the best token must be the same, and samples, SNR and log-mel distance of the audio."""


class MixedVerification(Verification):
    """The checks of a mixed-precision bundle."""

    def graph(self, name: str, expected: Array, got: Array) -> Check:
        """Compares the direction of one graph's output with FP32's on the same input."""
        limit, unit = self.limit["graph_cosine"], "cosine"
        if problem := shape_or_number_problem(expected, got):
            return Check(name, float("nan"), limit, unit, at_least=True, note=problem)
        note = f"error {relative_error(expected, got):.1e} of full scale"
        return Check(name, cosine(expected, got), limit, unit, at_least=True, note=note)

    def recorded(self, vocab: int) -> Mapping[str, Array]:
        """The FP32 steps to compare with: `tokens` int64 [n], `logits` float32 [n + 1, vocab]."""
        return recorded_steps(self.voice.bundle, vocab)

    def teacher_forced(self, options: SamplingOptions) -> Iterator[Check]:
        """The tokens' distribution at every step when each is fed the tokens that FP32 sampled."""
        vocab = self.voice.text_to_semantic.vocab
        recorded = self.recorded(vocab)
        steps = self.voice.text_to_semantic.steps(
            *self._gpt_inputs(),
            options=options,
            noise=lambda _: np.ones((1, vocab), np.float32),
            forced=recorded["tokens"],
        )
        divergences, wrong, ties, agreed = [], 0, 0, 0
        for step, logits in zip(steps, recorded["logits"], strict=False):
            divergences.append(kl_divergence(logits, step.logits))
            second, best = np.sort(logits)[-2:]
            same = int(np.argmax(step.logits)) == int(np.argmax(logits))
            tie = bool(best - second <= self.limit["token_lead"])
            agreed, ties, wrong = agreed + same, ties + tie, wrong + (not same and not tie)
        count = len(divergences)
        if problem := length_problem(count, recorded["tokens"]):
            yield Check("teacher-forced KL", float("nan"), self.limit["kl"], "nats", note=problem)
            return
        note = f"mean of {count} steps, largest {max(divergences):.1e}"
        yield Check("teacher-forced KL", float(np.mean(divergences)), self.limit["kl"], "nats", note=note)
        note = f"{count} steps, {ties} with a lead below {self.limit['token_lead']:g}, best token equal in {agreed}"
        yield Check("teacher-forced best", wrong, 0, "wrong tokens", note=note)

    def free_run(self, options: SamplingOptions) -> Check:
        """How long a free run on the same noise stays with the recorded tokens; reported, not judged.

        One that ended before it left them is judged: no model's choice ends it.
        """
        strict = super().free_run(options)
        if np.isnan(strict.value):
            return strict
        note = f"reported, not judged: {strict.note}"
        return Check("free run", strict.value, float("inf"), strict.unit, note=note)
