"""Refitting, against a TensorRT that is not there: what is refused, and what an engine takes.

No engine was refitted for real here: that takes a GPU.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import onnx
import pytest

from sovits_engines.build import build_engines
from sovits_engines.engine_graph import trt_graphs
from sovits_engines.refit import refitted_plan, require_refit, weights_signature
from sovits_engines.targets import BuildTarget
from sovits_runtime.backends.trt_api import ENTERPRISE, TrtApi
from sovits_runtime.bundle.engine_store import EngineTarget
from sovits_runtime.errors import BackendError
from sovits_runtime.gpu import driver


class Engine(SimpleNamespace):
    refittable = True

    def create_serialization_config(self):
        return SimpleNamespace(flags=[], set_flag=lambda flag: self.log.append(flag))

    def serialize_with_config(self, config):
        return b"refitted plan"


@pytest.fixture
def world(fake_api, monkeypatch):
    """A TensorRT 11.4 that refits what it is given, and what happened to it."""
    log: list[str] = []
    state = SimpleNamespace(log=log, engine=Engine(log=log), taken=True, missing=[], refitted=True)
    module = SimpleNamespace(**vars(fake_api.module))
    module.BuilderFlag = SimpleNamespace(TF32=0, REFIT=2)
    module.SerializationFlag = SimpleNamespace(INCLUDE_REFIT="INCLUDE_REFIT")
    module.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: state.engine)
    module.Refitter = lambda engine, logger: SimpleNamespace(
        get_missing_weights=lambda: state.missing,
        refit_cuda_engine=lambda: log.append("refitted") or state.refitted,
    )
    module.OnnxParserRefitter = lambda refitter, logger: SimpleNamespace(
        refit_from_bytes=lambda model, path: log.append("weights") or state.taken
    )
    monkeypatch.setattr(driver, "driver_problem", lambda *_, **__: "")
    state.api = TrtApi(ENTERPRISE, module, "11.4.0.106", 12)
    return state


@pytest.fixture
def record(world, engine_bundle):
    target = BuildTarget(world.api, EngineTarget(ENTERPRISE, "11.4.0.106", 12, (9, 0), "NVIDIA H200"))
    return build_engines(engine_bundle, [target], graphs=("prompt_tokens",), refittable=True)[0].record


@pytest.fixture
def voice(engine_bundle):
    return trt_graphs(engine_bundle, ("prompt_tokens",))[0]


def refit(world, record, voice):
    return refitted_plan(world.api, record, voice.model(), path=voice.path)


def test_engine_comes_out_refittable(world, record, voice):
    assert bytes(refit(world, record, voice)) == b"refitted plan"
    assert world.log == ["weights", "refitted", "INCLUDE_REFIT"]
    assert record.key_fields["flags"][-1] == "REFIT"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"missing": ["a.bias", "b.bias"]}, "did not refit it .no values for a.bias, b.bias"),
        ({"taken": False}, "did not refit it .no reason given"),
        ({"refitted": False}, "did not refit it"),
        ({"engine": None}, "cannot refit it"),
        ({"engine": SimpleNamespace(refittable=False)}, "built without --refittable"),
    ],
)
def test_what_goes_wrong_is_told(world, record, voice, change, told):
    vars(world).update(change)
    with pytest.raises(BackendError, match=told):
        refit(world, record, voice)


def test_other_architectures_are_refused(world, record, engine_bundle):
    other = trt_graphs(engine_bundle, ("sovits_vocoder",))[0]
    with pytest.raises(
        BackendError, match=r"sovits_vocoder.onnx: differs from the graph .* more than its weights"
    ):
        refit(world, record, other)


def test_signature_knows_everything_but_the_values_of_weights(voice):
    def signature(model):
        return weights_signature(model, voice.path.parent)

    def number(model, kind):
        return next(t for t in model.graph.initializer if t.data_type == kind and t.raw_data)

    model, same = voice.model(), voice.model()
    floats = number(same, onnx.TensorProto.FLOAT)
    floats.raw_data = bytes(len(floats.raw_data))
    assert signature(same) == signature(model)
    integers = number(same, onnx.TensorProto.INT64)
    for change in (
        lambda m: setattr(m.graph.initializer[0], "name", "another"),
        lambda m: m.graph.initializer[0].dims.append(1),
        lambda m: m.graph.node.pop(),
        lambda m: setattr(number(m, onnx.TensorProto.INT64), "raw_data", b"\x7f" * len(integers.raw_data)),
    ):
        other = voice.model()
        change(other)
        assert signature(other) != signature(model)


def test_rtx_without_a_driver_and_the_broken_version_are_refused(
    fake_target, engine_bundle, world, monkeypatch
):
    monkeypatch.setattr(driver, "driver_problem", lambda *_, **__: "no NVIDIA driver is installed")
    with pytest.raises(
        BackendError, match=r"RTX .* only on a machine with a GPU: no NVIDIA driver is installed"
    ):
        build_engines(engine_bundle, [fake_target], graphs=("prompt_tokens",), refittable=True)
    with pytest.raises(BackendError, match=r"may lose biases .*11\.3"):
        require_refit(dataclasses.replace(world.api, version="11.3.0.14"))


def test_no_driver_is_told_before_anything_is_loaded(world, record, voice, monkeypatch):
    monkeypatch.setattr(driver, "driver_problem", lambda *_, **__: "no NVIDIA driver is installed")
    with pytest.raises(BackendError, match="needs an NVIDIA GPU to run engines: no NVIDIA driver"):
        refit(world, record, voice)
