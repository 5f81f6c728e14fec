"""What all commands print alike."""

import io
import json
import os
import shutil
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.output import progress_line, show_conversion, show_notes, write_utf8


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


CHINESE = "声音-ü.onnx"


@pytest.mark.parametrize("code_page", ["cp1252", "cp936", "ascii"])
def test_pipes_and_files_get_utf8_whatever_the_code_page(monkeypatch, code_page):
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, file in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(file, encoding=code_page, write_through=True))
    write_utf8()
    print(CHINESE)
    print(CHINESE, "\udce5", file=sys.stderr)  # a byte of a name that is no UTF-8
    assert written["stdout"].getvalue() == f"{CHINESE}\n".encode()
    assert written["stderr"].getvalue() == f"{CHINESE} \\udce5\n".encode()


def test_a_terminal_and_who_asked_for_an_encoding_keep_theirs(monkeypatch):
    class Terminal(io.BytesIO):
        def isatty(self):
            return True

    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    for variable, file in (("", Terminal()), ("cp1252", io.BytesIO())):
        if variable:
            monkeypatch.setenv("PYTHONIOENCODING", variable)
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file, encoding="cp1252", write_through=True))
        write_utf8()
        print("ü声")
        assert file.getvalue() == b"\xfc\\u58f0\n"


def test_the_command_writes_json_that_others_read(tiny_bundle, tmp_path):
    """A voice of a Chinese name, where stdout is opened in the code page of Western Windows."""
    shutil.copytree(tiny_bundle, tmp_path / "声音")
    shutil.copytree(tiny_bundle.parent / "shared", tmp_path / "shared")
    code = (
        "import sys; sys.stdout = open(1, 'w', encoding='cp1252', closefd=False);"
        "from sovits_exporter.cli.start import main; main()"
    )
    command = [sys.executable, "-c", code, "inspect", str(tmp_path / "声音"), "--json"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONIOENCODING"}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment)
    assert done.returncode == 0
    assert "声音".encode() in done.stdout
    assert json.loads(done.stdout)
