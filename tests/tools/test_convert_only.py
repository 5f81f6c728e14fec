"""The extra [convert] is what converting needs: nothing of PyTorch is imported, and extras name what is."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
BLOCKED = """
import sys
for name in ("torch", "onnxscript", "safetensors", "transformers"):
    sys.modules[name] = None
"""


@pytest.mark.parametrize(
    "module",
    [
        "sovits_exporter.precision.fp16",
        "sovits_exporter.precision.int8",
        "sovits_calibration.measure",
        "sovits_engines.lint",
        "sovits_engines.build",
        "sovits_engines.refit_voice",
    ],
)
def test_nothing_of_pytorch_is_imported(module):
    code = f"{BLOCKED}import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["convert", "--fp16", "{bundle}", "-o", "{out}"], "convert"),
        (["lint", "{bundle}"], "convert"),
        (["build", "--gpt", "a", "--sovits", "b", "-o", "c"], "export"),
    ],
)
def test_what_is_missing_is_said_with_the_extra_that_brings_it(tiny_bundle, tmp_path, command, extra):
    arguments = [part.format(bundle=tiny_bundle, out=tmp_path / "voice") for part in command]
    code = (
        f"{BLOCKED}sys.modules['onnx'] = sys.modules['onnx_ir'] = None\n"
        f"from sovits_exporter.cli.main import main; main({arguments!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1
    assert f'pip install "sovits-export[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("extra", ["convert", "tensorrt", "rtx-build"])
def test_what_rewrites_graphs_names_onnx_ir(extra):
    names = {line.partition(">")[0] for line in EXTRAS[extra]}
    assert {"onnx", "onnx-ir"} <= names
    assert not names & {"torch", "onnxscript", "safetensors"}


def test_export_is_convert_and_pytorch():
    assert "sovits-export[convert]" in EXTRAS["export"]
    assert {line.partition(">")[0] for line in EXTRAS["export"]} - {"sovits-export[convert]"} == {
        "torch",
        "onnxscript",
        "safetensors",
    }
