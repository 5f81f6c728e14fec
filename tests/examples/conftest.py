"""The examples as modules, and what they are given."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
PHONES = "HH AH0 L OW1 ."


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def play():
    return example("play")


@pytest.fixture(scope="session")
def cancel():
    return example("cancel")


@pytest.fixture(scope="session")
def saved_reference(reference, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "me.npz"
    reference.save(path)
    return path
