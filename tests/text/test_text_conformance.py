"""The tool that replays recorded lines of the official front end: it must be able to fail."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sovits_runtime.text.split import cut

TOOL = Path(__file__).parents[1] / "text_conformance.py"
TEXT = "One. Two! Three?"


@pytest.fixture
def replay(tmp_path):
    """Runs the tool on lines; gives its exit code and what it printed."""

    def run(*lines, more=()):
        file = tmp_path / "lines.jsonl"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, TOOL, file, *more], capture_output=True, text=True, encoding="utf-8", check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run


def cut_line(out):
    return json.dumps({"kind": "cut", "method": "cut4", "text": TEXT, "out": out})


def test_one_line_of_a_hundred_that_differs_fails(replay):
    good, wrong = cut_line(cut(TEXT, "cut4")), cut_line("another")
    code, printed = replay(*[good] * 99)
    assert (code, "limit 100 %  ok" in printed) == (0, True)
    code, printed = replay(*[good] * 99, wrong)
    assert code == 1
    assert "agrees in 99.00 %, expected at least 100 %" in printed
    assert replay(*[good] * 99, wrong, more=["--min", "99"])[0] == 0


@pytest.mark.parametrize(
    ("lines", "more", "words"),
    [
        ([], [], "nothing to replay"),
        ([cut_line("x")], ["--lang", "zh"], "nothing to replay"),
        (['{"kind": "of tomorrow"}'], [], "1 lines are of an unknown kind"),
    ],
)
def test_nothing_replayed_is_no_success(replay, lines, more, words):
    code, printed = replay(*lines, more=more)
    assert (code, words in printed) == (1, True), printed


def test_a_file_of_something_else_is_wrong_use(replay):
    code, printed = replay("no JSON")
    assert (code, "no recorded lines" in printed, "Traceback" in printed) == (2, True, False)
