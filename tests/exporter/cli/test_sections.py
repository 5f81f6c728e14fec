"""`--help` in sections."""

import re

import click
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.sections import SectionedCommand, section


def headings(text):
    return re.findall(r"^(\S.*):$", text, re.MULTILINE)


def test_options_stand_under_their_headings_in_the_order_declared():
    @click.command(cls=SectionedCommand)
    @click.argument("bundle")
    @section("Files", click.option("--first"), click.option("--second"))
    @click.option("--alone")
    @section("Voice", click.option("--third"), click.option("--unseen", hidden=True))
    def build(**_):
        pass

    text = CliRunner().invoke(build, ["--help"]).output
    assert headings(text) == ["Files", "Voice", "Other options"]
    assert re.findall(r"--(\w+)", text) == ["first", "second", "third", "alone", "help"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "build",
            ["What people have", "Files, one by one", "Voice", "Precision", "Engines", "Other options"],
        ),
        ("speak", ["Text", "Voice", "Sampling", "Output", "Device", "Other options"]),
        ("convert", ["Files", "Precision", "Other options"]),
    ],
)
def test_long_helps_have_sections(run, command, expected):
    assert headings(run(command, "--help").output) == expected
