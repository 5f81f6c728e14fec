"""Which graphs a voice needs, and how each looks from outside: (module, GraphSpec, sample sizes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from sovits_exporter.graphs.cfm import flow_graphs, vocoder_graph
from sovits_exporter.graphs.export import Draw, GraphDef, constant, integers
from sovits_exporter.modeling.flow import CONTEXT as FLOW_CONTEXT
from sovits_exporter.modeling.pretrained_encoder import PretrainedEncoder
from sovits_exporter.modeling.sampling import SamplingInputs
from sovits_exporter.modeling.t2s import BERT_WIDTH, GptPrefill, GptStep, T2SConfig, Text2Semantic
from sovits_exporter.modeling.vits import (
    FRAMES_PER_TOKEN,
    SSL_WIDTH,
    PriorAndFlow,
    PromptTokens,
    ReferenceStyle,
    SemanticEncoder,
    Sovits,
    SynthesizerTrn,
    Vocoder,
)
from sovits_exporter.modeling.vits_v3 import SynthesizerTrnV3
from sovits_runtime.audio.fbank import BANDS as FBANK_BANDS
from sovits_runtime.audio.fbank import HOP as FBANK_HOP
from sovits_runtime.bundle.graph_spec import Dim, DimRange, GraphSpec, TensorSpec
from sovits_runtime.bundle.model_spec import ModelSpec

MAX_PHONES = 1024
MAX_TOKENS = 1500
MAX_PROMPT = 300
MAX_BATCH = 16
MAX_CACHE = 4096
MAX_REFERENCE_SAMPLES = 320_000  # 10 s at 32 kHz
SAMPLES_PER_FRAME = 640

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
_SAMPLING_DRAWS: Mapping[str, Draw] = {
    "seen": lambda rng, shape: rng.random(shape) < 0.1,
    "step": integers(30, 11),
    "noise": lambda rng, shape: rng.exponential(size=shape),
    "top_k": integers(40, 1),
    "top_p": lambda rng, shape: rng.uniform(0.5, 1.1, shape),
    "temperature": lambda rng, shape: rng.uniform(0.3, 1.5, shape),
    "repetition_penalty": lambda rng, shape: rng.uniform(1.0, 2.0, shape),
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
            "gpt_prefill",
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
        draws={
            **_SAMPLING_DRAWS,
            "phones": integers(spec.n_symbols),
            "prompt": integers(spec.codebook_size),
        },
    )


def _gpt_step(t2s: Text2Semantic) -> GraphDef:
    inputs, outputs, aliases = _gpt_io(t2s.config, "batch")
    return GraphDef(
        spec=GraphSpec(
            "gpt_step",
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
        draws={
            **_SAMPLING_DRAWS,
            "token": integers(t2s.config.vocab - 1),
            "text_len": integers(9, 1),
            "prompt_len": integers(9),
        },
    )


def sovits_graphs(vits: Sovits, spec: ModelSpec) -> list[GraphDef]:
    """The graphs of a SoVITS checkpoint, over one weight file."""
    if isinstance(vits, SynthesizerTrnV3):
        return [*_encoder_graphs(vits, spec), *flow_graphs(vits, spec)]
    assert isinstance(vits, SynthesizerTrn)
    return [*_encoder_graphs(vits, spec), *_decoder_graphs(vits)]


def _sovits_graph(
    module: nn.Module,
    spec: GraphSpec,
    trace: Mapping[str, int],
    *checks: Mapping[str, int],
    **draws: Draw,
) -> GraphDef:
    return GraphDef(spec, module, "sovits", trace, checks, draws=draws)


def _encoder_graphs(vits: Sovits, spec: ModelSpec) -> list[GraphDef]:
    style: tuple[Dim, ...] = (1, vits.style_width, 1)
    state: tuple[Dim, ...] = (1, vits.state_channels, "state_frames")
    speaker = (TensorSpec("speaker", "float32", (1, spec.speaker_width)),) if spec.speaker_network else ()
    return [
        _sovits_graph(
            PromptTokens(vits),
            GraphSpec(
                "prompt_tokens",
                (TensorSpec("ssl", "float32", (1, "ssl_frames", SSL_WIDTH)),),
                (TensorSpec("tokens", "int64", (1, "prompt")),),
                (DimRange("ssl_frames", 2, 280, 530),),
            ),
            {"ssl_frames": 21},
            {"ssl_frames": 2},
            {"ssl_frames": 3},
            {"ssl_frames": 280},
        ),
        _sovits_graph(
            ReferenceStyle(vits),
            GraphSpec(
                "reference_style",
                (TensorSpec("wave", "float32", (1, "samples")), *speaker),
                (
                    TensorSpec("style", "float32", style),
                    TensorSpec("spectrogram", "float32", (1, 1025, "spectrogram_frames")),
                ),
                (DimRange("samples", 2048, 160_000, MAX_REFERENCE_SAMPLES),),
            ),
            {"samples": 5000},
            {"samples": 2048},
            {"samples": 7041},
            {"samples": 160_000},
            wave=_quiet_noise,
        ),
        _sovits_graph(
            SemanticEncoder(vits),
            GraphSpec(
                "sovits_encoder",
                (
                    TensorSpec("tokens", "int64", (1, "tokens")),
                    TensorSpec("phones", "int64", (1, "phones")),
                    TensorSpec("style", "float32", style),
                ),
                (TensorSpec("state", "float32", state),),
                (DimRange("tokens", 1, 150, MAX_TOKENS), DimRange("phones", 1, 60, MAX_PHONES)),
            ),
            {"tokens": 11, "phones": 7},
            {"tokens": 1, "phones": 1},
            {"tokens": 2, "phones": 9},
            {"tokens": 150, "phones": 60},
            tokens=integers(spec.codebook_size),
            phones=integers(spec.n_symbols),
        ),
    ]


def _decoder_graphs(vits: SynthesizerTrn) -> list[GraphDef]:
    style: tuple[Dim, ...] = (1, vits.style_width, 1)
    latent: tuple[Dim, ...] = (1, vits.channels, "frames")
    state: tuple[Dim, ...] = (1, vits.state_channels, "state_frames")
    frames = DimRange("frames", 1, 300, 4 * MAX_TOKENS)
    return [
        _sovits_graph(
            PriorAndFlow(vits),
            GraphSpec(
                "sovits_flow",
                (
                    TensorSpec("state", "float32", state),
                    TensorSpec("style", "float32", style),
                    TensorSpec("noise", "float32", latent),
                    TensorSpec("noise_scale", "float32", (1,)),
                ),
                tuple(TensorSpec(name, "float32", latent) for name in ("z", "mean", "log_scale")),
                (DimRange("state_frames", 1, FRAMES_PER_TOKEN * 150, FRAMES_PER_TOKEN * MAX_TOKENS), frames),
                context=FLOW_CONTEXT,
            ),
            {"state_frames": 14, "frames": 11},
            {"state_frames": 1, "frames": 1},
            {"state_frames": 12, "frames": 12},
            {"state_frames": 200, "frames": 161},
            noise_scale=constant(0.5),
        ),
        _sovits_graph(
            Vocoder(vits),
            GraphSpec(
                "sovits_vocoder",
                (TensorSpec("z", "float32", latent), TensorSpec("style", "float32", style)),
                (TensorSpec("waveform", "float32", (1, "waveform_samples")),),
                (frames,),
                context=vits.dec.context(),
            ),
            {"frames": 9},
            {"frames": 1},
            {"frames": 2},
            {"frames": 60},
        ),
    ]


def _quiet_noise(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return 0.1 * rng.standard_normal(shape)


def shared_graph(kind: str, module: nn.Module, config: Mapping[str, Any]) -> GraphDef:
    """The graph of a part that voices share; `config` is its config.json, or what stands for it."""
    graphs = {"hubert": _hubert, "bert": _bert, "speaker": _speaker, "vocoder": vocoder_graph}
    return graphs[kind](module, config)


def _hubert(module: nn.Module, config: Mapping[str, Any]) -> GraphDef:
    return GraphDef(
        GraphSpec(
            "hubert",
            (TensorSpec("wave", "float32", (1, "samples")),),
            (TensorSpec("ssl", "float32", (1, "ssl_frames", SSL_WIDTH)),),
            (DimRange("samples", 400, 89_600, 169_600),),
        ),
        module,
        "hubert",
        {"samples": 7000},
        ({"samples": 400}, {"samples": 1039}, {"samples": 57_600}),
        draws={"wave": _quiet_noise},
    )


def _bert(module: nn.Module, config: Mapping[str, Any]) -> GraphDef:
    return GraphDef(
        GraphSpec(
            "bert",
            (TensorSpec("input_ids", "int64", (1, "characters")),),
            (TensorSpec("features", "float32", ("characters_inside", BERT_WIDTH)),),
            (DimRange("characters", 3, 32, 512),),
        ),
        module,
        "bert",
        {"characters": 9},
        ({"characters": 3}, {"characters": 4}, {"characters": 100}),
        draws={"input_ids": integers(config["vocab_size"])},
    )


def _speaker(module: nn.Module, config: Mapping[str, Any]) -> GraphDef:
    assert isinstance(module, PretrainedEncoder)
    return GraphDef(
        GraphSpec(
            "speaker",
            (TensorSpec("features", "float32", (1, "frames", FBANK_BANDS)),),
            (TensorSpec("speaker", "float32", (1, module.width)),),
            (DimRange("frames", 1, 500, MAX_REFERENCE_SAMPLES // (2 * FBANK_HOP)),),
        ),
        module,
        "speaker",
        {"frames": 37},
        ({"frames": 1}, {"frames": 8}, {"frames": 9}, {"frames": 100}),
        draws={"features": _log_energies},
    )


def _log_energies(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return 3 * rng.standard_normal(shape) - 6
