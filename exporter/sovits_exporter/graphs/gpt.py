"""The graphs of the GPT: prefill and step, with sampling inside and caches that are updated in place."""

from __future__ import annotations

from collections.abc import Mapping

from sovits_exporter.graphs.graph_def import GraphDef, RandomArray, constant, integers, uniform
from sovits_exporter.graphs.limits import MAX_BATCH, MAX_CACHE, MAX_PHONES, MAX_PROMPT
from sovits_exporter.modeling.sampling import SamplingInputs
from sovits_exporter.modeling.t2s import BERT_WIDTH, GptPrefill, GptStep, T2SConfig, Text2Semantic
from sovits_runtime.bundle.graph_spec import Dim, DimRange, GraphSpec, TensorSpec
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.names import PREFILL, STEP

_SAMPLING_DTYPES = {
    "seen": "bool",
    "step": "int64",
    "noise": "float32",
    "top_k": "int64",
    "top_p": "float32",
    "temperature": "float32",
    "repetition_penalty": "float32",
    "min_tokens": "int64",
}
_SAMPLING_INPUTS: Mapping[str, RandomArray] = {
    "seen": lambda rng, shape: rng.random(shape) < 0.1,
    "step": integers(30, 11),
    "noise": lambda rng, shape: rng.exponential(size=shape),
    "top_k": integers(40, 1),
    "top_p": uniform(0.5, 1.1),
    "temperature": uniform(0.3, 1.5),
    "repetition_penalty": uniform(1.0, 2.0),
    "min_tokens": constant(11),
}


def gpt_graphs(t2s: Text2Semantic, spec: ModelSpec) -> list[GraphDef]:
    """The graphs of a GPT checkpoint: prefill and step, over one weight file."""
    return [_gpt_prefill(t2s, spec), _gpt_step(t2s)]


def _cache_names(config: T2SConfig) -> list[str]:
    return [f"{part}_cache_{i}" for i in range(config.layers) for part in ("k", "v")]


def _gpt_io(
    config: T2SConfig, batch: Dim
) -> tuple[list[TensorSpec], list[TensorSpec], list[tuple[str, str]]]:
    """Sampling inputs and caches, outputs, and the pairs updated in place."""
    assert tuple(_SAMPLING_DTYPES) == SamplingInputs._fields
    per_token = {"seen", "noise"}
    inputs = [
        TensorSpec(name, dtype, (batch, config.vocab) if name in per_token else (batch,))
        for name, dtype in _SAMPLING_DTYPES.items()
    ]
    names = _cache_names(config)
    shape: tuple[Dim, ...] = (batch, config.heads, "cache_size", config.head_dim)
    inputs += [TensorSpec(name, "float32", shape) for name in names]
    outputs = [
        TensorSpec("next_token", "int64", (batch,)),
        TensorSpec("stop", "bool", (batch,)),
        TensorSpec("next_seen", "bool", (batch, config.vocab)),
        TensorSpec("logits", "float32", (batch, config.vocab)),
        *(TensorSpec(f"{name}_out", "float32", shape) for name in names),
    ]
    return inputs, outputs, [(name, f"{name}_out") for name in names]


def _gpt_prefill(t2s: Text2Semantic, spec: ModelSpec) -> GraphDef:
    inputs, outputs, aliases = _gpt_io(t2s.config, 1)
    return GraphDef(
        spec=GraphSpec(
            PREFILL,
            (
                TensorSpec("phones", "int64", (1, "phones")),
                TensorSpec("bert", "float32", (1, "phones", BERT_WIDTH)),
                TensorSpec("prompt", "int64", (1, "prompt")),
                *inputs,
            ),
            tuple(outputs),
            (
                DimRange("phones", 1, 100, MAX_PHONES),
                DimRange("prompt", 0, 125, MAX_PROMPT),
                DimRange("cache_size", 16, 512, MAX_CACHE),
            ),
            tuple(aliases),
        ),
        module=GptPrefill(t2s),
        weights="gpt",
        trace={"phones": 7, "prompt": 9, "cache_size": 40},
        checks=(
            {"phones": 1, "prompt": 0, "cache_size": 16},
            {"phones": 5, "prompt": 1, "cache_size": 32},
            {"phones": 60, "prompt": 125, "cache_size": 200},
        ),
        random_inputs={
            **_SAMPLING_INPUTS,
            "phones": integers(spec.n_symbols),
            "prompt": integers(spec.codebook_size),
        },
    )


def _gpt_step(t2s: Text2Semantic) -> GraphDef:
    inputs, outputs, aliases = _gpt_io(t2s.config, "batch")
    return GraphDef(
        spec=GraphSpec(
            STEP,
            (
                TensorSpec("token", "int64", ("batch",)),
                TensorSpec("text_len", "int64", ("batch",)),
                TensorSpec("prompt_len", "int64", ("batch",)),
                *inputs,
            ),
            tuple(outputs),
            (DimRange("batch", 1, 1, MAX_BATCH), DimRange("cache_size", 16, 512, MAX_CACHE)),
            tuple(aliases),
        ),
        module=GptStep(t2s),
        weights="gpt",
        trace={"batch": 2, "cache_size": 40},
        checks=(
            {"batch": 1, "cache_size": 48},
            {"batch": 3, "cache_size": 64},
            {"batch": 1, "cache_size": 512},
        ),
        random_inputs={
            **_SAMPLING_INPUTS,
            "token": integers(t2s.config.vocab - 1),
            "text_len": integers(9, 1),
            "prompt_len": integers(9),
        },
    )
