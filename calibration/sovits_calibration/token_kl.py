"""How far another GPT is from the FP32 one: both are fed the same tokens, and their distributions are compared."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from sovits_calibration.observe import Feeds
from sovits_runtime.t2s.generator import Step, seeded_noise
from sovits_runtime.t2s.host_loop import TextToSemantic
from sovits_runtime.t2s.sampling import SamplingOptions
from sovits_runtime.verify.metrics import kl_divergence

STEPS = 60
TIMED_STEPS = 40
TIMED_ROUNDS = 5
SEED = 31


@dataclass(frozen=True)
class ForcedRequest:
    """One sentence for the GPT, with the tokens and logits of FP32.

    Attributes:
        phones: int64 [T].
        bert: float32 [T, 1024].
        prompt: int64 [P].
        tokens: int64 [n], sampled by FP32.
        logits: float32 [n + 1, V], of FP32 at every step.
    """

    phones: NDArray[np.int64]
    bert: NDArray[np.float32]
    prompt: NDArray[np.int64]
    tokens: NDArray[np.int64]
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class TokenDistance:
    """Difference of the tokens' distributions, over all requests.

    Attributes:
        kl: Mean KL divergence of a step in nats, of the request where it is largest; NaN where a number is not finite.
        agreement: Fraction of steps with the same best token.
        lost_lead: Largest lead (in log p) of FP32's best token where another became the best.
        steps: How many steps were compared.
    """

    kl: float
    agreement: float
    lost_lead: float
    steps: int


def forced_requests(model: TextToSemantic, prefills: Sequence[Feeds]) -> list[ForcedRequest]:
    """Lets the FP32 GPT speak on, the end of speech blocked.

    Args:
        model: The FP32 GPT.
        prefills: Inputs of its prefill, one dict a request: `phones` [1, T], `bert` [1, T, 1024], `prompt` [1, P].
    """
    options = replace(SamplingOptions(), min_tokens=STEPS + 2)
    requests = []
    for i, feeds in enumerate(prefills):
        inputs = (feeds["phones"][0], feeds["bert"][0], feeds["prompt"][0])
        noise = seeded_noise(np.random.default_rng(SEED + i), model.vocab)
        steps = model.steps(*inputs, options=options, noise=noise)
        sampled = [(step.token, step.logits.copy()) for step in islice(steps, STEPS + 1)]
        steps.close()
        tokens, logits = zip(*sampled, strict=True)
        requests.append(ForcedRequest(*inputs, np.array(tokens[:STEPS], np.int64), np.stack(logits)))
    return requests


def token_distance(model: TextToSemantic, requests: Sequence[ForcedRequest]) -> TokenDistance:
    """Feeds FP32's tokens to another GPT.

    Raises:
        BackendError: ONNX Runtime cannot run it.
    """
    means, agreed, lost, count = [], 0, 0.0, 0
    for request in requests:
        divergences = []
        for step, expected in zip(_forced(model, request), request.logits, strict=True):
            divergences.append(kl_divergence(expected, step.logits))
            best = int(np.argmax(expected))
            got = int(np.argmax(step.logits))
            agreed += best == got
            lost = max(lost, float(expected[best] - expected[got]))
        means.append(float(np.mean(divergences)))
        count += len(divergences)
    return TokenDistance(float(np.max(means)), agreed / count, lost, count)


@dataclass(frozen=True)
class TokenTimes:
    """How long one GPT takes on this machine.

    Attributes:
        prefill_ms: Median time to the first token.
        step_ms: Median time of another.
    """

    prefill_ms: float
    step_ms: float


def token_times(models: Mapping[str, TextToSemantic], request: ForcedRequest) -> dict[str, TokenTimes]:
    """Times several GPTs on one request, taking turns."""
    rounds: dict[str, list[list[float]]] = {name: [] for name in models}
    for _ in range(TIMED_ROUNDS):
        for name, model in models.items():
            steps = _forced(model, request)
            times = [time.perf_counter()]
            times += [time.perf_counter() for _ in islice(steps, TIMED_STEPS)]
            steps.close()
            rounds[name].append([1e3 * (b - a) for a, b in pairwise(times)])
    return {
        name: TokenTimes(float(np.median(ms[:, 0])), float(np.median(ms[:, 1:])))
        for name, ms in ((name, np.array(rows)) for name, rows in rounds.items())
    }


def _forced(model: TextToSemantic, request: ForcedRequest) -> Generator[Step, None, None]:
    noise = np.ones((1, model.vocab), np.float32)
    return model.steps(
        request.phones,
        request.bert,
        request.prompt,
        options=SamplingOptions(),
        noise=lambda _: noise,
        forced=request.tokens,
    )
