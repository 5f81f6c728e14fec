"""`sovits-export engine` and what `inspect` says of engines."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime.bundle.engine_store import engine_names, graph_of
from sovits_runtime.doctor.inspect_bundle import describe, describe_text
from sovits_runtime.errors import BackendError


@pytest.fixture
def run(engine_bundle, fake_target, monkeypatch):
    """Runs a command on the bundle, where only the fake TensorRT is installed."""
    monkeypatch.setattr("sovits_engines.targets.build_targets", lambda *_, **__: [fake_target])

    def run(command, *options, code=0):
        result = CliRunner().invoke(main, [*command.split(), str(engine_bundle.path), *options])
        assert result.exit_code == code, result.output
        return result

    return run


BUILD = ("--graph", "gpt_step", "--graph", "gpt_prefill", "--cache-size", "512", "--target", "sm89")


def test_build_list_inspect_prune(run, engine_bundle):
    assert "no engines; sovits-export engine build" in run("engine list").stdout
    out = run("engine build", *BUILD).stdout
    assert "gpt_step-512       sm89 rtx 1.7.1.116" in out
    assert "2 engines, 0 MB; 2 built" in out
    assert "2 engines, 0 MB; 0 built" in run("engine build", *BUILD).stdout
    assert run("engine list").stdout.count(" ok") == 2
    shown = run("inspect").stdout
    assert "gpt_prefill       sm89 rtx 1.7.1.116" in shown
    assert "1 FP16" in shown
    for plan in engine_bundle.path.glob("engines/*/gpt_step*.plan"):
        plan.write_bytes(b"")
    assert "its plan has 0 bytes" in run("engine list").stdout
    assert "DAMAGED: its plan has 0 bytes" in run("inspect").stdout
    assert "2 files removed" in run("engine prune").stdout
    assert "2 files removed" in run("engine prune", "--all").stdout


def test_steps_for_rows_are_built_when_asked_for(run, engine_bundle):
    run("engine build", *BUILD)
    out = run("engine build", "--rows", *BUILD).stdout
    assert "gpt_step-rows-512  sm89 rtx 1.7.1.116" in out
    assert "3 engines, 0 MB; 1 built" in out
    assert run("engine list").stdout.count(" ok") == 3
    assert engine_names(engine_bundle, "gpt_step") == ["gpt_step-512", "gpt_step-rows-512"]
    assert graph_of(engine_bundle, "gpt_step-rows-512") == "gpt_step"


def test_json_of_every_command(run):
    (prefill, step) = sorted(
        json.loads(run("engine build", "--json", *BUILD).stdout), key=lambda r: r["name"]
    )
    assert (prefill["name"], prefill["cache_size"], prefill["found"]) == ("gpt_prefill", 0, False)
    assert (step["cache_size"], step["ingredients"]["capability"]) == (512, "sm89")
    listed = json.loads(run("engine list", "--json").stdout)
    assert [(e["name"], e["problem"]) for e in listed] == [("gpt_prefill", ""), ("gpt_step-512", "")]
    engines = json.loads(run("inspect", "--json").stdout)["engines"]
    assert [e["layers"] for e in engines] == [{"CONVOLUTION": {"HALF": 1}}] * 2
    assert len(json.loads(run("engine prune", "--all", "--json").stdout)) == 4


def test_strict_refuses_a_damaged_engine(run, engine_bundle):
    run("engine build", *BUILD)
    for plan in engine_bundle.path.glob("engines/*/gpt_step*.plan"):
        plan.write_bytes(b"")
    result = run("engine build", "--strict", *BUILD, code=1)
    assert "its plan has 0 bytes, expected 65536; --strict does not replace it" in result.stderr


def test_inspect_claims_no_figure_that_nobody_measured(engine_bundle):
    manifest = json.loads(json.dumps(engine_bundle.manifest))
    manifest["graphs"]["hubert"]["check"] = {"runs": 0, "limit": 0.9995}
    lines = describe_text(describe(dataclasses.replace(engine_bundle, manifest=manifest))).splitlines()
    assert "hubert            fp32       not measured" in next(line for line in lines if "  hubert  " in line)
    assert "not measured" not in next(line for line in lines if "  sovits_vocoder  " in line)


def test_wrong_target_is_wrong_use(run):
    assert "target 'ada': expected sm and" in run("engine build", "--target", "ada", code=2).stderr


def test_errors_of_the_targets_are_one_line(engine_bundle, monkeypatch):
    def fail(*_, **__):
        raise BackendError("no GPU to build engines for")

    monkeypatch.setattr("sovits_engines.targets.build_targets", fail)
    result = CliRunner().invoke(main, ["engine", "build", str(engine_bundle.path)])
    assert result.exit_code == 1
    assert result.stderr == "error: no GPU to build engines for\n"


def test_one_command_builds_bundle_and_engines(demo_files, tmp_path, fake_target, monkeypatch):
    """A second build of the same voice keeps the engines."""
    monkeypatch.setattr("sovits_engines.targets.build_targets", lambda *_, **__: [fake_target])
    names = ["--gpt", demo_files.gpt, "--sovits", demo_files.sovits, "-o", tmp_path / "voice"]
    for found in (False, True):
        result = CliRunner().invoke(
            main, ["build", *map(str, names), "--no-verify", "--target", "sm89", "--json"]
        )
        assert result.exit_code == 0, result.output
        engines = json.loads(result.stdout)["engines"]
        assert {e["name"] for e in engines} >= {"gpt_prefill", "gpt_step-2048", "sovits_vocoder"}
        assert {e["found"] for e in engines} == {found}


def test_targets_that_cannot_be_built_are_refused_before_the_build(demo_files, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise BackendError("TensorRT for RTX is not installed")

    monkeypatch.setattr("sovits_engines.targets.build_targets", fail)
    names = ["--gpt", demo_files.gpt, "--sovits", demo_files.sovits, "-o", tmp_path / "voice"]
    result = CliRunner().invoke(main, ["build", *map(str, names), "--target", "sm89"])
    assert (result.exit_code, result.stderr) == (1, "error: TensorRT for RTX is not installed\n")
    assert not (tmp_path / "voice").exists()
