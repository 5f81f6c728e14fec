"""`sovits-export demo`: every step as a command that could be typed, on every system."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from sovits_exporter.cli import demo as module

ROOT = Path(__file__).parents[3]
PLAYER = """#!/bin/sh
echo "$1" > "$(dirname "$0")/played"
exit {code}
"""


@pytest.fixture
def commands(monkeypatch):
    """The commands that would be run; each succeeds unless `failing` names it."""

    class Run:
        def __init__(self):
            self.seen, self.failing = [], {}

        def __call__(self, command, **_):
            assert tuple(command[: len(module.COMMAND)]) == module.COMMAND
            self.seen.append(command[len(module.COMMAND) :])
            code = self.failing.get(self.seen[-1][0], 0)
            return subprocess.CompletedProcess(command, code)

    recorder = Run()
    monkeypatch.setattr(module.subprocess, "run", recorder)
    return recorder


def options_of(run, command):
    return set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", run(command, "--help").output))


def test_every_step_is_a_command_with_options_that_exist(run, commands, tmp_path):
    result = run("demo", "--out", tmp_path / "out", "--no-play")
    assert result.exit_code == 0, result.output
    names = ["demo-checkpoint", "build", "verify", "speak", "demo-checkpoint", "build", "bench"]
    assert [command[0] for command in commands.seen] == names
    shown = [line for line in result.output.splitlines() if line.startswith("sovits-export ")]
    assert len(shown) == len(names)
    for command in commands.seen:
        given = {word for word in command[1:] if word.startswith("-")}
        assert given <= options_of(run, command[0])
    assert [line[4:7] for line in result.output.splitlines() if line.startswith("==> ")] == [
        f"{i}/7" for i in range(1, 8)
    ]


def test_files_that_are_there_are_used_again(run, commands, tmp_path):
    for name in ("voice-files", "full-files"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "reference.json").touch()
    assert run("demo", "--out", tmp_path, "--no-play").exit_code == 0
    assert "demo-checkpoint" not in [command[0] for command in commands.seen]


def test_another_version_brings_its_parts_and_a_folder_of_its_own(run, commands, tmp_path):
    assert run("demo", "--out", tmp_path, "--no-play", "--version", "v4", "--tiny").exit_code == 0
    made, built = commands.seen[4:6]
    assert made == ["demo-checkpoint", str(tmp_path / "tiny-v4-files"), "--version", "v4", "--tiny"]
    assert built[-4:] == ["--pretrained", str(tmp_path / "tiny-v4-files"), "-o", str(tmp_path / "tiny-v4")]


def test_it_ends_at_the_first_step_that_fails_with_its_exit_code(run, commands, tmp_path):
    commands.failing = {"verify": 3}
    result = run("demo", "--out", tmp_path, "--no-play")
    assert result.exit_code == 3
    assert commands.seen[-1][0] == "verify"
    assert "4/7" not in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="Windows plays by itself")
@pytest.mark.parametrize(("first", "heard_by"), [(0, "pw-play"), (1, "aplay")])
def test_what_plays_is_found_and_the_next_one_tried(tmp_path, monkeypatch, first, heard_by):
    for name, code in (("pw-play", first), ("aplay", 0)):
        player = tmp_path / name
        player.write_text(PLAYER.format(code=code), encoding="utf-8")
        player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(module, "PLAYERS", ("pw-play", "aplay"))
    assert module.play(tmp_path / "a.wav") == heard_by
    assert (tmp_path / "played").read_text(encoding="utf-8").strip() == str(tmp_path / "a.wav")
    monkeypatch.setattr(module, "PLAYERS", ())
    assert module.play(tmp_path / "a.wav") == ""


def test_make_demo_is_this_command():
    recipe = re.search(
        r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert recipe is not None
    assert recipe[1] == "\t@$(CLI) demo --out $(OUT) --threads $(THREADS)\n"


@pytest.mark.slow
def test_all_of_it_with_a_tiny_second_voice(tmp_path):
    out = tmp_path / "的 demo"
    command = [*module.COMMAND, "demo", "--tiny", "--no-play", "--threads", "1", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert soundfile.info(out / "speech.wav").duration > 1
    for name in ("speech.png", "verify/report.html", "bench/bench.html", "tiny/manifest.json"):
        assert (out / name).is_file()
    assert "speech.wav" in done.stdout.splitlines()[-2]
