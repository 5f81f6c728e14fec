"""Plans: taken where they were made, ignored in one line elsewhere, refused where they were changed."""

import json
import shutil

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime import Synthesizer
from sovits_runtime.backends import plan as plans
from sovits_runtime.backends.plan import (
    Choice,
    Plan,
    describe_plans,
    find_plan,
    key_fields,
    read_plan,
    remove_plans,
    take_plan,
    write_plan,
)
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BackendError, BundleError

EXACT = Choice({"gpt_step": "onnxruntime"}, {"first_tokens": 9, "growth": 1.5, "most_tokens": 40})
TUNED = Choice({"gpt_step": "native-int8", "sovits_vocoder": "openvino-bf16"})
ROW = {
    "graph": "sovits_vocoder", "engine": "openvino-bf16", "seconds": 0.1, "error": 0.01, "snr_db": float("inf"),
    "exact": False, "within": True, "note": "",
}  # fmt: skip


@pytest.fixture
def bundle(copied_bundle) -> Bundle:
    return Bundle.open(copied_bundle)


def write(bundle, *, active="exact", choices=None, key=None) -> Plan:
    key = key or key_fields(bundle)
    folder = bundle.path / plans.FOLDER / "new"
    return write_plan(Plan(folder, key, active, 2, choices or {"exact": EXACT, "tuned": TUNED}, (ROW,)))


def test_a_plan_is_found_and_taken(bundle):
    assert take_plan(bundle, "auto").kind == "none"
    made = write(bundle)
    assert find_plan(bundle) == (made, "")
    assert take_plan(bundle, "auto").choice == EXACT
    assert take_plan(bundle, "tuned").choice == TUNED
    assert take_plan(bundle, "none").choice == Choice()
    assert take_plan(bundle, str(made.folder / plans.RECORD)).choice == EXACT
    assert not TUNED.exact
    assert EXACT.exact


def test_a_voice_runs_and_streams_by_it(bundle):
    write(bundle)
    with Synthesizer.load(bundle, threads=1) as voice:
        assert voice.runs_on["gpt_step"] == "CPUExecutionProvider"
        assert (voice.chunks.first_tokens, voice.chunks.most_tokens) == (9, 40)
        described = voice.describe()
        assert (described["plan"], described["exact"]) == ("exact", True)
    with Synthesizer.load(bundle, threads=1, plan="none") as voice:
        assert voice.chunks.first_tokens == 18
        assert voice.describe()["plan"] == "none"


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("cpu", "Another Processor 9000"),
        ("features", ["AVX"]),
        ("onnxruntime", "1.0.0"),
        ("openvino", "2025.9"),
        ("native", 4),
    ],
)
def test_another_machine_ignores_it_with_one_line(bundle, monkeypatch, caplog, what, value):
    here = dict(plans._here())
    monkeypatch.setattr(plans, "_here", lambda: {**here, what: value})
    elsewhere = write(bundle)
    monkeypatch.setattr(plans, "_here", lambda: here)
    with Synthesizer.load(bundle, threads=1) as voice:
        assert what in voice.describe()["plan_ignored"]
        assert voice.chunks.first_tokens == 18
    lines = [r.getMessage() for r in caplog.records if "its plan is not" in r.getMessage()]
    assert len(lines) == 1
    assert f"{what} is " in lines[0]
    assert f"sovits-export tune {bundle.path}" in lines[0]
    with pytest.raises(BackendError, match=rf"no plan 'exact' for this machine \({what} is"):
        take_plan(bundle, "exact")
    with pytest.raises(BackendError, match=rf"plan for something else \({what} is"):
        take_plan(bundle, str(elsewhere.folder / plans.RECORD))
    (shown,) = describe_plans(bundle)
    assert (shown["here"], shown["problem"]) == (False, "")


def test_a_plan_that_came_with_the_bundle_is_not_taken(bundle, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as stranger:
        stranger.setenv("SOVITS_EXPORT_CACHE", str(tmp_path / "of a stranger"))
        write(bundle)
        assert take_plan(bundle, "auto").kind == "exact"
    assert take_plan(bundle, "auto").kind == "none"
    assert "user is " in caplog.text


@pytest.mark.parametrize("change", ["engine", "unknown engine", "another folder", "cut", "active"])
def test_a_plan_that_was_changed_is_refused(bundle, change):
    made = write(bundle)
    path = made.folder / plans.RECORD
    value = json.loads(path.read_text(encoding="utf-8"))
    if change == "engine":
        value["choices"]["exact"]["engines"]["sovits_vocoder"] = "openvino-bf16"
    elif change == "unknown engine":
        value["choices"]["exact"]["engines"]["sovits_vocoder"] = "/tmp/evil.so"
    elif change == "active":
        del value["choices"]["exact"]
    text = json.dumps(value)
    path.write_text(text[: len(text) // 2] if change == "cut" else text, encoding="utf-8")
    if change == "another folder":
        shutil.copytree(made.folder, made.folder.with_name("0" * 16))
        path = made.folder.with_name("0" * 16) / plans.RECORD
        with pytest.raises(BundleError, match=r"plan\.json: is damaged \(it is that of another folder\)"):
            read_plan(path)
        return
    with pytest.raises(BundleError, match=r"plan\.json"):
        Synthesizer.load(bundle, threads=1)
    shown = CliRunner().invoke(main, ["inspect", str(bundle.path)])
    assert "plan.json" in shown.output
    assert shown.exit_code == 0


def test_a_file_of_a_plan_that_was_changed_is_found_out(bundle, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "gpt_step.int8.native").write_bytes(b"packed")
    folder = bundle.path / plans.FOLDER / "new"
    made = write_plan(Plan(folder, key_fields(bundle), "exact", 1, {"exact": EXACT}), files)
    assert made.file("gpt_step.int8.native").read_bytes() == b"packed"
    assert made.file("another") is None
    made.file("gpt_step.int8.native").write_bytes(b"Packed")
    with pytest.raises(BundleError, match=r"gpt_step\.int8\.native was changed.*--plan none"):
        take_plan(bundle, "auto")
    assert take_plan(bundle, "none").kind == "none"


def test_plans_can_be_removed(bundle):
    write(bundle)
    assert remove_plans(bundle) == 1
    assert remove_plans(bundle) == 0
    assert find_plan(bundle) == (None, "")


def test_what_is_asked_for_and_not_there_is_an_error(bundle, tmp_path):
    with pytest.raises(BackendError, match="has no plan 'tuned' for this machine; 'sovits-export tune"):
        Synthesizer.load(bundle, plan="tuned")
    with pytest.raises(BundleError, match="gone"):
        Synthesizer.load(bundle, plan=str(tmp_path / "gone.json"))
    with pytest.raises(BackendError, match="plan 'tuned': plans are for device 'cpu', got 'cuda'"):
        Synthesizer.load(bundle, plan="tuned", device="cuda")
