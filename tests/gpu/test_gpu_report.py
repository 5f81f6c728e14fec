"""The one script for a GPU, as far as a machine without one can run it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from fake_device import FakeDevice
from fake_ort import FakeOrt, use

from sovits_engines.device import Driver, probe_driver_apart
from sovits_runtime.bench_voice import Voice, first_tokens
from sovits_runtime.bundle import Bundle

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield tuple(map(importlib.import_module, ("gpu_report", "gpu_eager", "gpu_latency", "gpu_steps")))


@pytest.fixture
def report(modules):
    return modules[0]


@pytest.fixture
def latency(modules):
    return modules[2]


def run_of(report, **options):
    return report.Run(
        **{"driver": Driver(), "bundle": None, "checkpoints": None, "repeats": 1, "deadline": 1e12} | options
    )


def test_a_machine_without_a_gpu_is_told_so(tmp_path):
    if probe_driver_apart().gpus:
        pytest.skip("there is a GPU")
    output = tmp_path / "gpu.json"
    command = [sys.executable, str(BENCHMARKS / "gpu_report.py"), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no NVIDIA GPU can be used here (" in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()


def test_a_part_that_fails_leaves_the_others(report):
    def fails(run):
        raise ValueError("broken")

    def lacks(run):
        raise ImportError("No module named 'tensorrt'")

    def skips(run):
        run.need_bundle()

    said = []
    run = run_of(report)
    parts = {"a": fails, "b": lacks, "c": skips, "d": lambda run: {"summary": "fine"}}
    assert report.run_parts(run, parts, said.append) is False
    assert {name: part["status"] for name, part in run.parts.items()} == {
        "a": "failed",
        "b": "skipped",
        "c": "skipped",
        "d": "passed",
    }
    assert run.parts["a"]["reason"] == "ValueError: broken"
    assert "fails" in run.parts["a"]["trace"]
    assert said[1].endswith("not installed: No module named 'tensorrt'")
    assert said[3].split() == ["passed", "d", "fine"]


def test_no_part_is_begun_after_the_limit(report):
    run = run_of(report, deadline=0)
    assert report.run_parts(run, {"late": lambda run: pytest.fail("begun")}, lambda _: None) is True
    assert run.parts["late"]["reason"] == "out of time"


def test_parts_without_a_gpu_fail_or_are_skipped_with_a_reason(report, tiny):
    """All real parts, where there is nothing to run them on: each ends with a reason and none ends the run."""
    if probe_driver_apart().gpus:
        pytest.skip("there is a GPU")
    run = run_of(report, bundle=tiny)
    report.run_parts(run, report.PARTS, lambda _: None)
    assert list(run.parts) == list(report.PARTS)
    assert run.parts["doctor"]["status"] == "passed"
    others = [part for name, part in run.parts.items() if name != "doctor"]
    assert all(part["status"] in ("failed", "skipped") and part["reason"] for part in others)
    assert "no NVIDIA driver" in run.parts["streams and events"]["reason"]


@pytest.mark.gpu
@pytest.mark.parametrize(
    "name",
    [
        "streams and events", "token scheduler, captured", "token scheduler, enqueued", "step kernels",
        "verify on ONNX Runtime CUDA", "verify with step kernels",
    ],
)  # fmt: skip
def test_parts_pass_on_a_gpu(report, tiny, name):
    """With the tiny voice; the whole report is for figures."""
    driver = probe_driver_apart()
    if not driver.gpus:
        pytest.skip("there is no GPU")
    try:
        report.PARTS[name](run_of(report, driver=driver, bundle=tiny))
    except report.Skipped as reason:
        pytest.skip(str(reason))


def test_the_table_shows_figures_and_reasons(latency):
    names = ("tokens", "first_sentence", "utterance")
    found = latency.timings(dict.fromkeys(names, lambda: None), repeats=3, audio_s=6.0)
    text = latency.table(
        {
            "doctor": {"status": "passed"},
            "latency, TensorRT": {"status": "passed", "gpu_bytes": 3 << 20, **found, "tokens_per_s": 2999.6},
            "latency, eager FP32": {"status": "skipped", "reason": "no checkpoints were given"},
        }
    )
    lines = text.splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| TensorRT | 3000 | - | ")
    assert lines[2].endswith("| 3 |")
    assert lines[3] == "| eager FP32 | skipped: no checkpoints were given | | | | |"


def test_our_latency_is_taken_in_all_its_parts(latency, tiny, monkeypatch):
    """The same calls on the CPU, with fewer tokens."""
    monkeypatch.setattr(latency, "TOKENS", 40)
    monkeypatch.setattr(latency, "used_bytes", lambda: 0)
    found = latency.latency_of_bundle(tiny, "onnxruntime", repeats=1, device="cpu")
    assert {"tokens", "first_chunk", "first_sentence", "utterance"} <= set(found)
    assert min(found[name]["median_s"] for name in ("first_chunk", "first_sentence", "utterance")) > 0
    assert len(found["first"]) == 32


def test_steps_are_proved_against_the_cpu(modules, tiny, gpt_engines):
    """ONNX Runtime's steps on the fake device, in place of CUDA kernels."""
    found = modules[3].prove_steps(tiny, FakeDevice(1), gpt_engines.steps, count=60, repeats=1)
    assert found["logits"] < 1e-5
    assert found["equal_tokens"] == 100
    assert min(found["tokens_per_s_captured"], found["tokens_per_s_enqueued"]) > 0


def test_ways_to_convolve_are_timed(report, tiny, monkeypatch):
    """Each with its own options, on ONNX Runtime's CPU in place of CUDA."""
    use(fake := FakeOrt(FakeDevice()), monkeypatch)
    convolutions = importlib.import_module("gpu_convolutions")
    monkeypatch.setattr(convolutions, "import_onnxruntime", lambda _: fake)
    monkeypatch.setattr(report, "_need_ort_cuda", lambda: None)
    part = report.PARTS["vocoder, by convolution"](run_of(report, bundle=tiny))
    assert part["ways"].keys() == convolutions.WAYS.keys()
    assert all(times.keys() == {"36", "300"} and min(times.values()) > 0 for times in part["ways"].values())
    assert part["summary"].startswith("fastest: ")
    settings = [session.settings for session in fake.sessions]
    assert [s.get("prefer_nhwc", "0") for s in settings] == ["0", "0", "1", "0", "0"]
    assert [s["cudnn_conv_algo_search"] for s in settings].count("EXHAUSTIVE") == 1


def test_wrong_steps_are_found(modules, tiny, gpt_engines, monkeypatch):
    session = gpt_engines.steps[-1].session  # of the cache that 100 rows take
    run = session.run

    def louder(feeds):
        made = run(feeds)
        return {**made, "logits": made["logits"] * 1.01}

    monkeypatch.setattr(session, "run", louder)
    with pytest.raises(AssertionError, match=r"logits differ by 1.0e-02 of the largest"):
        modules[3].prove_steps(tiny, FakeDevice(1), gpt_engines.steps, count=40, repeats=1)


@pytest.mark.parametrize("half", [False, True])
def test_the_eager_rival_speaks(modules, demo_files, tiny_bundle, half):
    """On the CPU: in FP32 it draws the bundle's own tokens from the same noise."""
    rival = modules[1].GpuEager(demo_files.gpt, demo_files.sovits, device="cpu", half=half)
    party = Voice(Bundle.open(tiny_bundle), device="cpu", threads=1)
    work = party.workload(12)
    tokens = list(islice(rival.generate(work), 12))
    assert len(tokens) == 12
    if not half:
        assert tokens == first_tokens(party, work)
    samples = rival.speak(work, 12, work.phones)
    assert samples.shape == (12 * 1280,)
    assert np.isfinite(samples).all()
