"""The fake device, and engines for it: ONNX Runtime on the CPU behind streams."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny(tiny_bundle):
    """The tiny voice, opened as a bundle."""
    from sovits_runtime.bundle import Bundle

    return Bundle.open(tiny_bundle)


@pytest.fixture(scope="session")
def gpt_models(tiny, tmp_path_factory):
    """The copies of the GPT's graphs that TensorRT gets, by engine name: file beside the weights, and spec."""
    import onnx

    from sovits_engines.engine_graph import trt_graphs

    folder = tmp_path_factory.mktemp("gpt")
    shutil.copy(tiny.graph_path("gpt_step").with_name("gpt.weights"), folder)
    made = {}
    for graph in trt_graphs(tiny, ("gpt_prefill", "gpt_step"), cache_sizes=(64, 96, 256), rows=True):
        onnx.save(graph.model(), folder / f"{graph.name}.onnx")
        made[graph.name] = (folder / f"{graph.name}.onnx", graph.spec)
    return made


@pytest.fixture(scope="session")
def gpt_engines(gpt_models):
    """GPT engines with three short cache lengths, on ONNX Runtime's CPU provider."""
    from fake_engine import OrtEngine

    from sovits_runtime.t2s.device_slot import GptEngines
    from sovits_runtime.t2s.device_step import BATCH_SIZES

    made = {name: OrtEngine(*model) for name, model in gpt_models.items()}
    prefill = made.pop("gpt_prefill")
    batch = tuple(made.pop(name) for name in list(made) if "rows" in name)
    return GptEngines(prefill, tuple(made.values()), dict.fromkeys(BATCH_SIZES, batch))


@pytest.fixture
def device():
    """A GPU that is not there."""
    from fake_device import FakeDevice

    return FakeDevice(3)


@pytest.fixture
def ort(device, monkeypatch):
    """An ONNX Runtime with CUDA, where a GPU is asked for."""
    from fake_ort import FakeOrt, use

    from sovits_runtime.backends import onnxruntime_cuda

    fake = FakeOrt(device)
    use(fake, monkeypatch)
    monkeypatch.setitem(onnxruntime_cuda.OrtCudaVoice.__init__.__kwdefaults__, "cache_lengths", (64, 96, 256))
    return fake


@pytest.fixture
def world(monkeypatch):
    """A GPU and a TensorRT that are not there."""
    from fake_device import FakeDevice
    from fake_trt import GPU, FakeTrt, fake_api

    from sovits_runtime.backends import tensorrt
    from sovits_runtime.errors import BackendError

    device = FakeDevice(3)
    trt = FakeTrt(device)

    def load(flavour):
        if flavour == "rtx":
            raise BackendError("TensorRT for RTX is not installed")
        return fake_api(trt)

    monkeypatch.setattr(tensorrt, "open_gpu", lambda: tensorrt.Gpu(device, GPU, (8, 9)))
    monkeypatch.setattr(tensorrt.TensorRtVoice.__init__, "__kwdefaults__", {"gpu": None, "load": load})
    return trt


@pytest.fixture(scope="session")
def voice(graph_voice):
    """The tiny voice on the CPU, on ONNX Runtime alone, as which the stand-ins for GPUs compute too."""
    return graph_voice
