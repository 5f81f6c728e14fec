"""PyTorch models of checkpoints that were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from sovits_exporter.checkpoint.config import dit_dims
from sovits_exporter.checkpoint.official import GptCheckpoint, SovitsCheckpoint
from sovits_exporter.checkpoint.pretrained import Pretrained
from sovits_exporter.modeling.t2s import T2SConfig, Text2Semantic
from sovits_exporter.modeling.vits import Sovits, SynthesizerTrn
from sovits_exporter.modeling.vits_v3 import SynthesizerTrnV3
from sovits_runtime.bundle.model_spec import ModelSpec, model_spec


@dataclass(frozen=True)
class Models:
    """The PyTorch models of one voice; those that voices share where the user gave them."""

    spec: ModelSpec
    t2s: Text2Semantic
    vits: Sovits
    hubert: nn.Module | None = None
    bert: nn.Module | None = None
    speaker: nn.Module | None = None
    vocoder: nn.Module | None = None


def build_models(gpt: GptCheckpoint, sovits: SovitsCheckpoint, shared: Sequence[Pretrained] = ()) -> Models:
    """Builds the models of a voice in inference mode.

    Args:
        gpt: Its GPT.
        sovits: Its SoVITS.
        shared: The parts that voices share, at most one of a kind.
    """
    spec = model_spec(sovits.version)
    t2s = Text2Semantic(T2SConfig.from_checkpoint(gpt.config))
    t2s.load_state_dict(gpt.tensors)
    vits: Sovits
    if spec.flow:
        shapes = {name: tuple(tensor.shape) for name, tensor in sovits.tensors.items()}
        vits = SynthesizerTrnV3(sovits.config, spec, dit_dims(shapes))
    else:
        vits = SynthesizerTrn(sovits.config, spec)
    vits.load_state_dict(sovits.tensors)
    modules = {part.kind: part.module() for part in shared}
    return Models(
        spec, t2s.eval().requires_grad_(False), vits.eval().requires_grad_(False), **dict(modules.items())
    )
