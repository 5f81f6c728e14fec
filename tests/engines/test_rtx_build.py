"""Real engines by TensorRT for RTX, which needs no GPU to build them."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed", exc_type=ImportError)

from sovits_engines.build import build_engines
from sovits_engines.device import Driver
from sovits_engines.targets import build_targets
from sovits_engines.trt_builder import BuildOptions, EngineRefused, build_engine
from sovits_engines.trt_graph import trt_graphs
from sovits_runtime.engine_store import read_plan
from sovits_runtime.errors import BackendError

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
        assert result.record.ingredients["capability"] == "sm89"
    assert first[1].record.built["layers"]["KV_CACHE_UPDATE"]
    assert any("building engine" in what for what, _, _ in seen)
    assert [done for _, done, _ in seen[:-1]] == sorted(done for _, done, _ in seen[:-1])


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
    api = target.api
    with pytest.raises(BackendError, match="needs an NVIDIA GPU"):
        api.runtime(api.log_collector(), driver_problem=lambda: "no NVIDIA driver is installed")
