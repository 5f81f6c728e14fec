"""Engines for the fake device: ONNX Runtime on the CPU, run when the stream gets there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fake_device import FakeStream, view

from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.errors import ShapeError
from sovits_runtime.gpu.device import DeviceArray


class OrtEngine:
    provider = "fake"

    def __init__(self, path: Path, spec: GraphSpec, scratch_bytes: int = 4096) -> None:
        self.spec = spec
        self.scratch_bytes = scratch_bytes
        self.session = open_session(path, spec, options=SessionOptions(threads=1))
        self.runs = 0
        self.shapes: dict[object, dict[str, tuple[int, ...]]] = {}

    def context(self, scratch: DeviceArray) -> OrtContext:
        assert scratch.nbytes >= self.scratch_bytes
        return OrtContext(self, scratch)


class OrtContext:
    def __init__(self, engine: OrtEngine, scratch: DeviceArray) -> None:
        self.engine = engine
        self.scratch = scratch
        self.arrays: dict[str, DeviceArray] = {}

    def bind(self, arrays: dict[str, DeviceArray]) -> None:
        spec = self.engine.spec
        for name, array in arrays.items():
            t = spec.tensor(name)
            sizes = [d if isinstance(d, int) else None for d in t.shape]
            fits = len(sizes) == len(array.shape) and all(
                want in (None, got) for want, got in zip(sizes, array.shape, strict=True)
            )
            if not fits or array.dtype != t.dtype:
                raise ShapeError(f"{spec.name} {name}: {t.dtype}{t.shape}, bound {array.dtype}{array.shape}")
        self.arrays = {**self.arrays, **arrays}

    def output_shapes(self, inputs: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        spec = self.engine.spec
        key = tuple(sorted(inputs.items()))
        if key not in self.engine.shapes:
            zeros = {name: np.zeros(shape, spec.tensor(name).dtype) for name, shape in inputs.items()}
            self.engine.shapes[key] = {
                name: value.shape for name, value in self.engine.session.run(zeros).items()
            }
        return self.engine.shapes[key]

    def enqueue(self, stream: FakeStream) -> None:
        spec, arrays = self.engine.spec, dict(self.arrays)
        assert set(arrays) == {*spec.input_names, *spec.output_names}
        for source, target in spec.aliases:
            assert arrays[source].address == arrays[target].address, "a cache must be updated in place"

        def work() -> None:
            view(self.scratch)[...] = np.random.default_rng(self.engine.runs).integers(
                0, 256, self.scratch.nbytes
            )
            outputs = self.engine.session.run({n: view(arrays[n]).copy() for n in spec.input_names})
            self.engine.runs += 1
            for name, value in outputs.items():
                target = view(arrays[name])
                assert target.shape == value.shape, (name, target.shape, value.shape)
                target[...] = value

        stream.push(work)
