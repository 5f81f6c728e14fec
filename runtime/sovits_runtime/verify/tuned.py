"""How a voice is judged whose plan computes in less than its graphs ask for: by the limits of a conversion to int8."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.names import FP32
from sovits_runtime.verify.check import Check
from sovits_runtime.verify.mixed import MixedVerification
from sovits_runtime.verify.recorded import Tolerances

KL, SNR_DB, LOG_MEL_DB, TOKEN_LEAD = 0.02, 25.0, 0.5, 1.0
"""Those of `sovits-export convert --int8` without options: mean KL divergence in nats, decibels, and log p."""
TUNED_TOLERANCES: dict[str, float] = {
    "graph_cosine": 1.0 / math.sqrt(1.0 + 10.0 ** (-SNR_DB / 10.0)) - 1e-4,
    "kl": KL,
    "token_lead": TOKEN_LEAD,
    "waveform": 1.0,
    "snr_db": SNR_DB,
    "log_mel_db": LOG_MEL_DB,
}
"""Limits by the names of `mixed.FP16_TOLERANCES`."""
_AT_LEAST = {"graph_cosine", "snr_db"}
_VELOCITY = ", velocity"
"""How the checks of a flow's velocities end."""


def tuned_tolerances(bundle: Bundle) -> dict[str, float]:
    """The limits of a tuned voice; those of its bundle where they are wider, as an int8 bundle's may be."""
    own = {} if bundle.precision == FP32 else dict(Tolerances(bundle))
    return own | {
        name: (min if name in _AT_LEAST else max)(limit, own.get(name, limit))
        for name, limit in TUNED_TOLERANCES.items()
    }


class TunedVerification(MixedVerification):
    """The checks of a voice whose plan is not exact."""

    def recorded(self, vocab: int) -> Mapping[str, Array]:
        """The steps of the recorded request, which every bundle has; see `MixedVerification.recorded`."""
        if self.voice.bundle.precision != FP32:
            return super().recorded(vocab)
        return {"tokens": self.golden["tokens"], "logits": self.golden["logits"]}

    def decoder(self) -> Iterator[Check]:
        """The graphs from tokens to sound. Of a step of the flow, the frames that it gives are judged.

        Its velocity is reported: near the end it is small beside the frames, so what is left of it is coarse, and is
        not heard. The sound is judged as a whole besides.
        """
        for check in super().decoder():
            if check.name.endswith(_VELOCITY) and not math.isnan(check.value):
                yield replace(check, limit=-1.0, note=f"reported, not judged: {check.note}")
            else:
                yield check
