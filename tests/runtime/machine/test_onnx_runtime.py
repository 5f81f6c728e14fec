"""Which ONNX Runtime is taken, and what is said of one that will not do."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PathDistribution
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime import Synthesizer
from sovits_runtime.backends.onnxruntime import import_onnxruntime
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.machine import onnx_runtime
from sovits_runtime.machine.onnx_runtime import (
    LEAST_ONNXRUNTIME,
    SCATTER_ONNXRUNTIME,
    has_tensor_scatter,
    installed_onnxruntimes,
    load_onnxruntime,
    open_model,
    ort_errors,
    session_options,
)

ROOT = Path(__file__).parents[3]
OLD = f"is too old: speaking needs at least {LEAST_ONNXRUNTIME}; "
CPU = f'pip install "onnxruntime>={LEAST_ONNXRUNTIME}"'
WITHOUT_SCATTER = (
    f"is too old: the portable decode graph, with TensorScatter, needs at least {SCATTER_ONNXRUNTIME}; "
    f'pip install "onnxruntime>={SCATTER_ONNXRUNTIME}"'
)


@pytest.fixture
def replaced(monkeypatch):
    """Puts another ONNX Runtime in place of the installed one, which would open no graph."""

    def replace(version, **packages):
        fake = ModuleType("onnxruntime")
        fake.__version__ = version
        fake.InferenceSession = lambda *_, **__: pytest.fail("a graph was opened")
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        named = {name.replace("_", "-"): v for name, v in packages.items()} or {"onnxruntime": version}
        monkeypatch.setattr(onnx_runtime, "installed_onnxruntimes", lambda: named)

    return replace


@pytest.mark.parametrize("gpt_steps", ["auto", "onnxruntime"])
def test_an_old_one_is_refused_in_one_line_before_a_graph_is_opened(replaced, tiny_bundle, gpt_steps):
    replaced("1.22.1")
    with pytest.raises(BackendError) as refused:
        Synthesizer.load(tiny_bundle, gpt_steps=gpt_steps)
    assert str(refused.value) == f"onnxruntime 1.22.1 {OLD}{CPU}"


@pytest.mark.parametrize("command", ["speak", "verify", "prepack", "reference", "bench", "build"])
def test_every_command_refuses_it(replaced, copied_bundle, demo_files, tmp_path, command):
    version = "1.24.4" if command == "build" else "1.22.1"
    replaced(version)
    recording = ["--ref", demo_files.reference_wav, "--ref-phones", "HH AY1 ."]
    rest = {
        "speak": [copied_bundle, *recording, "--phones", "HH AY1 .", "-o", tmp_path / "o.wav"],
        "reference": [
            copied_bundle,
            demo_files.reference_wav,
            "--phones",
            "HH AY1 .",
            "-o",
            tmp_path / "o.npz",
        ],
        "build": ["--gpt", demo_files.gpt, "--sovits", demo_files.sovits, "-o", tmp_path / "voice"],
    }.get(command, [copied_bundle])
    result = CliRunner().invoke(main, [command, *map(str, rest)])
    assert result.exit_code == 1
    errors = [line for line in result.output.splitlines() if not line.startswith("[")]
    told = WITHOUT_SCATTER if command == "build" else OLD + CPU
    assert errors == [f"error: onnxruntime {version} {told}"]
    assert "export" not in result.output.replace("sovits-export", "")  # before the work, not after it


def test_the_packages_that_are_there_are_named_and_uninstalled(replaced):
    replaced("1.22.0", onnxruntime_directml="1.22.0")
    with pytest.raises(BackendError) as refused:
        load_onnxruntime()
    uninstalled = "pip uninstall -y onnxruntime-directml, then"
    assert str(refused.value) == f"onnxruntime-directml 1.22.0 {OLD}{uninstalled} {CPU}"
    replaced("1.22.0", onnxruntime="1.31.1", onnxruntime_gpu="1.22.0")
    with pytest.raises(
        BackendError, match=r"^onnxruntime-gpu 1\.22\.0 is .*-y onnxruntime onnxruntime-gpu, then"
    ):
        load_onnxruntime()


def test_a_new_one_and_one_of_unknown_version_are_taken(replaced):
    for version in (LEAST_ONNXRUNTIME, "1.25.0.dev20260417004", "2.0", "unknown"):
        replaced(version)
        assert load_onnxruntime().__version__ == version


def test_cuda_needs_one_with_tensor_scatter(replaced):
    replaced("1.24.4", onnxruntime_gpu="1.24.4")
    with pytest.raises(
        BackendError, match=rf"^onnxruntime-gpu 1\.24\.4 is .* at least {SCATTER_ONNXRUNTIME}; "
    ):
        import_onnxruntime("cuda")


@pytest.mark.parametrize(
    ("version", "has"), [("1.23.2", False), ("1.24.4", False), (SCATTER_ONNXRUNTIME, True), ("unknown", True)]
)
def test_whether_the_portable_graphs_run_is_told_by_the_version(replaced, version, has):
    replaced(version)
    assert has_tensor_scatter(load_onnxruntime()) is has


def test_none_comes_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(onnx_runtime, "installed_onnxruntimes", dict)
    with pytest.raises(BackendError, match=r'^onnxruntime .*; pip install "sovits-export\[cpu\]"$'):
        load_onnxruntime()


def test_plug_ins_under_an_old_name_are_not_counted(tmp_path, monkeypatch):
    """onnxruntime-qnn held ONNX Runtime until 1.24 and is a plug-in beside it since 2.0."""
    for name, version, file in (
        ("onnxruntime_qnn", "2.7.0", "onnxruntime_qnn"),
        ("onnxruntime_directml", "1.24.4", "onnxruntime"),
    ):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )
        (folder / "RECORD").write_text(f"{file}/__init__.py,,\n", encoding="utf-8")
        (tmp_path / file).mkdir()
        (tmp_path / file / "__init__.py").touch()  # what is missing is not listed since Python 3.12
        assert PathDistribution(folder).version == version
    monkeypatch.syspath_prepend(tmp_path)
    found = installed_onnxruntimes()
    assert found["onnxruntime-directml"] == "1.24.4"
    assert "onnxruntime-qnn" not in found


def test_the_least_version_is_what_the_package_asks_for():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    asked = {
        name: [re.findall(r"^onnxruntime>=([\d.]+)$", line) for line in lines]
        for name, lines in extras.items()
    }
    least = {name: found[0] for name, lines in asked.items() for found in lines if found}
    assert least == {"cpu": LEAST_ONNXRUNTIME, "convert": SCATTER_ONNXRUNTIME}


CUDA_TEXT = "Non-zero status\nCUDA failure 2: out of memory ; GPU=0\nmore"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("the first line\nthe second", "the first line"),
        (CUDA_TEXT, "CUDA failure 2: out of memory"),
        ("", "RuntimeError"),
    ],
)
def test_what_it_raises_becomes_one_line_of_ours(said, told):
    with pytest.raises(BackendError) as caught, ort_errors("graph x: it failed"):
        raise RuntimeError(said)
    assert str(caught.value) == f"graph x: it failed: {told}"
    with pytest.raises(BackendError) as caught, ort_errors("graph x: it failed", then="build it again"):
        raise RuntimeError(said)
    assert str(caught.value) == f"graph x: it failed: {told}; build it again"


def test_our_own_errors_and_interrupts_pass_as_they_are():
    for error in (ShapeError("ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, ort_errors("graph x"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize("model", [Path("no-such.onnx"), b"no model"])
def test_a_model_that_it_does_not_take_is_named(model):
    ort = load_onnxruntime()
    with pytest.raises(BackendError, match=r"^it cannot open this: .+; fetch it anew$"):
        open_model(ort, model, options=session_options(ort), what="it cannot open this", then="fetch it anew")


def test_sessions_are_opened_at_the_door_alone():
    folders = ("runtime", "exporter", "calibration", "engines", "server")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    opening = [path.name for path in files if ".InferenceSession(" in path.read_text(encoding="utf-8")]
    assert opening == ["onnx_runtime.py"]
