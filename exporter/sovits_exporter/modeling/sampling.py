"""The sampling rule of the original as tensor operations, so that it can live inside the decode graph.

Source: GPT-SoVITS, AR/models/utils.py, logits_to_probs and sample; AR/models/t2s_model.py, infer_panel_naive.
Every random number is an input: `noise` holds one Exp(1) value a vocabulary entry, and the choice is argmax(p / noise).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Far below any logit, yet finite after division by the smallest temperature: softmax gives exactly zero.
BLOCKED = -1e30
MIN_TEMPERATURE = 1e-5


class SamplingInputs(NamedTuple):
    """What one sampling step needs beside the logits; every field has one row a batch item.

    Attributes:
        seen: bool [B, V], tokens that already occurred, prompt included.
        step: int64 [B], new tokens so far.
        noise: float32 [B, V], Exp(1) samples.
        top_k: int64 [B], 1 to V.
        top_p: float32 [B]; 1 or more switches the rule off.
        temperature: float32 [B].
        repetition_penalty: float32 [B]; 1 switches the rule off.
        min_tokens: int64 [B]; the end-of-speech token cannot come in earlier steps.
    """

    seen: Tensor
    step: Tensor
    noise: Tensor
    top_k: Tensor
    top_p: Tensor
    temperature: Tensor
    repetition_penalty: Tensor
    min_tokens: Tensor


def penalise(logits: Tensor, s: SamplingInputs, eos: int) -> Tensor:
    """Applies the repetition penalty and blocks an early end; [B, V] in and out."""
    penalty = s.repetition_penalty[:, None]
    penalised = torch.where(logits < 0, logits * penalty, logits / penalty)
    logits = torch.where(s.seen, penalised, logits)
    is_eos = torch.arange(logits.shape[-1], device=logits.device)[None, :] == eos
    return torch.where(is_eos & (s.step < s.min_tokens)[:, None], BLOCKED, logits)


def sorted_probabilities(penalised: Tensor, s: SamplingInputs) -> tuple[Tensor, Tensor]:
    """Applies top-p, temperature and top-k.

    Returns:
        Probabilities in descending order and the token of each, both [B, V].
    """
    size = penalised.shape[-1]
    values, order = torch.topk(penalised, size, dim=-1)
    cumulative = torch.cumsum(torch.softmax(values, dim=-1), dim=-1)
    first = torch.arange(size, device=values.device)[None, :] == 0
    # Unlike the usual nucleus, the token that crosses top_p is dropped as well; the best one always stays.
    keep = (cumulative <= s.top_p[:, None]) | (s.top_p >= 1.0)[:, None] | first
    values = torch.where(keep, values, BLOCKED) / torch.clamp(s.temperature, min=MIN_TEMPERATURE)[:, None]
    pivot = torch.gather(values, 1, torch.clamp(s.top_k, 1, size)[:, None] - 1)
    return torch.softmax(torch.where(values >= pivot, values, BLOCKED), dim=-1), order


def sample(logits: Tensor, s: SamplingInputs, eos: int) -> tuple[Tensor, Tensor]:
    """Draws the next token.

    Args:
        logits: float32 [B, V] of the last position.
        s: State, options and noise.
        eos: The end-of-speech token.

    Returns:
        token int64 [B], and stop bool [B]: the sampled token is `eos`, or `eos` leads the penalised logits.
    """
    penalised = penalise(logits, s, eos)
    probabilities, order = sorted_probabilities(penalised, s)
    choice = torch.argmax(probabilities / torch.gather(s.noise, 1, order), dim=-1, keepdim=True)
    token = torch.gather(order, 1, choice)[:, 0]
    stop = (token == eos) | (torch.argmax(penalised, dim=-1) == eos)
    return token, stop
