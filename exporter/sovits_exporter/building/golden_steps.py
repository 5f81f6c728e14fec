"""A long teacher-forced decode of the FP32 graphs: what the tokens' distribution of FP16 is compared with."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.sampling import SamplingOptions

STEPS = 500
SEED = 21


def record_steps(bundle: Bundle) -> dict[str, Array]:
    """Samples 500 tokens with the bundle's own recorded request, the end of speech blocked.

    Returns:
        `tokens` int64 [500], and `logits` float32 [501, V] of every step.
    """
    g = bundle.golden("request")
    options = replace(SamplingOptions(**bundle.manifest["golden"]["request"]), min_tokens=STEPS + 2)
    with Synthesizer.load(bundle) as voice:
        t2s = voice.text_to_semantic
        phones = np.concatenate([g["prompt_phones"], g["phones"]])
        noise = seeded_noise(np.random.default_rng(SEED), t2s.vocab)
        steps = t2s.steps(phones, g["bert"], g["prompt"], options=options, noise=noise)
        sampled = [(step.token, step.logits.copy()) for step in islice(steps, STEPS + 1)]
    tokens, logits = zip(*sampled, strict=True)
    return {"tokens": np.array(tokens[:STEPS], np.int64), "logits": np.array(logits, np.float32)}
