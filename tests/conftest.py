"""One tiny voice for all tests: official-format files, built once a session into a bundle."""

from __future__ import annotations

import contextlib
import errno
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
    if MADE:  # on a machine that only speaks
        pytest.skip("the voice was built elsewhere")
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
    """The tiny voice, all of whose graphs run on ONNX Runtime, the GPT's step and the vocoder too."""
    from sovits_runtime import Synthesizer

    with Synthesizer.load(
        tiny_bundle, threads=1, gpt_steps="onnxruntime", vocoder_engine="onnxruntime"
    ) as synthesizer:
        yield synthesizer


@pytest.fixture(scope="session")
def reference(voice, demo_files):
    """The demo recording as a reference."""
    phones = json.loads(demo_files.reference.read_text(encoding="utf-8"))["phones"]
    return voice.reference(demo_files.reference_wav, phones)


@pytest.fixture
def older_onnxruntime(monkeypatch: pytest.MonkeyPatch):
    """ONNX Runtime as its older wheels are: without TensorScatter, and without the opsets after 23."""
    import onnx

    from sovits_runtime.backends.machine_key import machine_fields
    from sovits_runtime.machine.onnx_runtime import load_onnxruntime

    ort = load_onnxruntime()
    session = ort.InferenceSession

    def refuse(path: str, *arguments: Any, **options: Any) -> Any:
        model = onnx.load(path, load_external_data=False)
        if any(node.op_type == "TensorScatter" for node in model.graph.node):
            raise RuntimeError("NOT_IMPLEMENTED: Could not find an implementation for TensorScatter(24)")
        if any(entry.domain == "" and entry.version > 23 for entry in model.opset_import):
            raise RuntimeError("ONNX Runtime only guarantees support for models stamped with opset 23")
        return session(path, *arguments, **options)

    monkeypatch.setattr(ort, "__version__", "1.23.2")
    monkeypatch.setattr(ort, "InferenceSession", refuse)
    machine_fields.cache_clear()
    yield ort
    machine_fields.cache_clear()


@pytest.fixture
def like_windows(monkeypatch: pytest.MonkeyPatch):
    """Refuses to rename and remove as Windows does: while this process has the file or one below it open or mapped."""
    if sys.platform != "linux":
        pytest.skip("what is open is read from /proc")
    from sovits_runtime.bundle import moving, parts, replacing

    refused: list[str] = []

    def refusing(act: Any, places: int) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            for place in arguments[:places]:
                if held := open_below(place):
                    refused.append(held)
                    raise PermissionError(
                        errno.EACCES, "used by another process (WinError 32)", os.fspath(place)
                    )
            return act(*arguments, **options)

        return call

    for name, places in {"rename": 2, "replace": 2, "unlink": 1, "remove": 1, "rmdir": 1}.items():
        monkeypatch.setattr(os, name, refusing(getattr(os, name), places))
    monkeypatch.setattr(shutil, "_use_fd_functions", False)  # Windows has none, and they name files by half
    monkeypatch.setattr(moving, "OPEN_FILES_STAY", True)
    monkeypatch.setattr(parts, "OPEN_FILES_STAY", True)
    monkeypatch.setattr(moving, "PATIENCE_S", 0.3)
    monkeypatch.setattr(replacing, "_exchange", lambda a, b: False)
    return refused


def open_below(place: Any) -> str:
    """A file at or below a place that this process has open or mapped, but for locks; empty where there is none."""
    root = os.path.abspath(os.fspath(place))
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    names = {line.split(None, 5)[5] for line in maps if line.count("/")}
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            names.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    below = (name for name in names if name == root or name.startswith(f"{root}/"))
    return next((name for name in below if not name.endswith(".lock")), "")
