"""The graphs of v3 to v5 after the encoder: features, condition, one step of the flow matching, vocoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from sovits_exporter.graphs.graph_def import GraphDef, RandomArray, constant, integers, normal, uniform
from sovits_exporter.modeling.bigvgan import Bigvgan
from sovits_exporter.modeling.convnext import MAX_FRAMES
from sovits_exporter.modeling.dit import ROTARY_PAIRS
from sovits_exporter.modeling.hifigan import Generator
from sovits_exporter.modeling.sizes import MEL_BANDS
from sovits_exporter.modeling.vits_v3 import CfmCondition, CfmFeatures, CfmStep, SynthesizerTrnV3
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec
from sovits_runtime.bundle.model_spec import ModelSpec

MAX_WINDOWS = 16
MAX_STATE_FRAMES = 3000
MAX_MEL_FRAMES = 6000

_WINDOW_DIMS = (DimRange("batch", 1, 1, MAX_WINDOWS), DimRange("frames", 1, 934, MAX_FRAMES))
_WINDOW_TRACE = {"batch": 2, "frames": 21}
_WINDOW_CHECKS: tuple[Mapping[str, int], ...] = (
    {"batch": 1, "frames": 1},
    {"batch": 1, "frames": 2},
    {"batch": 3, "frames": 33},
    {"batch": 1, "frames": 300},
)


def flow_graphs(vits: SynthesizerTrnV3, spec: ModelSpec) -> list[GraphDef]:
    """The graphs of the flow matching, over the weight file of the SoVITS checkpoint."""
    assert spec.flow is not None
    width, estimator, guided = spec.flow.feature_width, vits.cfm.estimator, spec.flow.guidance is not None
    features = TensorSpec("features", "float32", ("batch", width, "frames"))
    prompt_len = TensorSpec("prompt_len", "int64", (1,))
    condition, unprompted = (
        TensorSpec(name, "float32", ("batch", "frames", estimator.width))
        for name in ("condition", "unprompted")
    )
    turn = TensorSpec("turn", "float32", (2, "frames", ROTARY_PAIRS))
    moves = TensorSpec("moves", "float32", (1, 1, "frames"))
    told = (turn, moves, unprompted, condition) if guided else (turn, moves, condition)
    return [
        _features(vits, width),
        _window_graph(
            "cfm_condition",
            CfmCondition(estimator, guided=guided),
            (features, _mel("prompt_mel"), prompt_len),
            told,
            prompt_len=integers(20),
        ),
        _window_graph(
            "cfm_step",
            CfmStep(estimator),
            (_mel("x"), condition, turn, moves, *_numbers("time", "step_size")),
            (_mel("velocity"), _mel("next_x")),
            turn=uniform(-1.0, 1.0),
            moves=integers(2),
            time=uniform(0.05, 1.0),
            step_size=uniform(0.05, 1.0),
        ),
    ]


def _mel(name: str) -> TensorSpec:
    return TensorSpec(name, "float32", ("batch", MEL_BANDS, "frames"))


def _numbers(*names: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, "float32", (1,)) for name in names)


def _window_graph(
    name: str,
    module: nn.Module,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    **random_inputs: RandomArray,
) -> GraphDef:
    spec = GraphSpec(name, inputs, outputs, _WINDOW_DIMS)
    return GraphDef(spec, module, "sovits", _WINDOW_TRACE, _WINDOW_CHECKS, random_inputs=random_inputs)


def _features(vits: SynthesizerTrnV3, width: int) -> GraphDef:
    return GraphDef(
        GraphSpec(
            "cfm_features",
            (
                TensorSpec("state", "float32", (1, vits.state_channels, "frames")),
                TensorSpec("style", "float32", (1, vits.style_width, 1)),
                TensorSpec("valid_frames", "int64", (1,)),
            ),
            (TensorSpec("features", "float32", (1, width, "feature_frames")),),
            (DimRange("frames", 1, 300, MAX_STATE_FRAMES),),
        ),
        CfmFeatures(vits),
        "sovits",
        {"frames": 11},
        ({"frames": 1}, {"frames": 2}, {"frames": 15}, {"frames": 161}),
        random_inputs={"valid_frames": constant(100)},
    )


def vocoder_graph(module: nn.Module, config: Mapping[str, Any]) -> GraphDef:
    """The graph of a vocoder that voices share."""
    assert isinstance(module, (Generator, Bigvgan))
    return GraphDef(
        GraphSpec(
            "mel_vocoder",
            (TensorSpec("mel", "float32", (1, MEL_BANDS, "frames")),),
            (TensorSpec("waveform", "float32", (1, "waveform_samples")),),
            (DimRange("frames", 1, 466, MAX_MEL_FRAMES),),
            context=module.context(),
        ),
        module,
        "vocoder",
        {"frames": 9},
        ({"frames": 1}, {"frames": 2}, {"frames": 30}),
        random_inputs={"mel": normal(2, mean=-5)},
    )
