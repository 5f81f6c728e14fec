"""The commands as a user types them: what they print and how they exit."""

import errno
import json
import os

import pytest
import soundfile
from click.testing import CliRunner

from sovits_exporter.cli.main import main


def run(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture
def spoken(tiny_bundle, demo_files, tmp_path):
    out = tmp_path / "speech.wav"
    result = run(
        "speak", tiny_bundle, "--ref", demo_files.reference_wav, "--ref-phones", demo_files.reference,
        "--phones", "HH AH0 L OW1 .", "--max-seconds", "0.8", "-o", out, "--picture", tmp_path / "speech.png", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), out


def test_speak_writes_the_wav_and_the_picture_it_names(spoken, tmp_path):
    answer, out = spoken
    samples, rate = soundfile.read(out)
    assert rate == 32000
    assert len(samples) / rate == pytest.approx(answer["duration_s"])
    assert answer["sentences"][0]["tokens"] == 20
    assert (tmp_path / "speech.png").read_bytes().startswith(b"\x89PNG")


def test_reference_is_saved_and_spoken_from(tiny_bundle, demo_files, tmp_path, spoken):
    saved, out = tmp_path / "me.npz", tmp_path / "again.wav"
    made = run(
        "reference", tiny_bundle, demo_files.reference_wav, "--phones", demo_files.reference, "-o", saved
    )
    assert made.exit_code == 0, made.output
    again = run(
        "speak",
        tiny_bundle,
        "--reference",
        saved,
        "--phones",
        "HH AH0 L OW1 .",
        "--max-seconds",
        "0.8",
        "-o",
        out,
    )
    assert again.exit_code == 0, again.output
    assert out.read_bytes() == spoken[1].read_bytes()


def test_verify_passes_and_reports(tiny_bundle, tmp_path):
    result = run("verify", tiny_bundle, "--full", "--json", "--report", tmp_path / "r")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passed"] is True
    assert (tmp_path / "r" / "report.html").is_file()


def test_verify_fails_with_exit_code_3(copied_bundle):
    from sovits_runtime.bundle import manifest_digest

    path = copied_bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["tolerances"]["waveform"] = 0.0
    manifest["digest"] = manifest_digest(manifest)
    path.write_text(json.dumps(manifest))
    result = run("verify", copied_bundle)
    assert result.exit_code == 3
    assert "waveform" in result.output


def test_inspect_shows_what_is_inside(tiny_bundle, demo_files):
    text = run("inspect", tiny_bundle)
    assert text.exit_code == 0, text.output
    for word in ("v2", "32000 Hz", "gpt_step", "hubert-", "demo-sovits.pth", "passed"):
        assert word in text.output
    assert json.loads(run("inspect", tiny_bundle, "--json").output)["model"]["version"] == "v2"


def test_demo_checkpoint_writes_what_build_takes(tmp_path):
    result = run("demo-checkpoint", tmp_path / "demo", "--tiny")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "demo" / "demo-gpt.ckpt").is_file()
    assert (tmp_path / "demo" / "chinese-hubert-base" / "config.json").is_file()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["speak", "nowhere", "--reference", "x", "--phones", "HH", "-o", "a.wav"], 1, "not a bundle"),
        (["speak", "nowhere", "--phones", "HH", "-o", "a.wav"], 2, "either --ref"),
        (["build", "--gpt", "no.ckpt", "--sovits", "no.pth", "-o", "out"], 1, "no.ckpt"),
        (["build", "--gpt", "no.ckpt"], 2, "--sovits"),
        (["verify"], 2, "BUNDLE"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(args, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*args)
    assert result.exit_code == code, result.output
    assert message in result.output
    if code == 1:
        errors = [line for line in result.output.splitlines() if not line.startswith("[")]
        assert len(errors) == 1
        assert errors[0].startswith("error: ")


def test_device_without_its_provider_is_refused_not_replaced(tiny_bundle):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime offers CUDA")
    result = run("verify", tiny_bundle, "--device", "cuda")
    assert result.exit_code == 1
    assert "device 'cuda' cannot be used: no NVIDIA driver is installed" in result.output


@pytest.mark.parametrize(
    "command", ["build", "speak", "verify", "bench", "inspect", "doctor", "demo-checkpoint", "reference"]
)
def test_help_explains(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_first_lines_to_type_keep_their_lines():
    result = run("--help")
    assert "\n    sovits-export demo-checkpoint demo " in result.output
    assert "\\b" not in result.output


def test_a_place_that_cannot_be_written_is_named(tiny_bundle, demo_files, tmp_path):
    out = tmp_path / "no" / "such" / "me.npz"
    result = run("reference", tiny_bundle, demo_files.reference_wav, "-o", out)
    assert result.exit_code == 1
    assert str(out.parent) in result.output
    assert "check the path" in result.output


@pytest.mark.parametrize(("name", "line"), [("ENOSPC", "No space left"), ("EFBIG", "too large")])
def test_a_full_disk_is_one_line(monkeypatch, name, line):
    """A write that fails does not say which file it was."""

    def full(path, **_):
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    monkeypatch.setattr("sovits_runtime.bundle.Bundle.open", full)
    result = run("inspect", "voice")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert line in result.stderr
    assert "the free space" in result.stderr
