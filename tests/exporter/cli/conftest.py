"""Runs `sovits-export` in this process."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from sovits_exporter.cli.main import main


@pytest.fixture(scope="session")
def run():
    """Runs a command line; what it printed and how it exited is returned."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return run


@pytest.fixture(scope="session")
def two_sentences(tmp_path_factory: pytest.TempPathFactory):
    """A JSON file that holds two phone sentences."""
    path = tmp_path_factory.mktemp("phones") / "two.json"
    path.write_text('{"sentences": [["HH", "AH0", "L", "OW1", "."], ["HH", "AY1", "."]]}', encoding="utf-8")
    return path
