"""What all commands print alike."""

import click
from click.testing import CliRunner

from sovits_exporter.cli.output import progress_line, show_conversion, show_notes


def printed(function, *arguments):
    return CliRunner().invoke(click.command()(lambda: function(*arguments)))


def test_progress_off_a_terminal_is_a_line_a_step_and_each_tenth():
    def work():
        with progress_line() as progress:
            for done in range(101):
                progress("read", done, 100)
            progress("write", 0, 0)

    lines = printed(work).stderr.splitlines()
    assert lines == [*(f"[{10 * i:>3} %] read" for i in range(11)), "[  0 %] write"]


def test_notes_go_beside_the_result():
    result = printed(show_notes, ["dropped ☃", "read 15 as fifteen"])
    assert result.stdout == ""
    assert result.stderr == "note: dropped ☃\nnote: read 15 as fifteen\n"


def test_an_fp16_bundle_says_what_stays_in_fp32_and_why():
    manifest = {
        "precision": {
            "islands": {"hubert": [{"reason": "range"}, {"reason": "range"}, {"reason": "sum"}], "bert": []}
        },
        "graphs": {"hubert": {"check": {"cosine": 0.99999}}, "bert": {"check": {"runs": 0}}},
    }
    lines = printed(show_conversion, manifest).output.splitlines()
    assert lines[1].split() == ["hubert", "0.9999900", "3", "2", "range,", "1", "sum"]
    assert lines[2].split() == ["bert", "unknown", "0"]


def test_an_fp32_bundle_has_no_conversion_to_show():
    assert printed(show_conversion, {"graphs": {}}).output == ""
