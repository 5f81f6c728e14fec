"""The graphs of SoVITS: prompt tokens, global speaker embedding, encoder, and the decoder of each kind."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from sovits_exporter.graphs.cfm import flow_graphs
from sovits_exporter.graphs.graph_def import GraphDef, RandomArray, constant, integers, normal
from sovits_exporter.graphs.limits import MAX_PHONES, MAX_REFERENCE_SAMPLES, MAX_TOKENS
from sovits_exporter.modeling.flow import CONTEXT as FLOW_CONTEXT
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
from sovits_runtime.bundle.graph_spec import Dim, DimRange, GraphSpec, TensorSpec
from sovits_runtime.bundle.model_spec import ModelSpec


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
    **random_inputs: RandomArray,
) -> GraphDef:
    return GraphDef(spec, module, "sovits", trace, checks, random_inputs=random_inputs)


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
            wave=normal(0.1),
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
