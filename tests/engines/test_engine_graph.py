"""The copies that TensorRT gets compute what the graphs do."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from sovits_engines.engine_graph import trt_graphs
from sovits_engines.passes.attention import decompose_attention
from sovits_engines.profile import profile_ranges
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import HISTORY, NOISE_ROWS

DIMS = {"phones": 9, "prompt": 7, "cache_size": 64, "batch": 1}
INTEGERS = {"top_k": 5, "step": 12, "min_tokens": 11, "text_len": 9, "prompt_len": 7}


def feeds(spec: GraphSpec, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = {}
    for t in spec.inputs:
        shape = t.resolve(DIMS)
        if t.dtype == "bool":
            arrays[t.name] = rng.random(shape) < 0.1
        elif t.dtype == "int64":
            arrays[t.name] = (
                np.full(shape, INTEGERS[t.name]) if t.name in INTEGERS else rng.integers(0, 100, shape)
            )
        else:
            arrays[t.name] = np.abs(rng.standard_normal(shape)).astype(t.dtype)
    return arrays


def run(path, spec, arrays) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    assert [i.name for i in session.get_inputs()] == list(spec.input_names)
    assert [o.name for o in session.get_outputs()] == list(spec.output_names)
    values = session.run(None, {n: arrays[n] for n in spec.input_names})
    return dict(zip(spec.output_names, values, strict=True))


def run_copy(engine, arrays, **options) -> dict[str, np.ndarray]:
    path = engine.path.with_name(f"copy_{engine.name}.onnx")
    onnx.save(engine.model(**options), path)
    return run(path, engine.spec, arrays)


def attentions(model) -> int:
    return sum(node.op_type == "Attention" for node in model.graph.node)


def test_prefill_hands_out_the_rows_that_it_would_have_written(runnable_bundle):
    (engine,) = trt_graphs(runnable_bundle, ("gpt_prefill",))
    spec = runnable_bundle.graph_spec("gpt_prefill")
    arrays = feeds(spec)
    whole, rows = run(engine.path, spec, arrays), run_copy(engine, arrays)
    assert not [t for t in engine.spec.inputs if "cache" in t.name]
    assert engine.spec.aliases == ()
    assert attentions(engine.model()) == 0  # FP32 of many query rows has no fused kernel
    for given, out in spec.aliases:
        np.testing.assert_allclose(whole[out][:, :, :16], rows[out], atol=1e-5)
        np.testing.assert_array_equal(whole[out][:, :, 16:], arrays[given][:, :, 16:])
    np.testing.assert_allclose(whole["logits"], rows["logits"], atol=1e-4)
    for name in ("next_token", "stop", "next_seen"):
        np.testing.assert_array_equal(whole[name], rows[name])


@pytest.mark.parametrize("decompose_all", [False, True])
def test_step_has_fixed_sizes_and_the_same_values(runnable_bundle, decompose_all):
    (engine,) = trt_graphs(runnable_bundle, ("gpt_step",), cache_sizes=(64,))
    spec = runnable_bundle.graph_spec("gpt_step")
    arrays = feeds(spec)
    whole = run(engine.path, spec, arrays)
    block = np.repeat(arrays["noise"], NOISE_ROWS, axis=0)
    more = {"noise_block": block, "stopped": np.array([False]), "history": np.zeros((1, HISTORY), np.int64)}
    fixed = run_copy(engine, {**arrays, **more}, decompose_all=decompose_all)
    assert engine.name == "gpt_step-64"
    assert all(isinstance(d, int) for t in engine.spec.inputs for d in t.shape)
    assert engine.spec.aliases == spec.aliases
    assert bool(attentions(engine.model(decompose_all=decompose_all))) is not decompose_all
    for name in set(spec.output_names) & set(engine.spec.output_names):
        np.testing.assert_allclose(whole[name], fixed[name], atol=1e-4)
    assert fixed["next_history"][0, arrays["step"][0]] == (-1 if whole["stop"][0] else whole["next_token"][0])


@pytest.mark.parametrize("graph", ["reference_style", "sovits_encoder"])
def test_other_attention_is_written_out_too(runnable_bundle, graph):
    (engine,) = trt_graphs(runnable_bundle, (graph,))
    arrays = runnable_bundle.graph_spec(graph)
    dims = {d.name: max(d.min, 12) for d in arrays.dims}
    rng = np.random.default_rng(1)
    inputs = {
        t.name: rng.integers(0, 100, t.resolve(dims))
        if t.dtype == "int64"
        else rng.random(t.resolve(dims), np.float32)
        for t in arrays.inputs
    }
    assert attentions(engine.model()) == 0
    before, after = run(engine.path, arrays, inputs), run_copy(engine, inputs)
    for name in before:
        np.testing.assert_allclose(before[name], after[name], atol=1e-4 * np.abs(before[name]).max())


def attention(
    kind: int, width: int, rows: int | str, mask: int = onnx.TensorProto.BOOL, heads: int = 4
) -> onnx.ModelProto:
    """One attention over 24 rows, the last 8 masked away."""
    q = helper.make_tensor_value_info("q", kind, [1, heads, rows, width])
    k = helper.make_tensor_value_info("k", kind, [1, heads, 24, width])
    v = helper.make_tensor_value_info("v", kind, [1, heads, 24, width])
    y = helper.make_tensor_value_info("y", kind, [1, heads, rows, width])
    seen = np.arange(24) < 16
    dtype = helper.tensor_dtype_to_np_dtype(mask)
    values = seen if mask == onnx.TensorProto.BOOL else np.where(seen, 0, -3e4)
    values = np.broadcast_to(values.astype(dtype), (1, 1, rows if isinstance(rows, int) else 1, 24)).copy()
    weights = [numpy_helper.from_array(values, "mask")]
    node = helper.make_node("Attention", ["q", "k", "v", "mask"], ["y"], name="attend")
    graph = helper.make_graph([node], "g", [q, k, v], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=11)


@pytest.mark.parametrize(
    ("kind", "width", "rows", "fused"),
    [
        (onnx.TensorProto.FLOAT16, 32, "n", True),
        (onnx.TensorProto.FLOAT16, 8, "n", False),
        (onnx.TensorProto.FLOAT16, 8, 1, True),
        (onnx.TensorProto.FLOAT16, 33, "n", False),
        (onnx.TensorProto.FLOAT16, 264, 1, False),
        (onnx.TensorProto.FLOAT, 32, 1, True),
        (onnx.TensorProto.FLOAT, 32, "n", False),
        (onnx.TensorProto.FLOAT, 32, 2, False),
    ],
)
def test_only_attention_without_a_fused_kernel_is_written_out(kind, width, rows, fused):
    model = attention(kind, width, rows)
    assert decompose_attention(model) == ([] if fused else ["attend"])
    assert attentions(model) == int(fused)


def test_one_row_of_few_heads_is_written_out():
    assert decompose_attention(attention(onnx.TensorProto.FLOAT, 32, 1, heads=3)) == ["attend"]


@pytest.mark.parametrize("kind", [onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT])
@pytest.mark.parametrize("boolean", [True, False])
def test_written_out_attention_equals_the_operator(kind, boolean):
    model = attention(kind, 32, 3, onnx.TensorProto.BOOL if boolean else kind)
    rng = np.random.default_rng(0)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    arrays = {
        n: rng.standard_normal([1, 4, r, 32]).astype(dtype) for n, r in (("q", 3), ("k", 24), ("v", 24))
    }

    def answer():
        return onnxruntime.InferenceSession(model.SerializeToString()).run(None, arrays)[0]

    expected = answer()
    assert decompose_attention(model, every=True) == ["attend"]
    onnx.checker.check_model(model)
    np.testing.assert_allclose(answer(), expected, atol=2e-3 if dtype == np.float16 else 1e-6)


def test_profiles_are_the_ranges_of_the_spec(runnable_bundle):
    vocoder, step = trt_graphs(runnable_bundle, ("sovits_vocoder", "gpt_step"), cache_sizes=(512,))
    dims = runnable_bundle.graph_spec("sovits_vocoder").dim_ranges["frames"]
    ranges = profile_ranges(vocoder.spec)
    assert set(ranges) == {"z"}
    assert [corner[2] for corner in ranges["z"]] == [dims.min, dims.opt, dims.max]
    assert profile_ranges(step.spec) == {}


def test_unknown_graph_is_named(runnable_bundle):
    with pytest.raises(BundleError, match=r"no graph gpt_leap; it has .*gpt_step"):
        trt_graphs(runnable_bundle, ("gpt_leap",))
