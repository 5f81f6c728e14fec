"""The recorded request behind the GPT of v3 to v5: features, every Euler step, mel, waveform."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from sovits_exporter.graphs.cfm import flow_graphs
from sovits_exporter.modeling.vits import SemanticEncoder
from sovits_exporter.modeling.vits_v3 import CfmFeatures, SynthesizerTrnV3
from sovits_runtime.audio.mel import denormed, normed, reference_mel
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.names import CFM_CONDITION, CFM_STEP

TOKENS = 50
STEPS = 4


def record_flow(
    vits: SynthesizerTrnV3,
    vocoder: nn.Module,
    *,
    spec: ModelSpec,
    a: dict[str, Array],
    rng: np.random.Generator,
) -> None:
    """Adds to the arrays of `golden.record`, of up to 50 tokens in one window and 4 steps.

    They are `decoded_tokens`, `reference_mel`, `state`, `features`, `prompt_mel`, `window_features`, what
    `cfm_condition` gives (`condition`, `turn`, `moves`), `noise`, `x` (before every step and after the last),
    `velocities` and `waveform`. Versions with guidance add `unprompted`; where it is on, each of `velocities` is two
    rows, with the prompt's mel and without.

    Args:
        vocoder: From ln mel [1, 100, F] to a waveform [1, n].
        spec: The version's row.
        a: What was recorded so far.
        rng: Source of the noise.
    """
    flow = spec.flow
    assert flow is not None
    tokens = a["tokens"][:TOKENS] if len(a["tokens"]) else np.arange(20, dtype=np.int64)
    a["decoded_tokens"] = tokens
    a["reference_mel"] = reference_mel(a["wave"], ModelSpec.reference_sample_rate, flow=flow)
    a["state"], a["features"] = _features(vits, tokens, a["phones"], a["style"])
    _, spoken = _features(vits, a["prompt"], a["prompt_phones"], a["style"])
    frames = min(spoken.shape[2], a["reference_mel"].shape[1], flow.prompt_frames)
    common = min(spoken.shape[2], a["reference_mel"].shape[1])
    a["prompt_mel"] = normed(a["reference_mel"])[None, :, common - frames : common]
    a["window_features"] = np.concatenate([spoken[:, :, common - frames : common], a["features"]], axis=2)
    _record_steps(vits, a, spec, rng)
    mel = denormed(a["x"][-1][:, :, frames:])
    a["waveform"] = vocoder(torch.from_numpy(np.ascontiguousarray(mel)))[0].numpy()


def _features(vits: SynthesizerTrnV3, tokens: Array, phones: Array, style: Array) -> tuple[Array, Array]:
    inputs = (torch.from_numpy(x) for x in (tokens[None], phones[None], style))
    state = SemanticEncoder(vits)(*inputs)
    everything = torch.tensor([1 << 30])
    features = CfmFeatures(vits)(state, torch.from_numpy(style), everything)
    return state.numpy(), features.numpy()


def _record_steps(
    vits: SynthesizerTrnV3, a: dict[str, Array], spec: ModelSpec, rng: np.random.Generator
) -> None:
    flow = spec.flow
    assert flow is not None
    shape = (1, flow.mel_bands, a["window_features"].shape[2])
    a["noise"] = rng.standard_normal(shape).astype(np.float16).astype(np.float32)
    graphs = {graph.spec.name: graph for graph in flow_graphs(vits, spec)}
    prompt_len = a["prompt_mel"].shape[2]
    x, prompt_mel = a["noise"] * np.float32(flow.noise_scale), np.zeros(shape, np.float32)
    x[:, :, :prompt_len] = 0
    prompt_mel[:, :, :prompt_len] = a["prompt_mel"]
    window = {
        "features": a["window_features"],
        "prompt_mel": prompt_mel,
        "prompt_len": np.array([prompt_len]),
    }
    a |= graphs[CFM_CONDITION].run(window)
    rows = ("condition", "unprompted") if flow.guidance else ("condition",)
    step_size = np.array([1 / STEPS], np.float32)
    told = {"turn": a["turn"], "moves": a["moves"], "step_size": step_size}
    told["condition"] = np.concatenate([a[name] for name in rows])
    xs, velocities = [x], []
    for i in range(STEPS):
        told |= {"x": np.repeat(x, len(rows), axis=0), "time": np.array([i / STEPS], np.float32)}
        made = graphs[CFM_STEP].run(told)
        x = made["next_x"]
        if flow.guidance:
            towards, away = np.split(made["velocity"], 2)
            x = xs[-1] + step_size * (towards + np.float32(flow.guidance) * (towards - away))
            x[:, :, :prompt_len] = 0
        xs.append(x)
        velocities.append(made["velocity"])
    a["x"], a["velocities"] = np.stack(xs), np.stack(velocities)
