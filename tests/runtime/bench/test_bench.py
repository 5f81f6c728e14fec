"""The benchmark: what is measured, in which order, and what the figures mean. Times themselves are never asserted."""

from __future__ import annotations

import json
import sys
from itertools import count, islice
from types import SimpleNamespace

import numpy as np
import pytest

from sovits_runtime.backends.native import library
from sovits_runtime.bench import bench, turns
from sovits_runtime.bench.report import write_bench_report
from sovits_runtime.bench.result import STAGES, BenchResult, GptFigures, ProcessFacts, StageTiming, Timing
from sovits_runtime.bench.runner import BundleRunner, first_tokens
from sovits_runtime.bench.workload import make_workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.model_spec import MODEL_SPECS
from sovits_runtime.errors import BackendError, ShapeError

SIZES = {"style_width": 512, "channels": 192, "n_symbols": 732, "bert_width": 1024, "vocab": 1025}


OTHER_VERSIONS = {"speaker", "cfm_features", "cfm_condition", "cfm_step", "mel_vocoder"}
STAGES_OF_V2 = [name for name in STAGES if name not in OTHER_VERSIONS]


class Baseline:
    """Does nothing, and keeps a list of what it was asked."""

    name = "Stub"
    note = "a stub"
    tokens_at_once = 1

    def __init__(self, command: list[str] | None = None) -> None:
        self.asked: list[str] = []
        facts = json.dumps(
            {"import_s": 1.0, "load_s": 2.0, "utterance_s": 3.0, "peak_bytes": 4, "private_bytes": None}
        )
        self.command = command or [sys.executable, "-c", f"print({facts!r})"]

    def stages(self, work):
        return {name: lambda name=name: self.asked.append(name) for name in ("sovits_vocoder", "utterance")}

    def generate(self, work):
        self.asked.append("generate")
        return count()

    def probe_command(self):
        return self.command


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(turns, "SETTLE_S", 0)


def test_tokens_that_come_together_are_timed_together(monkeypatch):
    """Four tokens at once after each wait: the time of one is the mean, not that of taking it from a list."""
    times = iter([0.0, 1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr(turns.time, "perf_counter", lambda: next(times))
    baseline = Baseline()
    baseline.tokens_at_once = 4
    timed = turns.time_tokens(baseline, SimpleNamespace(tokens=range(8)))
    assert timed == {"gpt_prefill": [1.0], "gpt_step": [8 / 7], "gpt": [9.0]}


@pytest.fixture(scope="module")
def result(tiny_bundle) -> tuple[BenchResult, Baseline, list[tuple[str, int, int]]]:
    baseline, progress = Baseline(), []
    found = bench(
        Bundle.open(tiny_bundle),
        threads=1,
        tokens=8,
        repeats=2,
        baseline=baseline,
        progress=lambda *step: progress.append(step),
    )
    return found, baseline, progress


def test_every_stage_is_measured_and_warm_up_kept_apart(result):
    found, _, _ = result
    assert [s.name for s in found.stages] == STAGES_OF_V2  # the tiny bundle has HuBERT
    for stage in found.stages:
        samples = {"gpt_step": 2 * 7}.get(stage.name, 2)
        assert len(stage.ours.samples) == samples, stage.name
        assert (stage.ours.warmup_s is None) == (stage.name in {"import", "load"})
        assert min(stage.ours.samples) > 0


def test_baseline_runs_as_often_as_we_do(result):
    found, baseline, _ = result
    runs = 3  # one warm-up, two repetitions
    assert baseline.asked.count("sovits_vocoder") == baseline.asked.count("utterance") == runs
    assert baseline.asked.count("generate") == runs + 1  # and once for the comparison of tokens
    assert {s.name for s in found.stages if s.baseline} == {
        "import",
        "load",
        "gpt_prefill",
        "gpt_step",
        "gpt",
        "sovits_vocoder",
        "utterance",
    }
    assert len(found.stage("utterance").ratios) == 2
    assert found.stage("hubert").ratio is None
    assert found.agreement == "0 of 8 tokens equal from the same noise"  # a stub counts, it does not speak


def test_progress_reaches_its_total(result):
    _, _, progress = result
    assert progress[0] == ("warm-up", 0, 5)
    assert [done for _, done, _ in progress] == list(range(5))


def test_conditions_name_machine_versions_bundle_and_work(result, tiny_bundle):
    conditions = result[0].conditions
    assert conditions["digest"] == Bundle.open(tiny_bundle).digest
    assert conditions["threads"] == 1
    assert conditions["versions"]["numpy"] == np.__version__
    assert conditions["machine"]["cpu"]
    assert conditions["workload"]["generated_tokens"] == 8
    assert conditions["workload"]["prompt_tokens"] == 125


def test_processes_are_fresh_and_their_own(result):
    ours, theirs = result[0].processes
    assert theirs == (ProcessFacts(1.0, 2.0, 3.0, 4, None),) * 2
    assert result[0].peak_bytes(1) == 4
    if sys.platform == "linux":
        assert all(20e6 < p.private_bytes < p.peak_bytes < 2e9 for p in ours)


def test_bytes_of_a_step_are_the_weights_it_reads(tiny_bundle, demo_files):
    pytest.importorskip("torch")
    from sovits_exporter.checkpoint.official import load_gpt

    tensors = load_gpt(demo_files.gpt).tensors
    read = [t for name, t in tensors.items() if name.startswith(("h.", "ar_predict_layer."))]
    assert 0 < len(read) < len(tensors)
    layers, width = sum(name.endswith("in_proj_bias") for name in tensors), read[-1].shape[-1]
    cached = 2 * layers * (100 + 125 + 4) * width  # four of the eight tokens, on average
    bundle, numbers = Bundle.open(tiny_bundle), sum(t.numel() for t in read)
    voice = BundleRunner(bundle, device="cpu", threads=1, gpt_steps="onnxruntime")
    assert voice.bytes_per_token(voice.workload(8)) == 4 * (numbers + cached)
    assert voice.note == "ONNX Runtime; the GPT's steps: CPUExecutionProvider"
    if library() is not None:
        runner = BundleRunner(bundle, device="cpu", threads=1, gpt_steps="native")
        assert runner.note.startswith("ONNX Runtime; the GPT's steps: native (")
        native = runner.bytes_per_token(voice.workload(8))
        matrices = 2 * sum(t.numel() for t in read if t.dim() == 2)  # float16
        assert matrices <= native - 4 * cached < 1.5 * matrices  # widths are rounded up to 64


def test_generation_never_ends_by_itself(tiny_bundle):
    voice = BundleRunner(Bundle.open(tiny_bundle), device="cpu", threads=1)
    work = voice.workload(40)
    tokens = first_tokens(voice, work)
    assert len(tokens) == 40
    assert 1024 not in tokens
    assert tokens == first_tokens(voice, work)  # the noise starts anew


@pytest.mark.parametrize(("version", "prompt", "window"), [("v3", 468, 934), ("v4", 500, 1000)])
def test_flow_matching_is_timed_on_a_full_window(version, prompt, window):
    work = make_workload(tokens=150, **SIZES, flow=MODEL_SPECS[version].flow).flow
    assert work.prompt_len == prompt
    assert work.x.shape == work.prompt_mel.shape == (1, 100, window)
    assert work.features.shape == (1, 512, window)
    assert work.condition.shape == (1, window, 512)
    assert np.abs(work.prompt_mel[:, :, :prompt]).min() > 0
    assert np.abs(work.prompt_mel[:, :, prompt:]).max() == 0


def test_json_and_page(result, tmp_path):
    found = result[0]
    page = write_bench_report(found, tmp_path / "b")
    assert sorted(p.name for p in page.parent.iterdir()) == ["bench.html", "bench.json", "bench.svg"]
    value = json.loads((page.parent / "bench.json").read_text(encoding="utf-8"))
    assert [s["name"] for s in value["stages"]] == STAGES_OF_V2
    assert set(value["parties"]) == {"sovits-export", "Stub"}
    text = page.read_text(encoding="utf-8")
    assert all(f"{name}<small>" in text for name in STAGES_OF_V2)
    assert text.count("<svg") == 1


def test_median_of_ratios_and_rtf():
    ours, theirs = Timing((1.0, 2.0, 4.0)), Timing((3.0, 4.0, 4.0))
    stage = StageTiming("utterance", "", ours, theirs, (3.0, 2.0, 1.0))
    figures = GptFigures(1.0, None)
    found = BenchResult({}, (stage,), None, 4.0, (figures, figures), ((), ()), baseline="x")
    assert stage.ratio == 2.0
    assert (found.rtf(0), found.rtf(1)) == (0.5, 1.0)
    assert ours.percentile(95) == pytest.approx(3.8)
    assert found.peak_bytes(0) is None


@pytest.mark.parametrize("version", ["v2", "v3", "v4"])
def test_workload_is_the_same_every_time(version):
    flow = MODEL_SPECS[version].flow
    a, b = make_workload(tokens=5, **SIZES, flow=flow), make_workload(tokens=5, **SIZES, flow=flow)
    pairs = [(a, b)] + ([(a.flow, b.flow)] if flow else [])
    for one, other in pairs:
        for name, value in vars(one).items():
            assert name == "flow" or np.array_equal(value, getattr(other, name)), name
    noise, again = a.token_noise(), a.token_noise()
    assert all(np.array_equal(noise(i), again(i)) for i in range(3))
    assert a.ssl.shape == (1, 250, 768)
    assert a.noise.shape == (1, 192, 10)


@pytest.mark.parametrize(("tokens", "repeats"), [(3, 1), (150, 0)])
def test_senseless_sizes_are_refused(tiny_bundle, tokens, repeats):
    with pytest.raises(ShapeError, match="expected at least 4 tokens and 1 repeat"):
        bench(Bundle.open(tiny_bundle), tokens=tokens, repeats=repeats)


def test_failing_process_is_named(tiny_bundle):
    baseline = Baseline([sys.executable, "-c", "import sys; sys.exit('out of luck')"])
    with pytest.raises(BackendError, match="a fresh process of Stub failed: out of luck"):
        bench(Bundle.open(tiny_bundle), threads=1, tokens=4, repeats=1, baseline=baseline)


def test_eager_baseline_computes_what_the_graphs_compute(tiny_bundle, demo_files):
    torch = pytest.importorskip("torch")
    from sovits_exporter.eager.baseline import EagerBaseline, find_pair

    gpt, sovits = find_pair(str(demo_files.gpt.parent))
    assert (gpt, sovits) == (demo_files.gpt, demo_files.sovits)
    threads = torch.get_num_threads()
    baseline = EagerBaseline(gpt, sovits, hubert=demo_files.hubert, threads=1)
    voice = BundleRunner(Bundle.open(tiny_bundle), device="cpu", threads=1)
    work = voice.workload(12)
    assert np.array_equal(baseline.workload(12).z, work.z)
    ours, theirs = voice.stages(work), baseline.stages(work)
    assert set(ours) == set(theirs)
    assert first_tokens(voice, work) == list(islice(baseline.generate(work), 12))
    got = {
        "hubert": ours["hubert"]()["ssl"],
        "prompt_tokens": ours["prompt_tokens"]()[None],
        "reference_style": ours["reference_style"]()["style"],
        "sovits_encoder": ours["sovits_encoder"](),
        "sovits_flow": ours["sovits_flow"](),
        "sovits_vocoder": ours["sovits_vocoder"]()[None],
    }
    for name, value in got.items():
        expected = theirs[name]()
        expected = (expected[0] if isinstance(expected, tuple) else expected).numpy()
        assert value.shape == expected.shape, name
        assert np.abs(value - expected).max() <= 1e-4 * np.abs(expected).max(), name
    torch.set_num_threads(threads)


def test_ambiguous_folder_is_refused(tmp_path):
    pytest.importorskip("torch")
    from sovits_exporter.eager.baseline import find_pair
    from sovits_runtime.errors import CheckpointError

    (tmp_path / "a.ckpt").touch()
    with pytest.raises(
        CheckpointError, match=r"holds 1 \.ckpt and 0 \.pth, expected a folder with one of each"
    ):
        find_pair(str(tmp_path))
    assert [p.name for p in find_pair("x.ckpt,y.pth")] == ["x.ckpt", "y.pth"]
