"""`engine debug` by its command line, without a GPU: planted faults are found and named, and nothing else is."""

from __future__ import annotations

import json
import re
import sys

import pytest
from click.testing import CliRunner
from planting import louder, one_wrong, plant

from sovits_exporter.cli.main import main
from sovits_runtime.bundle import Bundle

LAYER = "t2s.h.layers.1."
LINEAR1, LINEAR2 = f"{LAYER}linear1.weight", f"{LAYER}linear2.weight"
CONV = "dec.resblocks.1.convs1.0.weight"


@pytest.mark.parametrize("graph", ["gpt_step", "gpt_prefill", "prompt_tokens", "sovits_encoder"])
def test_a_sound_voice_is_within_the_limits(pair, debug, graph):
    result = debug(pair / "half", graph)
    assert result.exit_code == 0, result.output
    found = re.search(rf"graph {graph}: all (\d+) layers within 0.05, at most (\S+) of", result.output)
    assert int(found[1]) >= 10
    assert 0 <= float(found[2]) < 0.01


@pytest.mark.parametrize(
    ("graph", "weight"),
    [("gpt_step", LINEAR1), ("gpt_prefill", f"{LAYER}self_attn.in_proj_weight"), ("sovits_vocoder", CONV)],
)
def test_one_perturbed_weight_is_found_and_its_layer_named(copies, debug, graph, weight):
    plant(copies / "half", graph, {weight: one_wrong})
    report = copies / "made" / "page.html"
    result = debug(copies / "half", graph, "--json", "--report", report)
    assert result.exit_code == 3
    (found,) = json.loads(result.stdout)
    assert weight in found["first"]["weights"]
    assert found["first"]["not_finite"] == 0
    assert re.fullmatch(r"absolute differences: mean \S+, median \S+, largest \S+", found["first"]["spread"])
    at = next(i for i, layer in enumerate(found["layers"]) if not layer["passed"])
    assert found["layers"][at] == found["first"]
    assert all(layer["error"] < 0.01 for layer in found["layers"][:at])
    assert (
        f"graph {graph}: first wrong in {found['first']['op']} {found['first']['layer']} ({weight}"
        in result.stderr
    )
    page = report.read_text()
    assert page.startswith("<!doctype html>")
    assert "1 of 1 graphs differ" in page
    assert weight in page
    assert page.count("<tr>") >= len(found["layers"])
    assert "src=" not in page.replace("xmlns=", "")
    assert [p.name for p in report.parent.iterdir()] == ["page.html"]


def test_a_layer_beyond_half_is_found_and_what_it_takes_is_converted(copies, debug, caplog):
    """In FP32 a layer and the next undo each other; in FP16 what lies between them is infinite."""
    for name in ("voice", "half"):
        plant(copies / name, "gpt_step", {LINEAR1: louder(2.0**15), LINEAR2: louder(2.0**-15)})
    keep = copies / "keep.json"
    arguments = (copies / "half", "gpt_step", "--fp32", copies / "voice")
    result = debug(*arguments, "--keep", keep)
    assert result.exit_code == 3
    assert "was made of another FP32 bundle" in caplog.text
    line = next(
        line for line in result.stdout.splitlines() if line.startswith("graph gpt_step: first wrong in")
    )
    assert f"({LINEAR1}" in line
    assert "not finite" in line
    assert "got -inf to inf" in line
    assert (
        f"{keep}: 2 parts; sovits-export convert {copies / 'voice'} --fp16 --keep {keep} -o NEW"
        in result.stdout
    )
    (nodes,) = json.loads(keep.read_text())["graphs"].values()
    assert [n["op"] for n in nodes] == ["Gemm", "Gemm"]

    command = ["convert", "--fp16", "--no-verify", "--keep", keep, copies / "voice", "-o", copies / "again"]
    assert CliRunner().invoke(main, list(map(str, command))).exit_code == 0
    islands = {n["node"] for n in Bundle.open(copies / "again").manifest["precision"]["islands"]["gpt_step"]}
    assert {n["node"] for n in nodes} <= islands
    assert debug(copies / "again", "gpt_step").exit_code == 0


def test_weights_that_differ_are_no_matter_of_precision(copies, debug):
    plant(copies / "half", "gpt_step", {LINEAR1: one_wrong})
    result = debug(copies / "half", "gpt_step", "--keep", copies / "keep.json")
    assert result.exit_code == 3
    assert "graph gpt_step: converted anew it is right as it is" in result.stdout
    assert f"{copies / 'keep.json'}: not written" in result.stdout
    assert not (copies / "keep.json").exists()


def test_an_fp32_bundle_is_looked_at_as_it_would_be_converted(pair, debug):
    result = debug(pair / "voice", "gpt_step")
    assert result.exit_code == 0, result.output
    assert "graph gpt_step: all " in result.output


def test_all_graphs_in_one_go(pair, debug):
    result = debug(pair / "half", "--json")
    found = {f["graph"]: f for f in json.loads(result.stdout)}
    assert set(found) == set(Bundle.open(pair / "half").graph_names)
    assert all(f["runs"] and f["layers"] and f["first"] is None for f in found.values())
    assert result.exit_code == 0


def test_a_layer_that_is_not_there(pair, debug):
    result = debug(pair / "half", "gpt_stop")
    assert result.exit_code == 1
    assert "no graph gpt_stop; it has " in result.stderr


def test_the_fp32_bundle_is_asked_for(copies, debug):
    (copies / "voice").rename(copies / "elsewhere.d")
    plant(copies / "elsewhere.d", "gpt_step", {LINEAR1: one_wrong})
    result = debug(copies / "half", "gpt_step")
    assert result.exit_code == 1
    assert "is not beside it; name it with --fp32" in result.stderr
    result = debug(copies / "half", "gpt_step", "--fp32", copies / "half")
    assert "half: is fp16; --fp32 names the FP32 bundle" in result.stderr


def test_without_polygraphy_one_line_says_what_to_install(pair, debug, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "polygraphy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "polygraphy", None)
    result = debug(pair / "half", "gpt_step")
    assert result.exit_code == 1
    assert result.stderr.strip().endswith("pip install 'sovits-export[debug]'")
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_machine_without_a_gpu_says_what_it_does_instead(pair):
    from sovits_engines.cuda.driver import probe_driver_apart

    if probe_driver_apart().gpus:
        pytest.skip("there is a GPU")
    arguments = ["engine", "debug", str(pair / "half"), "prompt_tokens"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert result.stderr.startswith("no GPU (no NVIDIA driver is installed): FP32 is compared with FP16")
    result = CliRunner().invoke(main, [*arguments, "--flavour", "rtx"])
    assert result.exit_code == 2
    assert "--flavour goes with a GPU" in result.stderr
