"""`sovits-export tune`: what it tries, what it keeps, what it verifies, and that voices are loaded that way."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_exporter.precision.limits import Limits
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends.native import library
from sovits_runtime.backends.native_vocoder import vocoder_library
from sovits_runtime.backends.plan import LOSSY, find_plan
from sovits_runtime.backends.prepacked import find_prepacked
from sovits_runtime.bundle import Bundle
from sovits_runtime.machine.openvino import installed_openvino
from sovits_runtime.tuning import to_blame, tune_bundle
from sovits_runtime.tuning.graphs import ratio_db, shortened
from sovits_runtime.tuning.row import PAYS, Row, chosen_engines
from sovits_runtime.verify import verify_bundle
from sovits_runtime.verify.check import Check
from sovits_runtime.verify.mixed import MixedVerification
from sovits_runtime.verify.tuned import KL, LOG_MEL_DB, SNR_DB, TunedVerification

needs_openvino = pytest.mark.skipif(installed_openvino() is None, reason="openvino is not installed")
PHONES = ["HH", "AH0", "L", "OW1", "."]
SHORT = SpeechOptions(max_tokens=60)


@pytest.fixture(scope="module")
def tuned(tiny_bundle, folder):
    """A copy of the tiny voice that the command has tuned, with what it printed."""
    shutil.copytree(tiny_bundle.parent / "shared", folder / "shared")
    path = shutil.copytree(tiny_bundle, folder / "voice")
    result = CliRunner().invoke(main, ["tune", str(path), "--threads", "1", "--json"])
    assert result.exit_code == 0, result.output
    return path, json.loads(result.stdout)


def test_every_graph_is_measured_on_every_engine_that_there_is(tuned):
    _, said = tuned
    tried = {(row["graph"], row["engine"]) for row in said["table"]}
    for graph in ("gpt_step", "hubert", "reference_style", "sovits_encoder", "sovits_flow", "sovits_vocoder"):
        assert (graph, "onnxruntime") in tried
    if library() is not None:
        assert {("gpt_step", "native"), ("gpt_step", "native-int8")} <= tried
        assert ("sovits_vocoder", "native") in tried
    if installed_openvino() is not None:
        assert {("sovits_vocoder", "openvino-f32"), ("hubert", "openvino-f32")} <= tried
    assert all(row["seconds"] > 0 for row in said["table"] if row["within"])


def test_the_whole_was_verified_and_the_plan_is_taken(tuned):
    path, said = tuned
    assert said["verification"]["passed"]
    bundle = Bundle.open(path)
    plan, _ = find_plan(bundle)
    assert (str(plan.folder), plan.active, plan.threads) == (said["plan"], "tuned", 1)
    assert find_prepacked(bundle) is not None
    with Synthesizer.load(bundle, threads=1) as voice:
        described = voice.describe()
        assert described["plan"] == "tuned"
        for graph, engine in said["engines"]["tuned"].items():
            if graph in described["graphs"] and engine.startswith("openvino"):
                assert "OpenVINO" in described["graphs"][graph]
            if graph == "sovits_vocoder":
                assert described["graphs"][graph].startswith("native") == engine.startswith("native")
        chunks = said["chunks"]["tuned"]
        assert voice.chunks.first_tokens == chunks["first_tokens"]


def test_the_exact_choice_never_computes_in_less(tuned):
    _, said = tuned
    assert LOSSY.isdisjoint(said["engines"]["exact"].values())


def test_with_exact_it_is_the_exact_choice_that_voices_take(tuned, reference):
    path, _ = tuned
    plain = [row for row in speak(path, reference, "none")]
    exact = [row for row in speak(path, reference, "exact")]
    assert np.abs(np.subtract(plain, exact)).max() < 1e-4
    assert verify_bundle(Bundle.open(path), threads=1, plan="exact").passed
    assert CliRunner().invoke(main, ["verify", str(path), "--plan", "tuned", "--threads", "1"]).exit_code == 0


def speak(path, reference, plan):
    with Synthesizer.load(path, threads=1, plan=plan) as voice:
        return voice.synthesize(PHONES, reference, options=SHORT).samples


def test_inspect_shows_the_table(tuned):
    path, said = tuned
    shown = CliRunner().invoke(main, ["inspect", str(path)]).output
    assert "plan       tuned, 1 threads" in shown
    assert "used here" in shown
    for row in said["table"]:
        assert any(line.split()[:2] == [row["graph"], row["engine"]] for line in shown.splitlines())
    assert "chunks of a stream" in shown


def test_bench_compares_plans_in_turn(tuned):
    path, _ = tuned
    command = [
        "bench",
        str(path),
        "--compare",
        "none,exact",
        "--threads",
        "1",
        "--tokens",
        "40",
        "--repeats",
        "1",
    ]
    result = CliRunner().invoke(main, [*command, "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    none, exact = said["compared"]
    assert (none["name"], exact["name"]) == ("none", "exact")
    assert none["stages"]["sovits_vocoder"]["ratio"] == 1
    assert exact["stages"]["sovits_vocoder"]["count"] == 1
    usual = vocoder_library(Bundle.open(path), "sovits_vocoder", "auto")
    assert none["runs_on"]["sovits_vocoder"].startswith("native" if usual else "CPUExecutionProvider")
    assert exact["process"]["peak_bytes"] is None or exact["process"]["peak_bytes"] > 0
    refused = CliRunner().invoke(main, ["bench", str(path), "--compare", "none"])
    assert refused.exit_code == 1
    assert "expected two plans or more" in refused.output


def test_its_limits_are_those_of_a_conversion_to_int8():
    assert Limits(kl=KL, snr_db=SNR_DB, log_mel_db=LOG_MEL_DB) == Limits()


def row(engine, seconds, *, exact=True, within=True, graph="g"):
    return Row(graph, engine, seconds, 0.0, 99.0, exact=exact, within=within)


def test_the_fastest_that_a_choice_allows_is_chosen():
    rows = [
        row("onnxruntime", 1.0),
        row("openvino-f32", 0.5),
        row("openvino-bf16", 0.1, exact=False),
        row("openvino-f16", 0.01, exact=False, within=False),
    ]
    assert chosen_engines(rows, "tuned") == {"g": "openvino-bf16"}
    assert chosen_engines(rows, "exact") == {"g": "openvino-f32"}
    assert chosen_engines([rows[0], row("openvino-bf16", 0.1, exact=True)], "exact") == {"g": "onnxruntime"}
    assert chosen_engines([rows[0], row("openvino-f32", 1.0 / PAYS)], "exact") == {"g": "onnxruntime"}
    failed = Row("g", "openvino-f32", float("nan"), float("nan"), float("nan"), exact=False, within=False)
    assert chosen_engines([rows[0], failed], "tuned") == {"g": "onnxruntime"}


def test_openvino_is_chosen_where_a_sentence_gains_and_not_a_graph_alone():
    step = row("native", 0.002, graph="gpt_step")
    flow = [row("onnxruntime", 0.020), row("openvino-f32", 0.010)]
    assert chosen_engines([step, *flow], "exact")["g"] == "openvino-f32"
    assert chosen_engines([step, *flow], "exact", {"gpt_step": 150})["g"] == "onnxruntime"
    assert chosen_engines([step, *flow], "exact", {"gpt_step": 150, "g": 8})["g"] == "openvino-f32"
    assert chosen_engines([step, *flow], "exact", {"gpt_step": 150, "g": 0})["g"] == "onnxruntime"


def test_what_is_too_far_as_a_whole_goes_back_one_by_one(copied_bundle, monkeypatch):
    """Every graph alone keeps its limit, and the whole does not."""
    bundle = Bundle.open(copied_bundle)
    rows = [
        row("onnxruntime", 1.0, graph="gpt_step"),
        Row("gpt_step", "native-int8", 0.1, 0.0, 20.0, exact=False, within=True),
    ]
    if library() is None:
        pytest.skip("sovits-export-native is not installed")
    monkeypatch.setattr("sovits_runtime.tuning.measure_gpt", lambda *_: rows)
    monkeypatch.setattr("sovits_runtime.tuning.measure_graphs", lambda *_: [])
    monkeypatch.setattr("sovits_runtime.tuning.suitable_chunks", lambda *_: None)
    monkeypatch.setitem(__import__("sovits_runtime.verify.tuned", fromlist=["x"]).TUNED_TOLERANCES, "kl", 0.0)
    report = tune_bundle(bundle, threads=1)
    assert report.dropped == ("gpt_step",)
    assert report.verification.passed
    assert report.plan.choices["tuned"].engines == {"gpt_step": "onnxruntime"}
    assert not report.plan.files or report.plan.choices["exact"].exact


def test_the_command_removes_plans(tuned, copied_bundle):
    shutil.copytree(tuned[0] / "tuned", copied_bundle / "tuned")
    result = CliRunner().invoke(main, ["tune", str(copied_bundle), "--remove"])
    assert (result.exit_code, result.output) == (0, "1 plans removed\n")
    assert find_plan(Bundle.open(copied_bundle)) == (None, "")


def test_inputs_become_shorter_together(tiny_bundle):
    spec = Bundle.open(tiny_bundle).graph_spec("sovits_encoder")
    feeds = {
        "tokens": np.zeros((1, 100), np.int64),
        "phones": np.zeros((1, 30), np.int64),
        "style": np.zeros(spec.tensor("style").shape, np.float32),
    }
    shorter = shortened(spec, feeds, 2)
    assert (shorter["tokens"].shape, shorter["phones"].shape) == ((1, 96), (1, 28))
    assert shorter["style"].shape == feeds["style"].shape


def test_a_ratio_of_what_is_no_number_is_the_worst():
    good = np.ones(4, np.float32)
    assert ratio_db(good, good) > 200
    assert ratio_db(good, np.array([1, 1, np.nan, 1], np.float32)) == float("-inf")
    assert ratio_db(good, np.ones(5, np.float32)) == float("-inf")
    assert ratio_db(good, good * np.float32(0.9)) == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize(
    ("failed", "blamed"),
    [
        ("audio SNR", {"cfm_step", "mel_vocoder"}),
        ("cfm_step 3, velocity", {"cfm_step"}),
        ("cfm_step 3", {"cfm_step"}),
        ("teacher-forced KL", {"gpt_step"}),
        ("sovits_encoder", {"cfm_step", "mel_vocoder"}),
    ],
)
def test_what_failed_is_laid_at_what_can_have_caused_it(failed, blamed):
    rows = [row("native-int8", 1.0, exact=False, graph=g) for g in ("gpt_step", "cfm_step", "mel_vocoder")]
    checks = [Check("waveform", 0.0, 1.0, ""), Check(failed, 2.0, 1.0, ""), Check("free run", 2.0, 1.0, "")]
    assert {r.graph for r in to_blame(checks, rows)} == blamed


def test_where_only_the_other_side_is_left_it_gives_way():
    rows = [row("native-int8", 1.0, exact=False, graph="gpt_step")]
    assert to_blame([Check("audio SNR", 2.0, 1.0, "dB")], rows) == rows


def test_of_a_flow_the_frames_are_judged_and_the_velocity_is_reported(monkeypatch):
    seen = [
        Check("cfm_step 3, velocity", 0.994, 0.998, "cosine", at_least=True, note="error 0.1"),
        Check("cfm_step 3", 0.994, 0.998, "cosine", at_least=True),
        Check("cfm_step 2, velocity", float("nan"), 0.998, "cosine", at_least=True),
        Check("cfm_condition, unprompted", 0.994, 0.998, "cosine", at_least=True),
    ]
    monkeypatch.setattr(MixedVerification, "decoder", lambda _: iter(seen))
    checks = list(TunedVerification.decoder(object.__new__(TunedVerification)))
    assert [check.passed for check in checks] == [True, False, False, False]
    assert checks[0].note == "reported, not judged: error 0.1"
