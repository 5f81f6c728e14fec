"""Generation in eager PyTorch the way the original does it: the reference that exported graphs are compared with.

The cache grows by concatenation, attention sees exactly the positions that exist, and no graph or fixed buffer is
involved. Source: GPT-SoVITS, AR/models/t2s_model.py, infer_panel_naive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sovits_exporter.modeling.sampling import SamplingInputs, penalise, sample, sorted_probabilities
from sovits_exporter.modeling.t2s import Text2Semantic


@dataclass(frozen=True)
class EagerOptions:
    """Sampling options of one request; see `SamplingInputs`."""

    top_k: int = 15
    top_p: float = 1.0
    temperature: float = 1.0
    repetition_penalty: float = 1.35
    min_tokens: int = 11


@dataclass(frozen=True)
class EagerStep:
    """One generated token.

    Attributes:
        token: The sampled one; may be the end-of-speech token.
        stop: Whether generation ends with this token (which is then not part of the speech).
        logits: float32 [V], before any treatment.
        lead: By how much the winner beats the second in log(p / noise).
    """

    token: int
    stop: bool
    logits: Tensor
    lead: float


def sampling_inputs(options: EagerOptions, step: int, seen: Tensor, noise: Tensor) -> SamplingInputs:
    """Puts one request's options in the form that graphs take, on the device of `seen`."""

    def row(value: float, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.full((1,), value, dtype=dtype, device=seen.device)

    return SamplingInputs(
        seen=seen,
        step=row(step, torch.int64),
        noise=noise,
        top_k=row(options.top_k, torch.int64),
        top_p=row(options.top_p),
        temperature=row(options.temperature),
        repetition_penalty=row(options.repetition_penalty),
        min_tokens=row(options.min_tokens, torch.int64),
    )


def seen_tokens(prompt: Tensor, vocab: int) -> Tensor:
    """Marks the tokens of prompt int64 [1, P] as bool [1, vocab]."""
    seen = torch.zeros(1, vocab, dtype=torch.bool, device=prompt.device)
    return seen.scatter_(1, prompt, True)


Extend = Callable[[Text2Semantic, Tensor, tuple[Tensor, ...]], tuple[Tensor, tuple[Tensor, ...]]]


def extend(t2s: Text2Semantic, x: Tensor, cache: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs the layers on one row [1, width]; gives the next hidden row and the caches, grown by it."""
    grown: list[Tensor] = []
    for i, layer in enumerate(t2s.h):
        q, k, v = layer.self_attn.qkv(x, 1)
        keys, values = torch.cat([cache[2 * i], k], 2), torch.cat([cache[2 * i + 1], v], 2)
        x = layer.finish(x, F.scaled_dot_product_attention(q, keys, values))
        grown += [keys, values]
    return x, tuple(grown)


@torch.inference_mode()
def generate(
    t2s: Text2Semantic,
    phones: Tensor,
    bert: Tensor,
    prompt: Tensor,
    *,
    options: EagerOptions,
    noise: Callable[[int], Tensor],
    forced: Tensor | None = None,
    measure_lead: bool = False,
    extend: Extend = extend,
) -> Iterator[EagerStep]:
    """Yields one `EagerStep` a token, without end: the caller stops at `stop` or at its own limit.

    Everything stays on the device of the inputs, and nothing is sent there between two tokens but the noise.

    Args:
        t2s: The model, on the device of the inputs.
        phones: int64 [1, T].
        bert: float32 [1, T, 1024].
        prompt: int64 [1, P], P may be 0.
        options: Sampling options.
        noise: Gives Exp(1) samples [1, V] for a step.
        forced: int64 [n]; step i is fed forced[i] in place of its own token (teacher forcing).
        measure_lead: Also compute `EagerStep.lead` (costs a second sort).
        extend: Runs the layers for one row; for a compiled `extend`.
    """
    hidden, cache = t2s.prefill_hidden(phones, bert, prompt)
    inputs = sampling_inputs(options, 0, seen_tokens(prompt, t2s.config.vocab), noise(0))
    step = 0
    while True:
        logits = t2s.ar_predict_layer(hidden)
        token, stop = sample(logits, inputs, t2s.config.eos)
        lead = _lead(logits, inputs, t2s.config.eos) if measure_lead else float("nan")
        yield EagerStep(int(token), bool(stop), logits[0], lead)
        if forced is not None:
            if step == len(forced):
                return
            token = forced[step : step + 1]
        inputs.seen.scatter_(1, token[:, None], True)
        position = inputs.step[:, None] + prompt.shape[1]
        hidden, cache = extend(t2s, t2s.embed_audio(token[:, None], position)[0], cache)
        step += 1
        inputs.step.add_(1)
        inputs = inputs._replace(noise=noise(step))


def _lead(logits: Tensor, inputs: SamplingInputs, eos: int) -> float:
    p, order = sorted_probabilities(penalise(logits, inputs, eos), inputs)
    best = torch.topk(torch.log(p / torch.gather(inputs.noise, 1, order)), 2).values[0]
    return float(best[0] - best[1])
