"""Real engines by TensorRT for RTX, which needs no GPU to build them."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed", exc_type=ImportError)

from sovits_engines.build import build_engines
from sovits_engines.builder import NO_FUSED_KERNEL, BuildOptions, EngineRefused, build_engine
from sovits_engines.cuda.driver import Driver
from sovits_engines.engine_graph import trt_graphs
from sovits_engines.passes.attention import has_fused_kernel
from sovits_engines.targets import build_targets
from sovits_runtime.bundle.engine_store import read_plan
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BackendError

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16

GRAPHS = ("gpt_prefill", "gpt_step", "sovits_vocoder")


@pytest.fixture(scope="module")
def target():
    (target,) = build_targets(["sm89"], driver=Driver(problem="none"))
    return target


def test_tiny_engines_build_once(engine_bundle, target):
    seen = []
    first = build_engines(
        engine_bundle, [target], graphs=GRAPHS, cache_sizes=(64,), progress=lambda *step: seen.append(step)
    )
    again = build_engines(engine_bundle, [target], graphs=GRAPHS, cache_sizes=(64,))
    assert [r.built for r in first + again] == [True] * 3 + [False] * 3
    for result in first:
        assert len(read_plan(result.record)) > 100_000
        assert set(
            result.record.built["layers"]["MATRIX_MULTIPLY" if "gpt" in result.record.name else "CONVOLUTION"]
        )
        assert result.record.key_fields["capability"] == "sm89"
    assert first[1].record.built["layers"]["KV_CACHE_UPDATE"]
    assert any("building engine" in what for what, _, _ in seen)
    assert [done for _, done, _ in seen[:-1]] == sorted(done for _, done, _ in seen[:-1])


@pytest.mark.parametrize("sm", ["sm75", "sm86", "sm89", "sm120"])
def test_tiny_steps_for_rows_build_with_caches_in_place(engine_bundle, sm):
    """One engine a cache length, for 1 to 32 rows."""
    (target,) = build_targets([sm], driver=Driver(problem="none"))
    steps = ("gpt_step",)
    alone, rows = build_engines(engine_bundle, [target], graphs=steps, cache_sizes=(64,), rows=True)
    assert [alone.record.name, rows.record.name] == ["gpt_step-64", "gpt_step-rows-64"]
    assert rows.record.key_fields["profile"]["token"] == [[1], [8], [32]]
    for result in (alone, rows):
        assert result.record.built["layers"]["KV_CACHE_UPDATE"]
        assert not result.record.built["fused_attention_refused"]
    again = build_engines(engine_bundle, [target], graphs=steps, cache_sizes=(64,), rows=True)
    assert not any(result.built for result in again)


def test_refused_graph_names_its_node(engine_bundle, target):
    (engine,) = trt_graphs(engine_bundle, ("prompt_tokens",))
    model = engine.model()
    node = next(n for n in model.graph.node if n.op_type == "ReduceSum")
    node.op_type, node.name = "Bernoulli", "culprit"
    with pytest.raises(
        EngineRefused, match=r"prompt_tokens: TensorRT for RTX .* cannot read it: Bernoulli culprit: "
    ):
        build_engine(
            target.api,
            model,
            path=engine.path,
            spec=engine.spec,
            capability=(8, 9),
            options=BuildOptions(),
        )


def test_running_needs_a_driver_and_says_so(target):
    def absent(name):
        raise OSError(name)

    api = target.api
    with pytest.raises(BackendError, match="needs an NVIDIA GPU"):
        api.runtime(api.log_collector(), load=absent)


@pytest.mark.parametrize("capability", [(7, 5), (8, 9), (12, 0)])
@pytest.mark.parametrize(
    ("kind", "heads", "rows", "width"),
    [
        (FLOAT, 4, 1, 32),
        (FLOAT, 3, 1, 32),
        (FLOAT, 4, 2, 32),
        (FLOAT16, 2, 2, 16),
        (FLOAT16, 2, 2, 8),
        (FLOAT16, 4, 1, 8),
        (FLOAT16, 4, 1, 33),
        (FLOAT16, 16, 1, 256),
        (FLOAT16, 16, 2, 264),
    ],
)
def test_fused_attention_is_where_it_is_expected(target, capability, kind, heads, rows, width):
    """What decides whether attention is written out agrees with what TensorRT builds."""
    q, k = (helper.make_tensor_value_info(n, kind, [1, heads, r, width]) for n, r in (("q", rows), ("k", 24)))
    y = helper.make_tensor_value_info("y", kind, [1, heads, rows, width])
    node = helper.make_node("Attention", ["q", "k", "k"], ["y"], name="attend")
    graph = helper.make_graph([node], "g", [q, k], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=11)
    options = {"path": Path("g.onnx"), "spec": GraphSpec("g", (), ()), "options": BuildOptions()}
    if has_fused_kernel((1, heads, rows, width), ir.DataType(kind)):
        assert build_engine(target.api, model, capability=capability, **options).plan
    else:
        with pytest.raises(EngineRefused, match=NO_FUSED_KERNEL):
            build_engine(target.api, model, capability=capability, **options)
