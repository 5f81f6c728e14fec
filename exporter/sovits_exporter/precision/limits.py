"""What int8 and int4 may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a choice may cost.

    Attributes:
        kl: Mean KL divergence of a token's distribution from FP32's, in nats.
        snr_db: Least ratio of the waveform to its error, with the same tokens and noise, in any run.
        log_mel_db: Largest mean difference of the log-mel spectrograms, in any run.
    """

    kl: float = 0.02
    snr_db: float = 25.0
    log_mel_db: float = 0.5
