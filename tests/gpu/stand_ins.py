"""A GPU, a TensorRT and an ONNX Runtime with CUDA that are not there, in the place of real ones for `gpu/report.py`.

The report runs its parts in processes of their own, so what stands in is put in place there: `OnStandIns(name)` is a
part that does so first.
"""

from __future__ import annotations

import functools
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

TOKENS = 24
CACHE_ROWS = (64, 128, 512)
"""Lengths for which there are engines. Verifying takes 512."""


@dataclass(frozen=True)
class OnStandIns:
    """The part of a name, on what stands in for a GPU.

    Attributes:
        name: Of `parts.PARTS`.
        folder: For what stands in for engines.
    """

    name: str
    folder: str

    def __call__(self, run: Any) -> dict[str, Any]:
        import parts

        with pytest.MonkeyPatch.context() as patch:
            put_in_place(patch, Path(self.folder))
            result: dict[str, Any] = parts.PARTS[self.name].run(run)
        return result


def put_in_place(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Replaces what touches a GPU, in this process."""
    import batches
    import convolutions
    import latency
    import part
    import parts
    import parts_together
    import together
    from fake_device import FakeDevice
    from fake_ort import FakeOrt, use

    from sovits_runtime.backends import onnxruntime as backend
    from sovits_runtime.backends import onnxruntime_cuda

    device = FakeDevice(7)
    device.name, device.capability, device.free_bytes = "H200", (9, 0), lambda: (1 << 36, 1 << 37)
    ort, real = FakeOrt(device), backend.import_onnxruntime
    use(ort, patch)
    for module in (onnxruntime_cuda, backend, convolutions):
        patch.setattr(module, "import_onnxruntime", lambda on: ort if on == "cuda" else real(on))
    for module in (part, parts, parts_together):
        for name in ("need_cuda_bindings", "need_nvrtc", "need_ort_cuda"):
            if hasattr(module, name):
                patch.setattr(module, name, lambda: None)
        if hasattr(module, "open_gpu"):
            patch.setattr(module, "open_gpu", lambda: device)
    for name in ("latency", "steps", "together"):
        patch.setattr(sys.modules[name], "TOKENS", TOKENS)
    patch.setattr(latency, "used_bytes", lambda: device.used)
    patch.setattr(sys.modules["steps"], "used_bytes", lambda: device.used)
    patch.setattr(batches, "COUNTS", (1, 8, 32))
    patch.setattr(together, "COUNTS", (1, 2))
    patch.setattr(batches, "TIMED", 12)
    _kernels(patch, device, folder)
    _tensorrt(patch, device, folder)
    _eager(patch)


def _kernels(patch: pytest.MonkeyPatch, device: Any, folder: Path) -> None:
    """Toy kernels as C++; ONNX Runtime's steps in place of the own kernels, which have tests of their own."""
    import onnx
    import part
    import parts
    import parts_together
    import toy_gpt
    from fake_engine import OrtEngine
    from toy_steps import compile_toy, engines

    from sovits_engines.engine_graph import trt_graphs
    from sovits_runtime.backends import onnxruntime_cuda

    def open_steps(device: Any, bundle: Any, lengths: Any, make: Any) -> tuple[Any, ...]:
        steps = []
        for graph in trt_graphs(bundle, ("gpt_step",), cache_sizes=tuple(lengths)):
            place = folder / "kernels"
            place.mkdir(exist_ok=True)
            shutil.copy(graph.path.with_name("gpt.weights"), place)
            onnx.save(graph.model(), place / f"{graph.name}.onnx")
            steps.append(OrtEngine(place / f"{graph.name}.onnx", graph.spec))
            steps[-1].shared = SimpleNamespace(weight_bytes=1)
        return tuple(steps)

    for module in (part, onnxruntime_cuda):
        patch.setattr(module, "open_kernel_steps", open_steps)
        patch.setattr(module, "cuda_kernels", lambda *_: None)
    toy = functools.cache(lambda: compile_toy(toy_gpt, folder))
    patch.setattr(parts, "toy_engines", lambda device, lengths: engines(toy_gpt, toy(), lengths))
    launch = functools.partial(fenced, blocks=4)
    patch.setattr(parts_together, "cuda_launch", lambda device: (launch, 4))


def fenced(stream: Any, arrays: Any, rounds: int, *, blocks: int, wrong: int = 0) -> None:
    """What a launch of the fences leaves behind."""
    from fake_device import view

    def work() -> None:
        arrivals, _, bad = map(view, arrays)
        arrivals[0] += 2 * rounds * blocks
        bad[0] += wrong

    stream.push(work)


def _tensorrt(patch: pytest.MonkeyPatch, device: Any, folder: Path) -> None:
    """Engines that ONNX Runtime runs."""
    import onnx
    import parts_together
    from fake_trt import TARGET, FakeTrt, fake_api, write_engine

    from sovits_engines import build, targets
    from sovits_engines.engine_graph import trt_graphs
    from sovits_exporter.debugging import engine_side
    from sovits_runtime.backends import tensorrt
    from sovits_runtime.errors import BackendError

    trt = FakeTrt(device)
    target = replace(TARGET, capability=(9, 0), device="H200")
    made_for = targets.BuildTarget(fake_api(trt), target)
    gpu = tensorrt.Gpu(device, "H200", (9, 0))

    def load(flavour: str) -> Any:
        if flavour == "rtx":
            raise BackendError("TensorRT for RTX is not installed")
        return fake_api(trt)

    def choose(names: Any = (), *, flavour: str | None = None, driver: Any = None) -> list[Any]:
        if flavour == "rtx":
            raise BackendError("TensorRT for RTX is not installed; pip install 'sovits-export[rtx]'")
        return [made_for]

    def build_engines(
        bundle: Any, targets: Any, *, graphs: Any, cache_sizes: Any, rows: bool = False
    ) -> list[Any]:
        results = []
        names = tuple(
            name for name in graphs if name.startswith("gpt")
        )  # others are slow at their largest sizes
        for graph in trt_graphs(bundle, names, cache_sizes=cache_sizes, rows=rows):
            place = folder / "engines" / graph.name
            place.mkdir(parents=True, exist_ok=True)
            for weights in graph.path.parent.glob("*.weights"):
                shutil.copy(weights, place)
            onnx.save(graph.model(), place / "engine.onnx")
            record = write_engine(bundle, target, graph.name, place / "engine.onnx", graph.spec)
            results.append(SimpleNamespace(record=record, built=True, seconds=0.5))
        return results

    patch.setattr(tensorrt, "open_gpu", lambda: gpu)
    patch.setattr(engine_side, "open_gpu", lambda: gpu)
    patch.setitem(tensorrt.TensorRtVoice.__init__.__kwdefaults__, "load", load)
    patch.setattr(targets, "build_targets", choose)
    patch.setattr(build, "build_engines", build_engines)
    patch.setattr(parts_together, "build_targets", choose)
    patch.setattr(parts_together, "build_engines", build_engines)


def _eager(patch: pytest.MonkeyPatch) -> None:
    """PyTorch on the CPU."""
    import latency
    import parts

    def eager(run: Any, *, half: bool, compiled: bool = False) -> dict[str, Any]:
        pair = run.need_checkpoints()
        return latency.latency_of_eager(pair, half=half, compiled=False, repeats=1, device="cpu")

    patch.setattr(parts, "_eager", eager)
    patch.setitem(sys.modules, "triton", SimpleNamespace())  # what `torch.compile` would need
