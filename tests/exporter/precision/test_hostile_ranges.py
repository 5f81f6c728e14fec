"""Voices whose activations or weights FP16 cannot hold: calibration finds the parts, names them, and keeps them FP32.

A layer is scaled up by a power of two and the next one down, across an activation that commutes with it, so in FP32
the graph computes exactly what it did before.
"""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sovits_calibration.fp16_compare import distance
from sovits_calibration.observe import observe
from sovits_engines.passes.fp16 import lower_to_fp16
from sovits_engines.passes.model_file import load_model
from sovits_engines.passes.operator_rules import fp32_by_meaning
from sovits_engines.refit import weights_signature
from sovits_exporter.graphs.files import write_models
from sovits_exporter.precision.fp16 import _described
from sovits_exporter.precision.fp16_graphs import Fp32Graph, fp16_spec, to_fp16
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BundleError

RESBLOCK = ("dec.resblocks.1.convs1.0.weight", "dec.resblocks.1.convs1.0.bias")
RESBLOCK_NEXT = ("dec.resblocks.1.convs2.0.weight",)
LAYER = "t2s.h.layers.0."
VALUES = slice(128, 192)  # rows of the packed projection that give the values


@pytest.fixture(scope="module")
def source(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    return bundle, observe(bundle)


def scaled(source, names, folder, changes):
    """Graphs of the tiny voice with some initializers multiplied; `changes`: name -> (rows, factor)."""
    bundle, runs = source
    folder.mkdir()
    models = [load_model(bundle.graph_path(name)) for name in names]
    for model in models:
        for name, (rows, factor) in changes.items():
            value = model.graph.initializers[name]
            numbers = value.const_value.numpy().copy()
            numbers[rows] *= np.float32(factor)
            value.const_value = ir.Tensor(numbers, name=name)
    write_models(models, folder, "hostile")
    return [Fp32Graph(folder / f"{n}.onnx", bundle.graph_spec(n), runs[n]) for n in names]


def naive(graph, folder):
    """The conversion without calibration."""
    model = load_model(graph.path)
    spec = fp16_spec(graph.spec, ())
    fp16_io = {t.name for t in (*spec.inputs, *spec.outputs) if t.dtype == "float16"}
    fp32_nodes = {n.outputs[0].name for n in fp32_by_meaning(model.graph)}
    lower_to_fp16(model, fp32_nodes=fp32_nodes, fp16_io=fp16_io)
    folder.mkdir()
    write_models([model], folder, "naive")
    return distance(graph.path, folder / graph.path.name, spec, graph.runs)


def everything(factor):
    return slice(None), factor


def converted(graphs, folder, **options):
    folder.mkdir()
    return to_fp16(graphs, folder, "hostile", **options)


def test_activations_of_the_vocoder_beyond_half(source, tmp_path):
    changes = dict.fromkeys(RESBLOCK, everything(2.0**16)) | dict.fromkeys(
        RESBLOCK_NEXT, everything(2.0**-16)
    )
    (graph,) = scaled(source, ["sovits_vocoder"], tmp_path / "full", changes)
    assert not naive(graph, tmp_path / "naive").cosine > 0.9995
    (graph_fp16,) = converted([graph], tmp_path / "half")
    assert graph_fp16.distance.cosine > 0.99999
    assert {i.op for i in graph_fp16.fp32_nodes} == {"Conv", "LeakyRelu"}
    assert any("reaches" in i.detail and "beyond 65504" in i.detail for i in graph_fp16.fp32_nodes)
    assert len(graph_fp16.fp32_nodes) < 6  # of 250 operators


def test_a_feed_forward_beyond_half(source, tmp_path):
    changes = {
        f"{LAYER}linear1.weight": everything(2.0**16),
        f"{LAYER}linear1.bias": everything(2.0**16),
        f"{LAYER}linear2.weight": everything(2.0**-16),
    }
    graphs = scaled(source, ["gpt_prefill", "gpt_step"], tmp_path / "full", changes)
    assert not naive(graphs[1], tmp_path / "naive").cosine > 0.9995
    for graph_fp16 in converted(graphs, tmp_path / "half"):
        measured = [i for i in graph_fp16.fp32_nodes if i.reason not in ("choice", "position")]
        assert graph_fp16.distance.cosine > 0.99999
        assert {i.op for i in measured} == {"Gemm", "Relu"}
        assert len(measured) == 3


def test_values_beyond_half_keep_their_caches_in_fp32(source, tmp_path):
    changes = {
        f"{LAYER}self_attn.in_proj_weight": (VALUES, 2.0**14),
        f"{LAYER}self_attn.in_proj_bias": (VALUES, 2.0**14),
        f"{LAYER}self_attn.out_proj.weight": everything(2.0**-14),
    }
    graphs = scaled(source, ["gpt_prefill", "gpt_step"], tmp_path / "full", changes)
    assert not naive(graphs[1], tmp_path / "naive").cosine > 0.9995
    for graph_fp16 in converted(graphs, tmp_path / "half"):
        assert graph_fp16.distance.cosine > 0.99999
        kinds = {t.name: t.dtype for t in graph_fp16.spec.outputs if "cache" in t.name}
        assert kinds["v_cache_0_out"] == "float32"
        assert kinds["k_cache_1_out"] == kinds["v_cache_1_out"] == "float16"


def test_a_weight_beyond_half_is_named(source, tmp_path):
    changes = {
        f"{LAYER}linear1.weight": everything(2.0**24),
        f"{LAYER}linear1.bias": everything(2.0**24),
        f"{LAYER}linear2.weight": everything(2.0**-24),
    }
    graphs = scaled(source, ["gpt_prefill", "gpt_step"], tmp_path / "full", changes)
    for graph_fp16 in converted(graphs, tmp_path / "half"):
        weight = [i.detail for i in graph_fp16.fp32_nodes if i.reason == "weight"]
        assert any("linear1.weight reaches" in d and "FP16 ends at 65504" in d for d in weight)
        assert graph_fp16.distance.cosine > 0.99999


def test_graphs_of_two_voices_alike_or_refused(source, tmp_path):
    """One engine serves both where the same parts stay FP32; a voice that needs more must be the model."""
    tame = scaled(source, ["sovits_vocoder"], tmp_path / "tame", {})
    wild = scaled(
        source,
        ["sovits_vocoder"],
        tmp_path / "wild",
        dict.fromkeys(RESBLOCK, everything(2.0**16)) | dict.fromkeys(RESBLOCK_NEXT, everything(2.0**-16)),
    )
    signatures, fp32_nodes = [], {}
    for name, graphs in (("wild", wild), ("tame", tame)):
        (graph_fp16,) = converted(graphs, tmp_path / f"{name}-half", like=fp32_nodes or None)
        fp32_nodes = {"sovits_vocoder": graph_fp16.fp32_nodes}
        path = tmp_path / f"{name}-half" / "sovits_vocoder.onnx"
        signatures.append(weights_signature(onnx.load(path, load_external_data=False), path.parent))
    assert signatures[0] == signatures[1]
    (alone,) = converted(tame, tmp_path / "alone")
    assert len(alone.fp32_nodes) < len(graph_fp16.fp32_nodes)
    with pytest.raises(
        BundleError, match=r"this voice needs \d operators in FP32 that the other has in FP16"
    ):
        converted(wild, tmp_path / "refused", like={"sovits_vocoder": alone.fp32_nodes})


def test_a_graph_that_nothing_reaches_claims_no_figure(source, tmp_path):
    (graph,) = scaled(source, ["sovits_vocoder"], tmp_path / "full", {})
    (graph_fp16,) = converted([Fp32Graph(graph.path, graph.spec, ())], tmp_path / "half")
    assert _described(graph_fp16)["check"] == {"runs": 0, "limit": 0.9995}
