"""The copies that TensorRT gets compute what the graphs do."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from sovits_engines.engine_graph import trt_graphs
from sovits_engines.profile import profile_ranges
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import BATCH_STEPS, HISTORY, NOISE_ROWS

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


@pytest.mark.parametrize("options", [{}, {"decompose_all": True}, {"convolve": True}])
@pytest.mark.parametrize("count", [1, 3, 32])
def test_rows_of_a_step_have_the_values_of_each_alone(runnable_bundle, count, options):
    engine = trt_graphs(runnable_bundle, ("gpt_step",), cache_sizes=(64,), rows=True)[-1]
    spec = runnable_bundle.graph_spec("gpt_step")
    rows = [feeds(spec, seed) | {"step": np.array([12 + seed % 9])} for seed in range(count)]
    together = {name: np.concatenate([row[name] for row in rows]) for name in spec.input_names}
    together |= {
        "noise_block": np.repeat(together["noise"][:, None], BATCH_STEPS, axis=1),
        "noise_place": BATCH_STEPS * np.arange(count),
        "last": np.full(count, 1000),
        "stopped": np.zeros(count, bool),
        "history": np.zeros((count, BATCH_STEPS), np.int64),
    }
    got = run_copy(engine, together, **options)
    assert (engine.name, engine.graph, engine.cache_size) == ("gpt_step-rows-64", "gpt_step", 64)
    assert engine.spec.aliases == spec.aliases
    for i, row in enumerate(rows):
        alone = run(engine.path, spec, row)
        for name in set(spec.output_names) & set(engine.spec.output_names):
            np.testing.assert_allclose(alone[name][0], got[name][i], atol=1e-4)
        said = -1 if alone["stop"][0] else alone["next_token"][0]
        assert got["next_history"][i, row["step"][0] % BATCH_STEPS] == said


def test_a_step_for_rows_has_one_profile_from_1_to_32_rows(runnable_bundle):
    alone, rows = trt_graphs(runnable_bundle, ("gpt_step",), cache_sizes=(512,), rows=True)
    assert profile_ranges(alone.spec) == {}
    ranges = profile_ranges(rows.spec)
    assert set(ranges) == set(rows.spec.input_names)
    assert ranges["token"] == ((1,), (8,), (32,))
    assert [corner[0] for corner in ranges["k_cache_0"]] == [1, 8, 32]
    assert {corner[2] for corner in ranges["k_cache_0"]} == {512}


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
