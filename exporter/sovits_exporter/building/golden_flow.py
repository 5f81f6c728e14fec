"""The recorded request behind the GPT of v3 and v4: features, every Euler step, mel, waveform."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from sovits_exporter.modeling.vits import SemanticEncoder
from sovits_exporter.modeling.vits_v3 import CfmCondition, CfmFeatures, CfmStep, SynthesizerTrnV3
from sovits_runtime.audio.mel import denormed, normed, reference_mel
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import FlowSpec, ModelSpec

TOKENS = 50
STEPS = 4


def record_flow(
    vits: SynthesizerTrnV3,
    vocoder: nn.Module,
    *,
    flow: FlowSpec,
    a: dict[str, Array],
    rng: np.random.Generator,
) -> None:
    """Adds to the arrays of `golden.record`, of up to 50 tokens in one window and 4 steps.

    They are `decoded_tokens`, `reference_mel`, `state`, `features`, `prompt_mel`, `window_features`, `condition`,
    `noise`, `x` (before every step and after the last), `velocities` and `waveform`.

    Args:
        vocoder: From ln mel [1, 100, F] to a waveform [1, n].
        flow: The version's numbers.
        a: What was recorded so far.
        rng: Source of the noise.
    """
    tokens = a["tokens"][:TOKENS] if len(a["tokens"]) else np.arange(20, dtype=np.int64)
    a["decoded_tokens"] = tokens
    a["reference_mel"] = reference_mel(a["wave"], ModelSpec.reference_sample_rate, flow=flow)
    a["state"], a["features"] = _features(vits, tokens, a["phones"], a["style"])
    _, spoken = _features(vits, a["prompt"], a["prompt_phones"], a["style"])
    frames = min(spoken.shape[2], a["reference_mel"].shape[1], flow.prompt_frames)
    common = min(spoken.shape[2], a["reference_mel"].shape[1])
    a["prompt_mel"] = normed(a["reference_mel"])[None, :, common - frames : common]
    a["window_features"] = np.concatenate([spoken[:, :, common - frames : common], a["features"]], axis=2)
    _record_steps(vits, a, flow, rng)
    mel = denormed(a["x"][-1][:, :, frames:])
    a["waveform"] = vocoder(torch.from_numpy(np.ascontiguousarray(mel)))[0].numpy()


def _features(vits: SynthesizerTrnV3, tokens: Array, phones: Array, style: Array) -> tuple[Array, Array]:
    inputs = (torch.from_numpy(x) for x in (tokens[None], phones[None], style))
    state = SemanticEncoder(vits)(*inputs)
    everything = torch.tensor([1 << 30])
    features = CfmFeatures(vits)(state, torch.from_numpy(style), everything)
    return state.numpy(), features.numpy()


def _record_steps(
    vits: SynthesizerTrnV3, a: dict[str, Array], flow: FlowSpec, rng: np.random.Generator
) -> None:
    condition = CfmCondition(vits)(torch.from_numpy(a["window_features"]))
    shape = (1, flow.mel_bands, condition.shape[1])
    a["condition"] = condition.numpy()
    a["noise"] = rng.standard_normal(shape).astype(np.float16).astype(np.float32)
    prompt_len = a["prompt_mel"].shape[2]
    x, prompt_mel = torch.from_numpy(a["noise"].copy()), torch.zeros(shape)
    x[:, :, :prompt_len] = 0
    prompt_mel[:, :, :prompt_len] = torch.from_numpy(a["prompt_mel"])
    xs, velocities = [x.numpy()], []
    for i in range(STEPS):
        time, step_size = torch.tensor([i / STEPS]), torch.tensor([1 / STEPS])
        velocity, x = CfmStep(vits)(x, prompt_mel, condition, time, step_size, torch.tensor([prompt_len]))
        xs.append(x.numpy())
        velocities.append(velocity.numpy())
    a["x"], a["velocities"] = np.stack(xs), np.stack(velocities)
