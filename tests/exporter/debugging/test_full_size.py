"""Full-size v2: faults are found and named within two minutes. Slow."""

from __future__ import annotations

import json
import re
import time

import pytest
from click.testing import CliRunner
from planting import louder, one_wrong, plant

from sovits_exporter.cli.main import main
from sovits_runtime.bundle import Bundle

pytestmark = pytest.mark.slow

WRONG = "t2s.h.layers.11.linear1.weight"
LINEAR1, LINEAR2 = "t2s.h.layers.5.linear1.weight", "t2s.h.layers.5.linear2.weight"


@pytest.fixture(scope="module")
def full(folder):
    """A full-size voice in FP32 and FP16."""
    from sovits_exporter.building.build import build
    from sovits_exporter.building.request import BuildRequest
    from sovits_exporter.demo.demo import write_demo_checkpoint

    files = write_demo_checkpoint(folder / "files", version="v2")
    request = BuildRequest(gpt=files.gpt, sovits=files.sovits, output=folder / "voice", verify=False)
    build(request)
    command = ["convert", str(folder / "voice"), "--fp16", "--no-verify", "-o", str(folder / "half")]
    assert CliRunner().invoke(main, command).exit_code == 0
    return folder


def debug(*arguments):
    start = time.perf_counter()
    result = CliRunner().invoke(main, ["engine", "debug", "--rounded", *map(str, arguments)])
    print(f"{time.perf_counter() - start:.1f} s")
    return result


def test_a_perturbed_weight_and_a_layer_beyond_half(full):
    """One after the other in the same copy: first a weight, then a layer before it, which the next one undoes."""
    plant(full / "half", "gpt_step", {WRONG: one_wrong})
    result = debug(full / "half", "gpt_step", "--json")
    assert result.exit_code == 3
    (found,) = json.loads(result.stdout)
    assert WRONG in found["first"]["weights"]

    for name in ("voice", "half"):
        plant(full / name, "gpt_step", {LINEAR1: louder(2.0**15), LINEAR2: louder(2.0**-15)})
    for graph in ("gpt_step", "gpt_prefill"):
        result = debug(full / "half", graph, "--fp32", full / "voice")
        assert result.exit_code == 3
        assert re.search(rf"graph {graph}: first wrong in \w+ \S+ \({re.escape(LINEAR1)}", result.stderr)
        assert "not finite" in result.stderr


def test_a_sound_vocoder_is_within_the_limits(full):
    assert Bundle.open(full / "half").precision == "fp16"
    result = debug(full / "half", "sovits_vocoder", "--fp32", full / "voice")  # whose GPT was changed above
    assert result.exit_code == 0, result.output
