"""`voice add|list|remove|test` as a user types them."""

import json

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main


@pytest.fixture
def run(tmp_path):
    def run(*arguments, code=0):
        result = CliRunner().invoke(
            main, ["voice", *map(str, arguments), "--voices", str(tmp_path / "voices")]
        )
        assert result.exit_code == code, result.output
        return result

    return run


def test_a_voice_from_first_to_last(run, tmp_path, tiny_bundle, demo_files):
    ref = demo_files.reference_wav
    made = run(
        "add",
        "Alice",
        "--bundle",
        tiny_bundle,
        "--ref",
        ref,
        "--ref-phones",
        demo_files.reference,
        "--lang",
        "en",
    )
    assert "default.wav: kept " in made.stdout
    assert "Alice.toml: voice Alice, bundle " in made.stdout
    more = run("add", "alice", "--ref", ref, "--emotion", "happy", "--gain-db", "2")
    assert "recordings default, happy (happy)" in more.stdout
    listed = json.loads(run("list", "--json").stdout)
    assert [r["gain_db"] for r in listed["voices"][0]["references"]] == [0.0, 2.0]
    out = tmp_path / "hello.wav"
    spoken = run("test", "ALICE", "--ref", "happy", "--phones", "HH AH0 L OW1 .", "--threads", "1", "-o", out)
    assert f"{out}: " in spoken.stdout
    assert out.stat().st_size > 5000
    assert run("remove", "Alice", "--ref", "happy").stdout.endswith("recordings default\n")
    assert "removed Alice; its bundle" in run("remove", "alice").stdout
    assert "no voice; add one with 'voice add'" in run("list").stderr


def test_a_command_adds_all_or_nothing(run, tmp_path, tiny_bundle):
    (tmp_path / "noise.wav").write_bytes(b"no sound")
    failed = run("add", "Bob", "--bundle", tiny_bundle, "--ref", tmp_path / "noise.wav", code=1)
    assert failed.stderr.startswith("error: ")
    assert json.loads(run("list", "--json").stdout) == {"voices": [], "problems": []}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "Bob"], "bundle: got "),
        (["add", "../Bob", "--bundle", "BUNDLE"], "expected 1 to 64 characters"),
        (["remove", "Bob"], "there is no voice 'Bob'; there are: none"),
        (["test", "Bob", "-o", "x.wav"], "there is no voice 'Bob'"),
    ],
)
def test_errors_are_one_line(arguments, said, tmp_path, monkeypatch, tiny_bundle):
    monkeypatch.chdir(tmp_path)
    given = [str(tiny_bundle) if argument == "BUNDLE" else argument for argument in arguments]
    result = CliRunner().invoke(main, ["voice", *given])
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_profile_that_cannot_be_used_is_listed(run, tmp_path):
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices/bad.toml").write_text("name = 3", encoding="utf-8")
    assert "bad.toml: name: got 3, expected text" in run("list").stderr
