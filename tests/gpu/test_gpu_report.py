"""The one script for a GPU, as far as a machine without one can run it."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_device import FakeDevice
from fake_ort import FakeOrt, use
from torch.utils._python_dispatch import TorchDispatchMode

from sovits_engines.cuda.driver import Driver, probe_driver_apart
from sovits_runtime.bench.runner import BundleRunner, first_tokens
from sovits_runtime.bundle import Bundle

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "gpu"
STRANGE_PARTS = """
import ctypes, os, subprocess, sys, time
from pathlib import Path
from process import Skipped

def fine(run):
    return {"summary": "fine"}

def fails(run):
    raise ValueError("broken")

def lacks(run):
    import no_such_module

def is_broken(run):
    import sovits_no_such_module

def skips(run):
    raise Skipped("no bundle was given")

def is_no_json(run):
    return {"value": object()}

def crashes(run):
    ctypes.string_at(0)

def leaves(run):
    os._exit(7)

def hangs(run):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(run, "child").write_text(str(child.pid))
    time.sleep(600)
"""
FAKE_REPORT = """
import report, strange_parts
from sovits_engines.cuda.driver import Driver, Gpu

if __name__ == "__main__":
    report.probe_driver_apart = lambda: Driver("libcuda.so.1", "", (12, 9), "575.51", (Gpu("H200", (9, 0), 1),))
    report.Run = lambda *_: "."
    report.PARTS = {
        "first": report.Part(strange_parts.fine, 30), "second": report.Part(strange_parts.hangs, 60)
    }
    report.main()
"""


@pytest.fixture(scope="module")
def modules():
    names = (
        "report",
        "part",
        "parts",
        "process",
        "latency",
        "steps",
        "eager",
        "table",
        "conditions",
        "claims",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})


@pytest.fixture
def strange(modules, tmp_path, monkeypatch):
    """Parts that end in every way; in a file, for the processes that run them."""
    (tmp_path / "strange_parts.py").write_text(STRANGE_PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "strange_parts", raising=False)
    return importlib.import_module("strange_parts")


def run_of(modules, **options):
    given = {"driver": Driver(), "bundle": None, "checkpoints": None, "repeats": 1}
    return modules.parts.Run(**given | options)


def outcome(modules, name, run):
    return modules.process._outcome(modules.parts.PARTS[name].run, run)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()


def test_a_machine_without_a_gpu_is_told_so(tmp_path):
    if probe_driver_apart().gpus:
        pytest.skip("there is a GPU")
    output = tmp_path / "gpu.json"
    command = [sys.executable, str(BENCHMARKS / "report.py"), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no NVIDIA GPU can be used here (" in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()


def test_a_part_that_ends_badly_leaves_the_others(modules, strange, tmp_path):
    """Raised, crashed, hung or left: each is told from the others, and what a hung one started is killed too."""
    names = ("fails", "lacks", "is_broken", "skips", "is_no_json", "crashes", "leaves", "hangs", "fine")
    parts = {name: modules.parts.Part(getattr(strange, name), 3 if name == "hangs" else 60) for name in names}
    found, said, written = {}, [], []
    good = modules.report.run_parts(
        str(tmp_path), parts, found, limit_s=300, done=lambda: written.append(len(found)), say=said.append
    )
    assert good is False
    assert {name: (part["status"], part.get("reason", "")) for name, part in found.items()} == {
        "fails": ("failed", "ValueError: broken"),
        "lacks": ("skipped", "not installed: No module named 'no_such_module'"),
        "is_broken": ("failed", "ModuleNotFoundError: No module named 'sovits_no_such_module'"),
        "skips": ("skipped", "no bundle was given"),
        "is_no_json": ("failed", "TypeError: Object of type object is not JSON serializable"),
        "crashes": ("failed", "its process was ended by signal 11 (Segmentation fault)"),
        "leaves": ("failed", "its process ended with exit status 7"),
        "hangs": ("failed", "ran over its limit of 3 s"),
        "fine": ("passed", ""),
    }
    assert "in fails" in found["fails"]["trace"]
    assert len({part["process"] for part in found.values()}) == len(names)
    assert found["hangs"]["seconds"] < 3 + 2 * modules.process.GRACE_S
    assert not is_running(int((tmp_path / "child").read_text()))
    assert written == list(range(1, len(names) + 1))
    assert said[-1].split() == ["passed", "fine", "fine"]


def test_figures_are_taken_in_one_process(modules, strange):
    """Until a part fails there; parts between them have their own."""
    kinds = (
        ("fine", True),
        ("fine", False),
        ("skips", True),
        ("crashes", True),
        ("fine", True),
        ("fine", True),
    )
    parts = {
        f"{i}": modules.parts.Part(getattr(strange, name), 60, together=together)
        for i, (name, together) in enumerate(kinds)
    }
    found = {}
    modules.report.run_parts(None, parts, found, limit_s=300, say=lambda _: None)
    processes = [part["process"] for part in found.values()]
    assert processes[0] == processes[2] == processes[3]
    assert processes[4] == processes[5]
    assert len(set(processes)) == 3


def test_out_of_time_is_not_good(modules, strange):
    found = {}
    parts = {"late": modules.parts.Part(strange.fine, 60)}
    assert modules.report.run_parts(None, parts, found, limit_s=1, say=lambda _: None) is False
    assert (found["late"]["status"], found["late"]["reason"]) == ("not run", "out of time")


def test_a_part_is_skipped_without_the_one_it_needs(modules, strange):
    part = modules.parts.Part
    parts = {"a": part(strange.fails, 60), "b": part(strange.fine, 60, needs="a")}
    found = {}
    modules.report.run_parts(None, parts, found, limit_s=300, say=lambda _: None)
    assert (found["b"]["status"], found["b"]["reason"]) == ("skipped", "needs 'a': failed")
    assert {p.needs for p in modules.parts.PARTS.values()} <= {"", *modules.parts.PARTS}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_report_leaves_what_it_knew(strange, tmp_path, number):
    (tmp_path / "fake_report.py").write_text(FAKE_REPORT)
    environment = {**os.environ, "PYTHONPATH": f"{BENCHMARKS}{os.pathsep}{tmp_path}"}
    report = subprocess.Popen(
        [sys.executable, "fake_report.py", "-o", "made/gpu.json"], cwd=tmp_path, env=environment, stdout=-3
    )
    note, until = tmp_path / "child", time.monotonic() + 60
    try:
        while not (note.exists() and note.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        report.send_signal(number)
        assert report.wait(30) == (1 if number == signal.SIGTERM else -number)
    finally:
        report.kill()
    child = int(note.read_text())
    if number == signal.SIGTERM:
        assert not is_running(child)
    else:  # who is killed so leaves the part to end at its limit
        os.killpg(os.getpgid(child), signal.SIGKILL)
    known = json.loads((tmp_path / "made/gpu.json").read_text())
    assert known["finished"] is False
    assert known["parts"].keys() == {"first"}
    assert known["parts"]["first"]["summary"] == "fine"
    page = (tmp_path / "made/gpu.md").read_text()
    assert page.startswith("**Unfinished**")
    assert "H200; 20" in page
    assert "driver 575.51 for CUDA up to 12.9" in page
    assert "| first | passed |" in page
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == ["gpu.json", "gpu.md"]


def test_parts_without_a_gpu_fail_or_are_skipped_with_a_reason(modules, tiny):
    """All real parts, where there is nothing to run them on."""
    if probe_driver_apart().gpus:
        pytest.skip("there is a GPU")
    run = run_of(modules, bundle=tiny)
    found = {name: outcome(modules, name, run) for name in modules.parts.PARTS if name != "versions"}
    assert found.pop("doctor")["status"] == "passed"
    assert all(part["status"] in ("failed", "skipped") and part["reason"] for part in found.values())
    assert "no NVIDIA driver" in found["streams and events"]["reason"]


def test_what_is_not_installed_is_skipped(modules, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda", None)
    run = run_of(modules, bundle=tiny)
    names = [name for name in modules.parts.PARTS if name not in ("doctor", "versions", "engines")]
    assert {name: outcome(modules, name, run)["status"] for name in names} == dict.fromkeys(names, "skipped")


def test_engines_that_are_built_hold_what_is_verified_and_timed(modules, tiny):
    """FP16 bundles are verified over 500 forced steps."""
    from sovits_exporter.building.golden_steps import STEPS

    request = tiny.golden("request")
    rows = request["phones"].shape[-1] + request["prompt"].shape[-1] + STEPS
    assert modules.parts.CACHE_ROWS[0] < rows <= modules.parts.CACHE_ROWS[-1]
    assert modules.parts.CACHE_ROWS[0] >= 225 + modules.latency.TOKENS


def test_decoding_is_timed_without_prefill_and_first_batch(modules, monkeypatch):
    """On a clock of its own: 2 s of prefill, a first batch of 8 at once after 1 s, then 100 tokens a second."""
    now = [0.0]
    monkeypatch.setattr(modules.latency.time, "perf_counter", lambda: now[0])

    def stream():
        for i in range(59):
            now[0] += 2.0 if i == 0 else 1.0 if i == 1 else 0.0 if i < 9 else 0.01
            yield i

    found = modules.latency.token_figures(stream, repeats=3)
    assert found["prefill"]["median_s"] == pytest.approx(2)
    assert found["tokens"]["median_s"] == pytest.approx(3.5)
    assert found["tokens_per_s"] == pytest.approx(59 / 3.5)
    assert found["decode_tokens_per_s"] == pytest.approx(100)
    assert found["first"] == list(range(32))


def test_every_sentence_of_the_second_series_has_a_new_length(modules):
    spoken, begun = [], []
    modules.latency.speech_figures(
        lambda tokens, phones: spoken.append((tokens, phones)), repeats=10, first_chunk=begun.append
    )
    new = spoken[-10:]
    for i in (0, 1):
        assert len({pair[i] for pair in new}) == 10
        assert {pair[i] for pair in new}.isdisjoint({pair[i] for pair in spoken[:-10]})
    assert len(set(begun[-10:])) == 10
    assert set(begun[-10:]).isdisjoint({*begun[:-10], *(phones for _, phones in spoken)})


def test_the_table_compares_with_eager(modules):
    figures = {"tokens_per_s": 200.4, "gpu_bytes": 3 << 20, "first": [1, 2, 3, 4], "rtf": 0.5}
    spread = {"median_s": 0.02, "min_s": 0.01, "max_s": 0.03}
    ours = {**figures, "decode_tokens_per_s": 3000.0, "first": [1, 2, 3, 5], "prefill": spread}
    whole = {**ours, "first_chunk": spread, "first_sentence": spread, "rtf_new_lengths": 0.6}
    text = modules.table.figures(
        {
            "doctor": {"status": "passed"},
            "latency, eager FP16": {"status": "passed", **figures, "decode_tokens_per_s": 250.0},
            "latency, step kernels, prefill on the CPU": {"status": "passed", **ours},
            "latency, eager FP32": {"status": "passed", **figures, "decode_tokens_per_s": 150.0},
            "latency, TensorRT": {"status": "passed", **whole},
            "latency, compiled FP16": {"status": "skipped", "reason": "no\n| compiler"},
        }
    )
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.replace("\\|", "/").splitlines()
    ]
    assert len({len(row) for row in rows}) == 1
    assert rows[3][:6] == ["step kernels, prefill on the CPU", "3000", "12.0", "20.0", "200", "20.0"]
    assert rows[3][-1] == "3 of 4"
    assert rows[5][6:9] == ["20.0", "-", "20.0"]
    assert rows[5][9:12] == ["0.5000", "0.6000", "3"]
    assert rows[6][:2] == ["compiled FP16", "skipped: no / compiler"]


def test_conditions_are_read_or_said_to_be_unknown(modules, tmp_path, monkeypatch):
    conditions = modules.conditions
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "nvidia-smi" in conditions.read_gpus()
    assert conditions.read_commit().startswith("not known: ")
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "NVIDIA H200, 575.51, 345 MHz, 3201 MHz, 700.00 W, 31"\n')
    tool.chmod(0o755)
    assert conditions.read_gpus() == [
        {
            "name": "NVIDIA H200",
            "driver_version": "575.51",
            "clocks.sm": "345 MHz",
            "clocks.mem": "3201 MHz",
            "power.limit": "700.00 W",
            "temperature.gpu": "31",
        }
    ]
    tool.write_text("#!/bin/sh\necho 'Failed to initialize NVML' >&2; exit 9\n")
    assert conditions.read_gpus() == "nvidia-smi: Failed to initialize NVML"


def test_versions_that_load_and_that_do_not_are_told(modules, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = modules.conditions.library_versions()
    assert found["loaded"]["torch"]["version"] == torch.__version__
    assert found["loaded"]["onnxruntime"].startswith("not loaded: ")
    assert found["packages"]["numpy"] == np.__version__


def test_ours_and_eager_are_timed_on_the_same_tokens(modules, tiny, demo_files, monkeypatch):
    """The same calls on the CPU, with fewer tokens; PyTorch's without cuda-bindings, which it does not need."""
    monkeypatch.setattr(modules.latency, "TOKENS", 40)
    monkeypatch.setattr(modules.latency, "used_bytes", lambda: 0)
    ours = modules.latency.latency_of_bundle(tiny, "onnxruntime", repeats=1, device="cpu")
    monkeypatch.setitem(sys.modules, "cuda", None)
    pair = (demo_files.gpt, demo_files.sovits)
    eager = modules.latency.latency_of_eager(pair, half=False, compiled=False, repeats=1, device="cpu")
    assert ours["first"] == eager["first"]
    assert len(ours["first"]) == 32
    for found in (ours, eager):
        names = ("prefill", "tokens", "first_sentence", "utterance", "utterance_new_lengths")
        assert min(found[name]["median_s"] for name in names) > 0
        assert min(found["tokens_per_s"], found["decode_tokens_per_s"], found["rtf_new_lengths"]) > 0
    assert min(ours["first_chunk"]["median_s"], ours["first_chunk_new_lengths"]["median_s"]) > 0
    assert eager["runs"]["tf32"] == {"cudnn": False, "matmul": False}


def test_steps_are_proved_against_the_cpu(modules, tiny, gpt_engines):
    """ONNX Runtime's steps on the fake device, in place of CUDA kernels."""
    found = modules.steps.prove_steps(tiny, FakeDevice(1), gpt_engines.steps, tokens=20, count=25, repeats=1)
    assert found["logits"] < 1e-5
    assert found["equal_tokens"] == 20
    assert min(found["tokens_per_s_captured"], found["tokens_per_s_enqueued"]) > 0


def test_steps_alone_are_timed_on_the_same_tokens(modules, tiny, gpt_engines, monkeypatch):
    for module in (modules.latency, modules.steps):
        monkeypatch.setattr(module, "TOKENS", 25)
        monkeypatch.setattr(module, "used_bytes", lambda: 0)
    runner = BundleRunner(tiny, device="cpu", threads=1)
    found = modules.steps.latency_of_steps(tiny, FakeDevice(1), lambda: gpt_engines.steps, repeats=1)
    assert found["first"] == first_tokens(runner, runner.workload(25))
    assert found["summary"].endswith(" ms on the CPU")
    assert "on the CPU" in found["runs"]["gpt_prefill"]
    assert found["runs"]["token_steps"] == "captured"


def test_ways_to_convolve_are_timed(modules, tiny, monkeypatch):
    """Each with its own options, on ONNX Runtime's CPU in place of CUDA."""
    use(fake := FakeOrt(FakeDevice()), monkeypatch)
    convolutions = importlib.import_module("convolutions")
    monkeypatch.setattr(convolutions, "import_onnxruntime", lambda _: fake)
    monkeypatch.setattr(modules.parts, "need_ort_cuda", lambda: None)
    part = modules.parts.PARTS["vocoder, by convolution"].run(run_of(modules, bundle=tiny))
    assert part["ways"].keys() == convolutions.WAYS.keys()
    assert all(times.keys() == {"36", "300"} and min(times.values()) > 0 for times in part["ways"].values())
    assert part["summary"].startswith("fastest: ")
    settings = [session.settings for session in fake.sessions]
    assert [s.get("prefer_nhwc", "0") for s in settings] == ["0", "0", "1", "0", "0"]
    assert [s["cudnn_conv_algo_search"] for s in settings].count("EXHAUSTIVE") == 1


def test_wrong_steps_are_found(modules, tiny, gpt_engines, monkeypatch):
    session = gpt_engines.steps[-1].session  # of the cache that 225 rows take
    run = session.run

    def louder(feeds):
        made = run(feeds)
        return {**made, "logits": made["logits"] * 1.01}

    monkeypatch.setattr(session, "run", louder)
    with pytest.raises(AssertionError, match=r"logits differ by 1.0e-02 of the largest"):
        modules.steps.prove_steps(tiny, FakeDevice(1), gpt_engines.steps, tokens=20, repeats=0)


@pytest.mark.parametrize("half", [False, True])
def test_the_eager_baseline_speaks(modules, demo_files, tiny_bundle, half):
    """On the CPU: in FP32 it draws the bundle's own tokens from the same noise."""
    baseline = modules.eager.GpuEager(demo_files.gpt, demo_files.sovits, 12, device="cpu", half=half)
    runner = BundleRunner(Bundle.open(tiny_bundle), device="cpu", threads=1)
    tokens = list(baseline.generate(12))
    assert len(tokens) == 12
    if not half:
        assert tokens == first_tokens(runner, runner.workload(12))
    samples = baseline.speak(12, len(baseline.work.phones))
    assert samples.shape == (12 * 1280,)
    assert np.isfinite(samples).all()
    assert torch.backends.cudnn.allow_tf32 is half


def test_compiled_steps_draw_the_same_tokens(modules, demo_files):
    """Traced by the compiler that `torch.compile` has, run by PyTorch: what it would make for a GPU is not shown."""
    baseline = modules.eager.GpuEager(demo_files.gpt, demo_files.sovits, 24, device="cpu")
    plain = list(baseline.generate(24))
    baseline.extend = torch.compile(baseline.extend, dynamic=True, backend="aot_eager")
    assert list(baseline.generate(24)) == plain


class _Scalars(TorchDispatchMode):
    """Reads a 3 out of every tensor that holds nothing."""

    reads = (
        torch.ops.aten.item.default, torch.ops.aten.is_nonzero.default, torch.ops.aten._local_scalar_dense.default
    )  # fmt: skip

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return 3 if function in self.reads else function(*args, **(kwargs or {}))


@pytest.mark.parametrize("half", [False, True])
def test_the_eager_baseline_keeps_everything_on_its_device(modules, demo_files, half):
    """On PyTorch's "meta" device, which computes nothing, but refuses tensors of another device."""
    baseline = modules.eager.GpuEager(demo_files.gpt, demo_files.sovits, 4, device="meta", half=half)
    with _Scalars():
        assert list(baseline.generate(4)) == [3] * 4
        samples = baseline.sound(np.full(4, 3), baseline.work.phones)
    assert (samples.device.type, samples.dtype, samples.shape) == ("meta", baseline.dtype, (4 * 1280,))
