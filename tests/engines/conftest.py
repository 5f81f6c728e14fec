"""A TensorRT that is not there, and a bundle whose engines folder may be filled."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from sovits_engines.targets import BuildTarget
from sovits_runtime.backends.trt_api import RTX, TrtApi
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import EngineTarget

FAKE = Path(__file__).with_name("fake_tensorrt.py")


@pytest.fixture(scope="session")
def fake_api() -> TrtApi:
    spec = importlib.util.spec_from_file_location("fake_tensorrt", FAKE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return TrtApi(RTX, module, module.__version__, 12)


@pytest.fixture
def fake_target(fake_api) -> BuildTarget:
    return BuildTarget(fake_api, EngineTarget(RTX, fake_api.version, 12, (8, 9)))


def _copied(bundle: Path, folder: Path, copy) -> Bundle:
    shutil.copytree(bundle.parent / "shared", folder / "shared", copy_function=copy)
    shutil.copytree(bundle, folder / "voice", copy_function=copy)
    return Bundle.open(folder / "voice")


@pytest.fixture
def engine_bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    """The tiny voice, its files linked, so that engines can be put beside them."""
    return _copied(tiny_bundle, tmp_path, os.link)


@pytest.fixture(scope="module")
def runnable_bundle(tiny_bundle: Path, folder: Path) -> Bundle:
    """The tiny voice, copied once a module, so that changed graphs can be put beside its weights and run."""
    return _copied(tiny_bundle, folder, shutil.copy)
