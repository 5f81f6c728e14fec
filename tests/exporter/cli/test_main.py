"""The command as a whole: its help, what it imports, and how errors are printed."""

import errno
import os
import shlex
import subprocess
import sys
from importlib.util import find_spec

import pytest
import soundfile

needs_english = pytest.mark.skipif(
    not all(map(find_spec, ("pronouncing", "g2p_en", "wordsegment"))), reason="the extra en is not installed"
)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["speak", "nowhere", "--reference", "x", "--phones", "HH", "-o", "a.wav"], 1, "not a bundle"),
        (["speak", "nowhere", "--phones", "HH", "-o", "a.wav"], 1, "not a bundle"),
        (["build", "--gpt", "no.ckpt", "--sovits", "no.pth", "-o", "out"], 1, "no.ckpt"),
        (["build", "--gpt", "no.ckpt"], 2, "--sovits"),
        (["verify"], 2, "BUNDLE"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(run, args, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*args)
    assert result.exit_code == code, result.output
    assert message in result.output
    if code == 1:
        errors = [line for line in result.output.splitlines() if not line.startswith("[")]
        assert len(errors) == 1
        assert errors[0].startswith("error: ")


@pytest.mark.parametrize(
    "command",
    [
        "bench",
        "build",
        "convert",
        "demo-checkpoint",
        "doctor",
        "engine",
        "inspect",
        "lint",
        "phones",
        "prepack",
        "reference",
        "speak",
        "verify",
    ],
)
def test_help_explains(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_first_lines_to_type_keep_their_lines(run):
    result = run("--help")
    assert "\n    sovits-export demo-checkpoint demo " in result.output
    assert "\\b" not in result.output


@needs_english
def test_the_first_lines_to_type_run_as_they_stand(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = run("--help").output.partition("Start here")[2].partition("Exit codes")[0].replace("\\\n", " ")
    commands = [shlex.split(line) for line in lines.splitlines() if "sovits-export" in line]
    assert [words[1] for words in commands] == ["demo-checkpoint", "build", "speak"]
    for _, *words in commands:
        result = run(*words)
        assert result.exit_code == 0, result.output
    samples, rate = soundfile.read("hello.wav")
    assert len(samples) / rate > 2
    assert samples.std() > 0.01


def test_the_command_starts_without_what_only_some_commands_need():
    heavy = {"torch", "onnx", "onnx_ir", "onnxruntime", "soundfile", "tensorrt", "sovits_runtime.bench"}
    code = f"import sys, sovits_exporter.cli.main; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("name", "line"), [("ENOSPC", "No space left"), ("EFBIG", "too large")])
def test_a_full_disk_is_one_line(run, monkeypatch, name, line):
    """A write that fails does not say which file it was."""

    def full(path, **_):
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    monkeypatch.setattr("sovits_runtime.bundle.Bundle.open", full)
    result = run("inspect", "voice")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert line in result.stderr
    assert "the free space" in result.stderr
