"""A TensorRT runtime for the fake device: its plans name ONNX graphs, which ONNX Runtime runs behind addresses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from fake_device import FakeDevice, view
from fake_engine import OrtEngine

from sovits_runtime.backends.trt_api import TrtApi
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import FORM, EngineRecord, EngineTarget, engine_key
from sovits_runtime.bundle.files import file_record
from sovits_runtime.bundle.graph_spec import GraphSpec

VERSION = "10.16.1.11"
GPU = "Fake GPU"
TARGET = EngineTarget("trt", VERSION, 12, (8, 9), GPU)
SCRATCH = 1 << 16


class FakeTrt:
    """The module. Plans made for another `generation` do not load."""

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    SerializationFlag = SimpleNamespace(INCLUDE_REFIT="INCLUDE_REFIT")
    ExecutionContextAllocationStrategy = SimpleNamespace(STATIC=0, ON_PROFILE_CHANGE=1, USER_MANAGED=2)

    def __init__(self, device: FakeDevice, generation: int = 1) -> None:
        self.device = device
        self.generation = generation
        self.refuses_to_run = False
        self.refits_nothing = False
        self.loses = ""

    def Runtime(self, logger: Any) -> Any:  # noqa: N802 - TensorRT's name
        def deserialize(plan: bytes) -> Any:
            content = json.loads(plan)
            if content["generation"] != self.generation:
                logger.log(self.ILogger.ERROR, "Error Code 6: version tag does not match")
                return None
            return _Engine(self, content, logger)

        return SimpleNamespace(deserialize_cuda_engine=deserialize)

    def Refitter(self, engine: _Engine, logger: Any) -> Any:  # noqa: N802
        return SimpleNamespace(
            engine=engine, get_missing_weights=list, refit_cuda_engine=lambda: True, weights=None
        )

    def OnnxParserRefitter(self, refitter: Any, logger: Any) -> Any:  # noqa: N802
        """Writes the graph beside its weights and lets the engine name that one."""

        def refit(model: bytes, path: str) -> bool:
            engine = refitter.engine
            file = Path(path).with_name(f"refitted-{engine.content['spec']['name']}-{len(model)}.onnx")
            file.write_bytes(self._without(model) if self.loses else model)
            if not self.refits_nothing:
                engine.content = {**engine.content, "onnx": str(file)}
            return True

        return SimpleNamespace(refit_from_bytes=refit)

    def _without(self, model: bytes) -> bytes:
        """The graph with zeros for the first weight whose name ends like `loses`."""
        changed = onnx.load_from_string(model)
        tensor = next((t for t in changed.graph.initializer if t.name.endswith(self.loses)), None)
        if tensor is not None:
            zeros = np.zeros(tuple(tensor.dims), np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
        return changed.SerializeToString()


class _Engine:
    device_memory_size_v2 = SCRATCH

    def __init__(self, trt: FakeTrt, content: dict[str, Any], logger: Any) -> None:
        self.trt, self.logger, self.content = trt, logger, content
        self.refittable = content["refittable"]
        spec = GraphSpec.from_json(content["spec"])
        self.ort = OrtEngine(Path(content["onnx"]), spec)
        self.names = [*self.ort.spec.input_names, *self.ort.spec.output_names]
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def create_serialization_config(self) -> Any:
        return SimpleNamespace(set_flag=lambda flag: None)

    def serialize_with_config(self, config: Any) -> bytes:
        return json.dumps(self.content).encode()

    def create_execution_context(self, strategy: int) -> _Context:
        assert strategy == FakeTrt.ExecutionContextAllocationStrategy.USER_MANAGED
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.device = engine.trt.device
        self.scratch = 0
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0
        assert size >= SCRATCH
        self.scratch = memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        spec = self.engine.ort.spec
        ranges = spec.dim_ranges
        for size, dim in zip(shape, spec.tensor(name).shape, strict=True):
            low, high = (dim, dim) if isinstance(dim, int) else (ranges[dim].min, ranges[dim].max)
            if not low <= size <= high:
                problem = f"{name}: {size} is not in [{low}, {high}]"
                self.engine.logger.log(FakeTrt.ILogger.ERROR, problem)
                return False
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        probe = self.engine.ort.context(SimpleNamespace(nbytes=SCRATCH))
        inputs = {n: self.shapes[n] for n in self.engine.ort.spec.input_names}
        return probe.output_shapes(inputs)[name]

    def execute_async_v3(self, handle: int) -> bool:
        if self.engine.trt.refuses_to_run:
            self.engine.logger.log(FakeTrt.ILogger.ERROR, "enqueueV3: addresses are missing")
            return False
        spec = self.engine.ort.spec
        stream = next(s for s in self.device.streams if s.handle == handle)
        places = dict(self.addresses)
        inputs = {
            n: self.device.at(places[n], self.shapes[n], spec.tensor(n).dtype) for n in spec.input_names
        }

        def work() -> None:
            outputs = self.engine.ort.session.run({n: view(a).copy() for n, a in inputs.items()})
            view(self.device.at(self.scratch, (SCRATCH,), "uint8"))[...] = 0x5A
            for name, value in outputs.items():
                view(self.device.at(places[name], value.shape, value.dtype))[...] = value

        stream.push(work)
        return True


def fake_api(trt: FakeTrt) -> TrtApi:
    return _Api("trt", trt, VERSION, 12)


class _Api(TrtApi):
    def runtime(self, logger: Any, **_: Any) -> Any:
        return self.module.Runtime(logger)


def write_engine(
    bundle: Bundle, target: EngineTarget, name: str, onnx: Path, spec: GraphSpec, **facts: Any
) -> EngineRecord:
    """Puts an engine into the bundle, as `engine build` does; with facts `built`, as a refittable one."""
    folder = bundle.path / "engines" / target.folder
    folder.mkdir(parents=True, exist_ok=True)
    graph = "gpt_step" if name.startswith("gpt_step") else name
    key_fields = {
        **target.key_fields(),
        "graph": bundle.graph_digest(graph),
        "form": FORM,
        "flags": ["REFIT"] if "built" in facts else [],
    }
    plan = folder / f"{name}-{engine_key(key_fields)}.plan"
    plan.write_text(
        json.dumps(
            {
                "onnx": str(onnx),
                "spec": spec.to_json(),
                "generation": facts.get("generation", 1),
                "refittable": "built" in facts,
            }
        ),
        encoding="utf-8",
    )
    record = EngineRecord(
        name=name,
        graph=graph,
        cache_size=int(name.rpartition("-")[2]) if graph == "gpt_step" else 0,
        plan=plan,
        key_fields=key_fields,
        spec=spec,
        built=facts.get("built", {}),
        **file_record(plan),
    )
    plan.with_suffix(".json").write_text(json.dumps(record.to_json()), encoding="utf-8")
    return record
