"""Full-size v2 on the fake device: what the tiny voice cannot show. Slow."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest
from emulated_kernel import Emulated
from fake_device import FakeDevice
from fake_ort import FakeOrt, use

from sovits_runtime.bundle import Bundle
from sovits_runtime.t2s.step_kernel import open_kernel_steps
from sovits_runtime.verify import verify_bundle

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(folder):
    from sovits_exporter.building.build import build
    from sovits_exporter.building.request import BuildRequest
    from sovits_exporter.demo.demo import write_demo_checkpoint

    files = write_demo_checkpoint(folder / "files", version="v2")
    request = BuildRequest(
        gpt=files.gpt, sovits=files.sovits, output=folder / "voice", hubert=files.hubert, verify=False
    )
    built = build(request)
    return Bundle.open(built.path)


def test_onnxruntime_on_cuda_passes_verification(bundle, monkeypatch):
    device = FakeDevice(1)
    use(FakeOrt(device), monkeypatch)
    report = verify_bundle(bundle, device="cuda")
    assert report.provider == "CUDAExecutionProvider"
    assert report.passed, report.failure()
    logits = next(c for c in report.checks if c.name == "teacher-forced logits")
    assert logits.value < 2e-4


def test_the_emulated_kernel_gives_the_logits_of_the_graph(bundle, monkeypatch, tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks" / "gpu"))
    prove_steps = importlib.import_module("steps").prove_steps
    device = FakeDevice(1)
    steps = open_kernel_steps(device, bundle, (512,), Emulated(tmp_path, grid=20))
    found = prove_steps(bundle, device, steps, tokens=5, count=0, repeats=0)
    assert found["logits"] < 1e-5
    assert found["equal_tokens"] == 5
