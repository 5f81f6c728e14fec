"""One tiny voice for all tests: official-format files, built once a session into a bundle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# Two cores must do for the whole suite; more threads only make tiny graphs slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


MADE = os.environ.get("SOVITS_TEST_VOICE", "")
"""A folder as tools/foreign.py:tiny_voice makes it: the tests run on its voice, so that what was built on one system is
tried on another."""


def _files_in(folder: Path) -> SimpleNamespace:
    """What `write_demo_checkpoint` returns, of files that are there."""
    names = {"gpt": "demo-gpt.ckpt", "sovits": "demo-sovits.pth", "hubert": "chinese-hubert-base"}
    names |= {"reference_wav": "reference.wav", "reference": "reference.json", "target": "target.json"}
    names |= {"bert": "chinese-roberta-wwm-ext-large"}
    return SimpleNamespace(**{key: folder / name for key, name in names.items()})


def _one_core_each() -> None:
    """Gives each of several pytest-xdist workers a core of its own, or their threads would wait for each other."""
    worker, count = (
        os.environ.get("PYTEST_XDIST_WORKER", ""),
        os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"),
    )
    if worker.startswith("gw") and int(count) > 1 and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})


_one_core_each()


@pytest.fixture(scope="session", autouse=True)
def own_caches(tmp_path_factory: pytest.TempPathFactory):
    """Nothing is read from the user's caches or from what was fetched, and nothing is left there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOVITS_EXPORT_CACHE", str(tmp_path_factory.mktemp("caches")))
        patch.setenv("SOVITS_EXPORT_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest):
    """What a module's tests share on disk; removed after them: those of all modules fill 8 GB."""
    path = tmp_path_factory.mktemp(request.path.stem)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def without_torch():
    """Runs a command where torch cannot be imported, and returns the JSON that it prints."""
    code = "import sys; sys.modules['torch'] = None; from sovits_exporter.cli.main import main; main(sys.argv[1:])"

    def run(*arguments: object) -> Any:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    return run


@pytest.fixture(scope="session")
def demo_files(tmp_path_factory: pytest.TempPathFactory):
    """Tiny demo checkpoints of v2, with HuBERT and BERT folders."""
    if MADE:
        return _files_in(Path(MADE) / "files")
    from sovits_exporter.demo.demo import write_demo_checkpoint

    return write_demo_checkpoint(tmp_path_factory.mktemp("demo") / "v2", tiny=True, bert=True)


@pytest.fixture(scope="session")
def built(demo_files, tmp_path_factory: pytest.TempPathFactory):
    """The build's report for the tiny voice, verification included."""
    from sovits_exporter.building.build import build
    from sovits_exporter.building.request import BuildRequest

    folder = tmp_path_factory.mktemp("bundles")
    request = BuildRequest(
        gpt=demo_files.gpt,
        sovits=demo_files.sovits,
        output=folder / "voice",
        hubert=demo_files.hubert,
        bert=demo_files.bert,
    )
    return build(request)


@pytest.fixture(scope="session")
def tiny_bundle(request: pytest.FixtureRequest) -> Path:
    """Folder of the tiny voice. Do not change it: copy it with `copied_bundle`."""
    return Path(MADE) / "voice" if MADE else request.getfixturevalue("built").path


@pytest.fixture
def copied_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny voice that a test may damage, its shared parts included."""
    import shutil

    shutil.copytree(tiny_bundle.parent / "shared", tmp_path / "shared")
    return Path(shutil.copytree(tiny_bundle, tmp_path / "voice"))


@pytest.fixture(scope="session")
def voice(tiny_bundle: Path):
    """The tiny voice, loaded."""
    from sovits_runtime import Synthesizer

    with Synthesizer.load(tiny_bundle, threads=1) as synthesizer:
        yield synthesizer


@pytest.fixture(scope="session")
def graph_voice(tiny_bundle: Path):
    """The tiny voice, all of whose graphs run on ONNX Runtime, the GPT's step too."""
    from sovits_runtime import Synthesizer

    with Synthesizer.load(tiny_bundle, threads=1, gpt_steps="onnxruntime") as synthesizer:
        yield synthesizer


@pytest.fixture(scope="session")
def reference(voice, demo_files):
    """The demo recording as a reference."""
    phones = json.loads(demo_files.reference.read_text())["phones"]
    return voice.reference(demo_files.reference_wav, phones)
