"""The inputs and outputs that the runtime counts on, by graph: a bundle of strangers may declare anything."""

from __future__ import annotations

from collections.abc import Mapping

from sovits_runtime.bundle.graph_spec import GraphSpec, TensorSpec
from sovits_runtime.bundle.names import (
    BERT,
    CFM_CONDITION,
    CFM_FEATURES,
    CFM_STEP,
    HUBERT,
    MEL_VOCODER,
    PREFILL,
    PROMPT_TOKENS,
    REFERENCE_STYLE,
    SOVITS_ENCODER,
    SOVITS_FLOW,
    SOVITS_VOCODER,
    SPEAKER,
    STEP,
)

Axes = Mapping[str, int]
"""Tensor -> number of its axes."""

_SAMPLING = {
    **dict.fromkeys(("step", "top_k", "top_p", "temperature", "repetition_penalty", "min_tokens"), 1),
    **dict.fromkeys(("seen", "noise"), 2),
}
_SAMPLED = {"next_token": 1, "stop": 1, "next_seen": 2, "logits": 2}
_KNOWN: dict[str, tuple[Axes, Axes]] = {
    PREFILL: ({"phones": 2, "bert": 3, "prompt": 2, **_SAMPLING}, _SAMPLED),
    STEP: ({"token": 1, "text_len": 1, "prompt_len": 1, **_SAMPLING}, _SAMPLED),
    HUBERT: ({"wave": 2}, {"ssl": 3}),
    BERT: ({"input_ids": 2}, {"features": 2}),
    SPEAKER: ({"features": 3}, {"speaker": 2}),
    PROMPT_TOKENS: ({"ssl": 3}, {"tokens": 2}),
    REFERENCE_STYLE: ({"wave": 2}, {"style": 3}),
    SOVITS_ENCODER: ({"tokens": 2, "phones": 2, "style": 3}, {"state": 3}),
    SOVITS_FLOW: ({"state": 3, "style": 3, "noise": 3, "noise_scale": 1}, {"z": 3}),
    SOVITS_VOCODER: ({"z": 3, "style": 3}, {"waveform": 2}),
    CFM_FEATURES: ({"state": 3, "style": 3, "valid_frames": 1}, {"features": 3}),
    CFM_CONDITION: ({"features": 3}, {"condition": 3}),
    CFM_STEP: (
        {"x": 3, "condition": 3, "time": 1, "step_size": 1},
        {"velocity": 3, "next_x": 3},
    ),
    MEL_VOCODER: ({"mel": 3}, {"waveform": 2}),
}
_CACHE_AXES = 4


def check_spec(spec: GraphSpec) -> None:
    """Checks that a graph has the inputs and outputs that the runtime counts on.

    Raises:
        ValueError: Names the first that is missing or of another form.
    """
    inputs, outputs = ({t.name: t for t in tensors} for tensors in (spec.inputs, spec.outputs))
    for tensors, known in zip((inputs, outputs), _KNOWN.get(spec.name, ({}, {})), strict=True):
        for name, axes in known.items():
            if name not in tensors or len(tensors[name].shape) != axes:
                raise ValueError(f"graph {spec.name} has no {name} of {axes} axes")
    for read, written in spec.aliases:
        if read not in inputs or written not in outputs or inputs[read].shape != outputs[written].shape:
            raise ValueError(f"graph {spec.name} cannot update {read} in place, as it says")
    if spec.name in (PREFILL, STEP):
        _check_gpt(spec, inputs, outputs)


def _check_gpt(spec: GraphSpec, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]) -> None:
    """The caches of a GPT are alike, two a layer, and its logits are as many as the tokens that were seen."""
    caches = [name for name in inputs if "_cache_" in name]
    expected = [f"{kind}_cache_{i}" for i in range(len(spec.aliases) // 2) for kind in "kv"]
    if not caches or caches != expected or [read for read, _ in spec.aliases] != expected:
        raise ValueError(f"graph {spec.name} has other caches than two a layer, each updated in place")
    shapes = {inputs[name].shape for name in caches}
    batch, heads, size, width = next(iter(shapes)) if len(next(iter(shapes))) == _CACHE_AXES else ("",) * 4
    alike = len(shapes) == 1 and size == "cache_size" and batch in (1, "batch")
    if not alike or not isinstance(heads, int) or not isinstance(width, int) or not heads * width:
        raise ValueError(f"graph {spec.name} has caches of other shapes than [1, heads, cache_size, width]")
    rows = [
        *(inputs[name] for name in ("seen", "noise")),
        *(outputs[name] for name in ("next_seen", "logits")),
    ]
    if len({t.shape for t in rows}) != 1 or not isinstance(rows[0].shape[1], int) or not rows[0].shape[1]:
        raise ValueError(f"graph {spec.name} has logits of another size than what was seen")
    one = {inputs[name].shape for name in inputs if len(inputs[name].shape) == 1}
    one |= {outputs[name].shape for name in outputs if len(outputs[name].shape) == 1}
    if one != {(batch,)} or rows[0].shape[0] != batch:
        raise ValueError(
            f"graph {spec.name} has inputs and outputs of another number of requests than its caches"
        )
    if spec.name == PREFILL and not isinstance(inputs["bert"].shape[2], int):
        raise ValueError(f"graph {spec.name} reads features of no fixed width")
