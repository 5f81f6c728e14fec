"""The low-latency benchmark: its arithmetic, its rounds, and a run on the tiny voice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "cpu"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize(
    ("came", "sound", "margin"),
    [
        ([0.5, 0.9, 1.2], [0.5, 1.0, 1.0], 0.1),  # needed at 0.5, 1.0, 2.0
        ([0.5, 1.4, 1.5], [0.5, 1.0, 1.0], -0.4),
        ([0.5], [2.0], 0.0),
    ],
)
def test_a_player_runs_dry_when_a_chunk_comes_after_the_sound_before_it(came, sound, margin):
    from latency_stream import player_margin

    assert player_margin(came, sound) == pytest.approx(margin)


def test_ratios_are_taken_within_each_round():
    from contestant_process import Round
    from latency_whole import summary

    def seconds(prefill, gpt, sovits):
        return {"prefill": prefill, "gpt": gpt, "sovits": sovits, "whole": gpt + sovits}

    rounds = [
        Round({"ours": seconds(0.1 * k, 1.1 * k, 1.0 * k), "original": seconds(0.2 * k, 4.2 * k, 2.0 * k)})
        for k in (1, 3, 2)
    ]
    found = summary(rounds, 102, ["ours", "original"])["parties"]
    assert found["ours"]["whole_s"] == pytest.approx(4.2)
    assert found["ours"]["tokens_per_s"] == pytest.approx(50)
    ratios = found["ours"]["times_faster"]["original"]
    assert (ratios["whole"], ratios["tokens"]) == (pytest.approx(6.2 / 2.1), pytest.approx(4))
    assert found["original"]["times_faster"] == {}


@linux
def test_rounds_that_others_disturbed_count_only_when_there_are_no_better_ones(monkeypatch):
    import contestant_process

    shares = iter([0.0, 0.5, 0.05, 0.3, 0.2, 0.02])

    def one_round(contestants, turn):
        return contestant_process.Round({name: {"run": 1.0} for name in contestants}, next(shares))

    monkeypatch.setattr(contestant_process, "_one_round", one_round)
    rounds = contestant_process.take_turns(["a", "b"], None, repeats=2, most=4, quiet=0.1)
    assert [r.others for r in rounds] == [0.05, 0.2]


@linux
def test_every_scenario_runs_and_says_what_it_found(tiny_bundle, tmp_path):
    sizes = ["--threads", "1", "--tokens", "60", "--repeats", "1", "--most-repeats", "1"]
    lengths = ["--first-audio-s", "2", "--long-s", "5", "--soak", tiny_bundle, "--soak-requests", "12"]
    command = [
        sys.executable,
        BENCHMARKS / "low_latency.py",
        tiny_bundle,
        *sizes,
        *lengths,
        "-o",
        tmp_path / "r",
    ]
    done = subprocess.run(
        [str(c) for c in command],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    (name,) = found["bundles"]
    assert name == "ours fp32"
    assert (
        found["whole"]["1"]["parties"][name]["gpt_s"] > 0
    )  # tokens a second are a difference, which noise turns
    assert sum(found["stream"]["parties"][name]["runs"][0]["sound_s"]) == pytest.approx(2)
    assert len(found["chunks"]["parties"][name]["sound_s"]["chunks"]) == 5
    memory = found["memory"]["parties"][name]["memory_bytes"]
    assert 0 < memory["second_process"]["private"] < memory["second_process"]["resident"]
    assert memory["released"]["resident"] < memory["reference_read"]["peak"]
    assert found["soak"]["cancelled"] == 4
    assert found["soak"]["threads_left"] == 0
    assert done.stdout.count("|---") >= 4
    assert (tmp_path / "r.md").read_text(encoding="utf-8") in done.stdout


@linux
def test_a_scenario_that_fails_says_why_and_the_others_go_on(tiny_bundle, tmp_path):
    baseline = ["--original", tmp_path / "nothing", "--checkpoints", f"{tmp_path}/a.ckpt,{tmp_path}/b.pth"]
    command = [
        sys.executable,
        BENCHMARKS / "low_latency.py",
        tiny_bundle,
        "--only",
        "whole",
        "chunks",
        *baseline,
    ]
    command += ["--repeats", "1", "--long-s", "4", "-o", tmp_path / "r"]
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1
    found = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert "original failed" in found["whole"]["failed"]
    assert found["chunks"]["parties"]
