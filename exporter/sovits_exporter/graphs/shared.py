"""The graphs of the parts that voices share: HuBERT, BERT, speaker network, vocoder of v3 to v5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from sovits_exporter.graphs.cfm import vocoder_graph
from sovits_exporter.graphs.graph_def import GraphDef, integers, normal
from sovits_exporter.graphs.limits import MAX_REFERENCE_SAMPLES
from sovits_exporter.modeling.pretrained_encoder import PretrainedEncoder
from sovits_exporter.modeling.t2s import BERT_WIDTH
from sovits_exporter.modeling.vits import SSL_WIDTH
from sovits_runtime.audio.fbank import BANDS as FBANK_BANDS
from sovits_runtime.audio.fbank import HOP as FBANK_HOP
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec


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
        random_inputs={"wave": normal(0.1)},
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
        random_inputs={"input_ids": integers(config["vocab_size"])},
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
        random_inputs={"features": normal(3, mean=-6)},
    )
