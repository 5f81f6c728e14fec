"""Settings by file, environment and flags, and the command that takes them."""

import os
import re
import signal
import subprocess
import sys
import time

import httpx
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_server.config import SECTIONS, Config, load_config
from sovits_server.problems import ConfigError


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    (tmp_path / "voice").mkdir()
    file = tmp_path / "serve.toml"
    file.write_text(
        'bundles = ["voice"]\nport = 1\nqueue = 2\nrows = 3\napi_key = ["from-the-file"]\n', encoding="utf-8"
    )
    environment = {
        "SOVITS_SERVE_QUEUE": "20",
        "SOVITS_SERVE_ROWS": "20",
        "SOVITS_SERVE_CORS_ORIGIN": "http://a, http://b",
    }
    config = load_config({"rows": 30}, file=file, environment=environment)
    assert (config.port, config.queue, config.rows) == (1, 20, 30)
    assert config.bundles == (tmp_path / "voice",)
    assert config.cors_origin == ("http://a", "http://b")
    assert "from-the-file" not in repr(config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "port = 1\n\nrows = 'many'",
            r"serve.toml, line 3: rows: input should be a valid integer.*got 'many'",
        ),
        ("port = 99999", r"line 1: port: input should be less than or equal to 65535"),
        ("colour = 1", r"line 1: colour: there is no such setting; expected one of alias"),
        ("port = = 1", r"cannot be read as TOML: .*line 1"),
        ("[queue]\nport = 1", r"line 1: queue: input should be a valid integer"),
        ('api_key = ["short"]', r"api_key: got a key of 5 characters, expected 8 or more"),
        ('host = "0.0.0.0"', r"can be reached from other machines; give --api-key KEY, or --insecure"),
        ('alias = ["alloy"]', r"alias: got 'alloy', expected NAME=VOICE"),
        ("bundles = ['nowhere']", r"bundles: .*nowhere is no folder; check the path"),
        ("zeroconf = true", r"zeroconf: .* give --wyoming-port too"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, words):
    file = tmp_path / "serve.toml"
    file.write_text(text, encoding="utf-8")
    flags = {} if "bundles" in text else {"bundles": [tmp_path]}
    with pytest.raises(ConfigError, match=words):
        load_config(flags, file=file, environment={})


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("QUEUE", "-1"), ("STALL_S", "nan"), ("DRAIN_S", "inf")]
)
def test_a_variable_is_named(tmp_path, name, value):
    with pytest.raises(ConfigError, match=f"^SOVITS_SERVE_{name}: .*got '{value}'"):
        load_config({"bundles": [tmp_path]}, environment={f"SOVITS_SERVE_{name}": value})


def test_every_setting_has_words_and_a_heading():
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted([*listed, "bundles"]) == sorted(Config.model_fields)
    assert all(field.description for field in Config.model_fields.values())


def test_the_command_offers_every_setting():
    shown = CliRunner().invoke(main, ["serve", "--help"]).output
    for name in Config.model_fields:
        assert name == "bundles" or f"--{name.replace('_', '-')}" in shown
    assert list(SECTIONS) == re.findall(r"^(\w[^:\n]*):$", shown, re.MULTILINE)[: len(SECTIONS)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "bundles: got no voice"),
        (["VOICE", "--host", "0.0.0.0"], "--insecure"),
        (["VOICE", "VOICE"], "have one name"),
        (["VOICE", "--default-voice", "nobody"], "default_voice: "),
        (["VOICE", "--config", "nowhere.toml"], "cannot be read as TOML"),
    ],
)
def test_wrong_use_is_one_line(tiny_bundle, tmp_path, arguments, words):
    if arguments.count("VOICE") == 2:
        os.symlink(tiny_bundle, tmp_path / tiny_bundle.name)
        arguments = [str(tiny_bundle), str(tmp_path / tiny_bundle.name)]
    result = CliRunner().invoke(
        main, ["serve", *(str(tiny_bundle) if a == "VOICE" else a for a in arguments)]
    )
    if "one name" in words and result.exit_code == 0:
        pytest.skip("the same folder")
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_the_command_starts_speaks_and_drains(tiny_bundle, demo_files, tmp_path):
    """As a user starts it, on any free port; SIGTERM lets what is being said end."""
    command = [sys.executable, "-c", "from sovits_exporter.cli.start import main; main()", "serve", str(tiny_bundle),
               "--port", "0", "--ref", str(demo_files.reference_wav), "--max-seconds", "0.5", "--cache-mb", "0",
               "--log-format", "json"]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        base = re.search(r"click: (http://127\.0\.0\.1:\d+)/", "".join(lines))[1]
        assert lines[2].startswith("curl:  curl ")
        with httpx.Client(base_url=base, timeout=60) as http:
            end = time.monotonic() + 60
            while http.get("/ready").status_code != 200:
                assert time.monotonic() < end
                time.sleep(0.1)
            ask = {"input": "Hello there. " * 20, "response_format": "pcm", "language": "en"}
            before = http.post("/v1/audio/speech", json=ask).content
            with http.stream("POST", "/v1/audio/speech", json=ask) as answer:
                pieces = answer.iter_raw()
                first = next(pieces)
                process.send_signal(signal.SIGTERM)
                whole = first + b"".join(pieces)
        assert whole == before
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        errors = process.communicate()[1]
    assert "Traceback" not in errors
    assert all(line.startswith("{") for line in errors.splitlines())


def test_a_voice_without_a_recording_is_told_how_to_get_one(tiny_bundle, configure):
    from live_server import running

    from sovits_server.run.process import welcome

    with running(configure(voices=None, bundles=[tiny_bundle], default_voice="")) as live:
        assert "--ref WAV --ref-text" in welcome(live.server.config, live.server, live.port)[-1]
        with live.client() as http:
            answer = http.post("/v1/audio/speech", json={"input": "Hello.", "voice": tiny_bundle.name})
            assert answer.status_code == 400
            assert "--ref WAV --ref-text TEXT --ref-lang LANG" in answer.json()["error"]["message"]
            assert http.get("/ready").status_code == 503


def test_an_address_that_is_taken_is_one_line(live, tiny_bundle):
    result = CliRunner().invoke(main, ["serve", str(tiny_bundle), "--port", str(live.port)])
    assert result.exit_code == 2
    assert "cannot be listened on" in result.output
