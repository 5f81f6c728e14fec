"""The benchmark that builds every engine: what it prints, and what it fails for."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "engine_build.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("engine_build", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def step(refused=False, **layers):
    record = SimpleNamespace(
        graph="gpt_step",
        name="gpt_step-512",
        key_fields={"capability": "sm89"},
        built={"layers": layers, "fused_attention_refused": refused},
    )
    return SimpleNamespace(record=record)


def test_slow_steps_are_faults(script):
    good = {"KV_CACHE_UPDATE": {"HALF": 48}, "ATTENTION_OUTPUT": {"HALF": 24}}
    assert script.faults([step(**good)]) == []
    assert script.faults([step(KV_CACHE_UPDATE={})]) == ["sm89 gpt_step-512: attention is not fused"]
    assert script.faults([step(True, **good)]) == ["sm89 gpt_step-512: attention is not fused"]
    assert script.faults([step(ATTENTION_OUTPUT={})]) == [
        "sm89 gpt_step-512: caches are not updated in place"
    ]


def test_table_json_and_verdict(script, engine_bundle, fake_target, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(script, "build_targets", lambda names: [fake_target])
    words = [
        str(SCRIPT),
        str(engine_bundle.path),
        "--target",
        "sm89",
        "--discard",
        "-o",
        str(tmp_path / "o.json"),
    ]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as caught:
        script.main()
    out = capsys.readouterr().out
    assert caught.value.code == 1  # the fake's steps have neither caches nor attention
    assert "FAILED sm89 gpt_step-512: caches are not updated in place" in out
    assert "not found again" not in out
    written = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    assert {e["engine"] for e in written["engines"]} >= {"gpt_step-2048", "sovits_vocoder"}
    assert list(engine_bundle.path.glob("engines/*/*.plan")) == []
