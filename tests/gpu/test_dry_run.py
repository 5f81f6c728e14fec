"""The whole GPU report against what stands in for a GPU, so that on a GPU the script itself is not what fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "gpu"
DRY_RUN = """
import dataclasses, sys
import report
from sovits_engines.cuda.driver import Driver, Gpu
from stand_ins import OnStandIns

FOLDER = sys.argv.pop()
REAL = ("doctor", "versions")

if __name__ == "__main__":
    gpu = Gpu("NVIDIA H200", (9, 0), 141 << 30)
    report.probe_driver_apart = lambda: Driver("libcuda.so.1", "", (13, 0), "580.95", (gpu,))
    report.PARTS = {
        name: part if name in REAL else dataclasses.replace(part, run=OnStandIns(name, FOLDER), together=True)
        for name, part in report.PARTS.items()
    }
    report.main()
"""
LIKE_HELD = {
    "a driver takes a cooperative launch in a captured graph": "50 replays",
    "ONNX Runtime's numbers are right, its caches updated in place": "checks passed",
    "TensorRT's numbers are right, its caches updated in place": "checks passed",
    "requests at once make the tokens that each makes alone": "equal to each alone",
}
"""Claims that the stand-ins hold, with a word of why."""
WITHOUT_THEM = {"TensorRT, the other flavour", "the other CUDA line"}
"""Parts that have nothing to run in the dry run."""


@pytest.fixture(scope="module")
def report(tiny_bundle, demo_files, folder):
    """The report's JSON and page, of one run over every part."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    voice = folder / "voice"
    shutil.copytree(tiny_bundle, voice)
    (folder / "dry_run.py").write_text(DRY_RUN)
    paths = [str(BENCHMARKS), str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    output = folder / "made" / "gpu.json"
    command = [
        sys.executable,
        "dry_run.py",
        voice,
        "--shared",
        tiny_bundle.parent / "shared",
        "--repeats",
        "1",
    ]
    command += ["--checkpoints", demo_files.gpt.parent, "-o", output, folder / "stand-ins"]
    (folder / "stand-ins").mkdir()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert output.exists(), done.stderr
    return json.loads(output.read_text()), output.with_suffix(".md").read_text(), done


def test_every_part_runs(report):
    result, _, done = report
    states = {name: part["status"] for name, part in result["parts"].items()}
    reasons = {
        n: p.get("trace", p.get("reason")) for n, p in result["parts"].items() if p["status"] == "failed"
    }
    assert not reasons, reasons
    assert {name for name, state in states.items() if state == "skipped"} == WITHOUT_THEM
    assert set(states.values()) == {"passed", "skipped"}
    assert done.returncode == 0
    assert result["finished"] is True


def test_every_claim_has_a_verdict(report):
    result, page, done = report
    claims = {row["claim"]: row for row in result["claims"]}
    assert {row["verdict"] for row in claims.values()} <= {"held", "refuted", "not seen"}
    for claim, word in LIKE_HELD.items():
        assert (claims[claim]["verdict"], word in claims[claim]["why"]) == ("held", True), claims[claim]
    unseen = {name for name, row in claims.items() if row["verdict"] == "not seen"}
    assert unseen == {"the other flavour of TensorRT is right too", "the packages of the other CUDA line run"}
    assert page.startswith("NVIDIA H200; 20")
    for row in claims.values():
        assert f"| {row['claim']} | **{row['verdict']}** |" in page
        assert f"| {row['claim']} | **{row['verdict']}** |" in done.stdout


def test_figures_of_rows_and_requests_are_there(report):
    parts = report[0]["parts"]
    for name in ("rows, ONNX Runtime", "rows, TensorRT"):
        assert set(parts[name]["rows"]) == {"1", "8", "32"}
        assert parts[name]["difference"] < 1e-4
    assert set(parts["requests together, TensorRT"]["tokens_per_s"]) == {"1", "2"}
    assert parts["tokens beside sound"]["sounds"] >= 1
