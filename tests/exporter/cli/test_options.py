"""Parameters of a command as one dataclass."""

from __future__ import annotations

from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.options import DEVICE, THREADS, read_options, takes
from sovits_runtime.backends.voice import LoadOptions


@dataclass(frozen=True, kw_only=True)
class Options:
    name: str
    load: LoadOptions


def test_fields_of_a_field_are_read_too_and_what_a_command_lacks_keeps_its_default():
    parameters = {"name": "a", "threads": 2, "device": "cuda", "other": 1}
    options = read_options(Options, parameters)
    assert options == Options(name="a", load=LoadOptions(threads=2, device="cuda"))
    assert parameters == {"other": 1}


def test_a_field_without_its_parameter_is_an_error():
    with pytest.raises(TypeError, match="name"):
        read_options(Options, {"threads": 2})


def command(*declarations):
    @takes(Options)
    def speak(options: Options) -> None:
        """Says so."""
        click.echo(repr(options))

    for declare in declarations:
        speak = declare(speak)
    return click.command(speak)


def test_a_command_gets_its_parameters_as_one():
    made = command(DEVICE, THREADS, click.option("--name"))
    result = CliRunner().invoke(made, ["--name", "a", "--threads", "3"])
    assert result.output == f"{Options(name='a', load=LoadOptions(threads=3))!r}\n"
    assert made.help == "Says so."


def test_a_parameter_without_its_field_is_an_error():
    made = command(DEVICE, click.option("--name"), click.option("--more"))
    result = CliRunner().invoke(made, ["--name", "a"])
    assert isinstance(result.exception, AssertionError)
    assert "Options has no more" in str(result.exception)
