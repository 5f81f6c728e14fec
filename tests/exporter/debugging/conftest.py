"""A tiny voice in FP32 and FP16, and faults that are planted into copies of it (`planting.py`)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "gpu")]


@pytest.fixture(scope="session")
def pair(tiny_bundle, tmp_path_factory):
    """Folder of a tiny voice and of what `convert --fp16` makes of it. Do not change it: see `copies`."""
    folder = tmp_path_factory.mktemp("pair")
    shutil.copytree(tiny_bundle, folder / "voice")
    shutil.copytree(tiny_bundle.parent / "shared", folder / "shared")
    command = ["convert", str(folder / "voice"), "--fp16", "--no-verify", "-o", str(folder / "half")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def copies(pair, tmp_path):
    """The same, to change."""
    for name in ("voice", "half"):
        shutil.copytree(pair / name, tmp_path / name)
    (tmp_path / "shared").symlink_to(pair / "shared")
    return tmp_path


@pytest.fixture
def debug():
    """Runs `engine debug` on the CPU."""

    def run(*arguments: object):
        return CliRunner().invoke(main, ["engine", "debug", "--rounded", *map(str, arguments)])

    return run
