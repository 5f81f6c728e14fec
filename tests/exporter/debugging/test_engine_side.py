"""`engine debug` with a GPU and a TensorRT that are not there: what is built, how it is run, what is found."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from fake_device import FakeDevice
from fake_trt import GPU, TARGET, FakeTrt, fake_api
from onnx import numpy_helper
from planting import louder

from sovits_engines.cuda.driver import Driver, Gpu
from sovits_engines.targets import BuildTarget
from sovits_exporter.cli.main import main
from sovits_exporter.debugging import engine_side
from sovits_exporter.debugging.engine_side import Bench
from sovits_exporter.precision.keep import read_keep
from sovits_runtime.backends import tensorrt
from sovits_runtime.bundle import Bundle

LINEAR1 = "t2s.h.layers.1.linear1.weight"


class Builder:
    """Builds "engines" that ONNX Runtime runs; `spoil` may change the graph first, as a faulty kernel would.

    Attributes:
        marked: Of each engine, how many outputs it has beyond those of the graph.
    """

    def __init__(self, folder, spoil):
        self.folder, self.spoil, self.marked = folder, spoil, []

    def __call__(self, api, model, *, path, spec, capability, options):
        assert capability == (8, 9)
        assert not options.captured
        own = Bundle.open(path.parents[1]).graph_spec(path.stem)
        self.marked.append(len(spec.outputs) - len(own.outputs))
        folder = self.folder / str(len(self.marked))
        folder.mkdir()
        for weights in path.parent.glob("*.weights"):
            shutil.copy(weights, folder)
        self.spoil(model, folder, self.marked[-1])
        onnx.save(model, folder / "engine.onnx")
        plan = {
            "onnx": str(folder / "engine.onnx"),
            "spec": spec.to_json(),
            "generation": 1,
            "refittable": False,
        }
        return SimpleNamespace(plan=json.dumps(plan).encode())


def wrong_layer(name):
    def spoil(model, folder, marked):
        tensor = next(t for t in model.graph.initializer if t.name == name)
        numbers = numpy_helper.to_array(tensor, str(folder))
        numbers = louder(3.0)(numbers).astype(numbers.dtype)
        tensor.CopyFrom(numpy_helper.from_array(numbers, name))

    return spoil


def nothing(model, folder, marked):
    pass


@pytest.fixture
def on_gpu(tmp_path, monkeypatch):
    """Runs `engine debug` where there is a GPU; gives the builder and what was printed."""

    def run(*arguments, spoil=nothing):
        device, builder = FakeDevice(5), Builder(tmp_path / "engines", spoil)
        builder.folder.mkdir(exist_ok=True)
        target = BuildTarget(fake_api(FakeTrt(device)), TARGET)
        bench = Bench(target, tensorrt.Gpu(device, GPU, (8, 9)))
        monkeypatch.setattr(engine_side.Bench, "open", lambda flavour: bench)
        monkeypatch.setattr(engine_side.EngineSide.__init__, "__kwdefaults__", {"build": builder})
        driver = Driver("libcuda.so.1", "", (12, 9), "575.51", (Gpu(GPU, (8, 9), 1),))
        monkeypatch.setattr("sovits_engines.cuda.driver.probe_driver_apart", lambda: driver)
        result = CliRunner().invoke(main, ["engine", "debug", *map(str, arguments)])
        assert device.used == 0, "memory was not given back"
        return builder, result

    return run


@pytest.mark.parametrize("graph", ["gpt_step", "gpt_prefill", "sovits_flow"])
def test_a_sound_engine_is_within_the_limits(pair, on_gpu, graph):
    """The prefill without its caches, the step with caches of an engine's length, updated in place."""
    builder, result = on_gpu(pair / "half", graph)
    assert result.exit_code == 0, result.output
    assert f"graph {graph}: all " in result.output
    assert builder.marked[0] >= 20
    assert builder.marked[1:] == [0], "looked at once more with nothing marked"


def test_an_fp32_engine_is_compared_digit_by_digit(pair, on_gpu):
    _, result = on_gpu(pair / "voice", "gpt_step", "--limit", "1e-4")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("graph", ["gpt_step", "gpt_prefill"])
def test_a_wrong_layer_is_named(pair, on_gpu, graph):
    _, result = on_gpu(pair / "half", graph, spoil=wrong_layer(LINEAR1))
    assert result.exit_code == 3
    assert f"graph {graph}: first wrong in Gemm" in result.stderr
    assert f"({LINEAR1}" in result.stderr


def test_a_fault_that_marking_hides_is_found_one_layer_at_a_time(pair, on_gpu):
    """A fused kernel is wrong: where more than one value is marked, nothing is fused."""
    fused = wrong_layer(LINEAR1)
    builder, result = on_gpu(
        pair / "half",
        "gpt_step",
        "--json",
        spoil=lambda model, folder, marked: fused(model, folder, marked) if marked < 2 else None,
    )
    assert result.exit_code == 3
    (found,) = json.loads(result.stdout)
    assert LINEAR1 in found["first"]["weights"]
    assert all(layer["passed"] for layer in found["layers"])
    assert "marked layers are not fused" in found["note"]
    assert builder.marked[1] == 0
    assert set(builder.marked[2:]) == {1}
    assert len(builder.marked) <= 2 + 7


def test_what_the_gpu_gets_wrong_in_half_is_kept_in_fp32(pair, on_gpu, tmp_path):
    """A GPU whose FP16 kernel of one layer is wrong, and whose FP32 kernel is right."""
    fault = wrong_layer(LINEAR1)

    def spoil(model, folder, marked):
        tensor = next(t for t in model.graph.initializer if t.name == LINEAR1)
        if tensor.data_type == onnx.TensorProto.FLOAT16:
            fault(model, folder, marked)

    _, result = on_gpu(pair / "half", "gpt_step", "--keep", tmp_path / "keep.json", spoil=spoil)
    assert result.exit_code == 3
    kept = read_keep(tmp_path / "keep.json", Bundle.open(pair / "voice"))
    assert [n.op for n in kept["gpt_step"]] == ["Gemm"]
    assert "1 parts; sovits-export convert" in result.output


def test_a_cpu_that_is_asked_for_is_taken(pair, on_gpu):
    builder, result = on_gpu(pair / "half", "prompt_tokens", "--rounded")
    assert result.exit_code == 0
    assert not builder.marked


def test_the_real_builder_takes_marked_graphs(pair, tmp_path):
    """TensorRT for RTX needs no GPU to build; that it gives what is marked is in the engine's inputs and outputs."""
    pytest.importorskip(
        "tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed", exc_type=ImportError
    )
    import onnx_ir as ir

    from sovits_calibration.recorded import recorded_feeds
    from sovits_engines.passes.expose_outputs import expose_outputs
    from sovits_engines.targets import build_targets
    from sovits_exporter.debugging.engine_side import EngineGraph, EngineSide, _spec_of
    from sovits_exporter.debugging.layers import layers_of

    (target,) = build_targets(["sm89"], driver=Driver(problem="none"))
    bundle = Bundle.open(pair / "half")
    runs = recorded_feeds(Bundle.open(pair / "voice"), ["gpt_step"])["gpt_step"]
    path, graph = bundle.graph_path("gpt_step"), EngineGraph.of(bundle, "gpt_step", runs)
    model = graph.change(ir.load(path))
    names = [layer.name for layer in layers_of(model, model)]
    expose_outputs(model, values=names)
    spec = _spec_of(model, graph.spec)
    assert set(names) <= set(spec.output_names)
    side = EngineSide(Bench(target, None), graph, path)
    assert len(side._plan(model, spec)) > 100_000
    assert {np.dtype(t.dtype) for t in spec.outputs} >= {np.dtype("float16")}
