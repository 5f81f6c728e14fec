"""Whatever an option is given, the answer is speech or a line, never a traceback."""

import click
import pytest

from sovits_exporter.cli.main import main

NUMBERS = ("-1", "0", "1e400", "nan", "inf", "9223372036854775808", "99999999999", "", "x", "\x1b[2J")
SPOKEN = ("-1", "nan", "inf", "99999999999")
"""For the command that gets as far as speaking."""
PLACES = ("", ".", "/")


def options_of(command):
    """The options that take a value, with the switches that name them."""
    given = main.get_command(click.Context(main), command).params
    parameters = [p for p in given if not isinstance(p.type, click.Choice)]
    return [
        p.opts[-1] for p in parameters if isinstance(p, click.Option) and not p.is_flag and p.name != "output"
    ]


@pytest.fixture(scope="module")
def saved(reference, folder):
    path = folder / "me.npz"
    reference.save(path)
    return path


@pytest.fixture
def valid(tiny_bundle, saved, tmp_path):
    """Of each command that is tried, arguments that are good but for what is added."""
    nowhere = tmp_path / "nowhere"
    speak = ["--reference", saved, "--phones", "HH AH0", "--max-seconds", "0.4", "-o", tmp_path / "a.wav"]
    return {
        "speak": [tiny_bundle, *speak],
        "verify": [nowhere],
        "bench": [nowhere],
        "prepack": [nowhere],
        "convert": [nowhere, "-o", tmp_path / "out"],
        "build": ["--gpt", nowhere, "--sovits", nowhere, "-o", tmp_path / "out"],
        "reference": [nowhere, nowhere, "-o", tmp_path / "r.npz"],
        "phones": ["--lang", "en", "hello"],
    }


def assert_no_traceback(result, words):
    assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exception)


@pytest.mark.parametrize(
    "command", ["speak", "verify", "bench", "prepack", "convert", "build", "reference", "phones"]
)
def test_no_value_of_an_option_gives_a_traceback(run, valid, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    for option in options_of(command):
        for value in SPOKEN if command == "speak" else NUMBERS:
            assert_no_traceback(run(command, *valid[command], option, value), (option, value))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["speak", "reference", "convert", "build"])
def test_what_is_written_needs_a_name(run, valid, tmp_path, monkeypatch, command, place):
    monkeypatch.chdir(tmp_path)
    result = run(command, *valid[command], "-o", place)
    assert result.exit_code == 2
    assert ("got an empty path" if not place else "expected a name of its own") in result.output


def test_a_picture_needs_a_name_too(run, valid):
    result = run("speak", *valid["speak"], "--picture", ".")
    assert (result.exit_code, "expected a name of its own" in result.output) == (2, True)


@pytest.mark.parametrize("command", ["inspect", "verify", "lint"])
def test_an_empty_path_is_not_the_current_folder(run, tiny_bundle, monkeypatch, command):
    monkeypatch.chdir(tiny_bundle)
    assert run(command, "").exit_code == 2
