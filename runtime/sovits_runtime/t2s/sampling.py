"""Sampling options: inputs of the sampling rule, which is inside the graphs.

Source: GPT-SoVITS, AR/models/utils.py, logits_to_probs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.t2s.limits import check_count, check_number

MIN_TEMPERATURE = 1e-5
MAX_TEMPERATURE = 100.0
MIN_PENALTY, MAX_PENALTY = 0.01, 100.0


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are sampled; the defaults are those of the original's API.

    Attributes:
        top_k: Sample from the k likeliest tokens; 1 is greedy, 0 switches the rule off.
        top_p: Sample from the likeliest tokens whose probabilities add up to at most this; 1 switches the rule off.
        temperature: Below 1 steadier, above 1 livelier.
        repetition_penalty: Above 1 discourages tokens that already occurred, prompt included.
        min_tokens: The end of speech cannot come before this many tokens.

    Raises:
        ShapeError: A value is out of range.
    """

    top_k: int = 15
    top_p: float = 1.0
    temperature: float = 1.0
    repetition_penalty: float = 1.35
    min_tokens: int = 11

    def __post_init__(self) -> None:
        check_count("top_k", self.top_k, 0, hint=" (1 is greedy, 0 switches the rule off)")
        check_number("top_p", self.top_p, 0, high=1, above=True)
        check_number("temperature", self.temperature, 0, high=MAX_TEMPERATURE)
        check_number("repetition_penalty", self.repetition_penalty, MIN_PENALTY, high=MAX_PENALTY)
        check_count("min_tokens", self.min_tokens, 0)

    def arrays(self, vocab: int, batch: int = 1) -> dict[str, NDArray[np.generic]]:
        """Returns the graph inputs that these options give, each [batch]."""
        return {
            "top_k": np.full(batch, self.top_k or vocab, np.int64),
            "top_p": np.full(batch, self.top_p, np.float32),
            "temperature": np.full(batch, self.temperature, np.float32),
            "repetition_penalty": np.full(batch, self.repetition_penalty, np.float32),
            "min_tokens": np.full(batch, self.min_tokens, np.int64),
        }
