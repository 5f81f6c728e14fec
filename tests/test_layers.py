"""Imports go one way: runtime <- engines <- calibration <- exporter; and the runtime runs without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "sovits_runtime": set(),
    "sovits_engines": {"sovits_runtime"},
    "sovits_calibration": {"sovits_runtime", "sovits_engines"},
    "sovits_exporter": {"sovits_runtime", "sovits_engines", "sovits_calibration"},
}
FOLDERS = {
    "sovits_runtime": "runtime",
    "sovits_engines": "engines",
    "sovits_calibration": "calibration",
    "sovits_exporter": "exporter",
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name.split(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_follow_the_table(package):
    files = list((ROOT / FOLDERS[package] / package).rglob("*.py"))
    assert files
    for path in files:
        ours = {name for name in imports(path) if name in ALLOWED} - {package}
        assert ours <= ALLOWED[package], f"{path} imports {ours - ALLOWED[package]}"


BLOCKED = """
import sys
for name in ("torch", "onnx", "onnxscript", "onnx_ir", "transformers", "safetensors", "librosa", "scipy"):
    sys.modules[name] = None
"""


def test_runtime_speaks_with_torch_onnx_and_transformers_blocked(tiny_bundle, demo_files, tmp_path):
    """In a fresh process: load, read a recording, speak, verify."""
    code = (
        BLOCKED
        + f"""
import json
from sovits_runtime import Synthesizer, SpeechOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.verify import verify_bundle
with Synthesizer.load({str(tiny_bundle)!r}, threads=1) as voice:
    phones = json.load(open({str(demo_files.reference)!r}))["phones"]
    reference = voice.reference({str(demo_files.reference_wav)!r}, phones)
    voice.synthesize(["HH", "AY1"], reference, options=SpeechOptions(max_tokens=12)).save({str(tmp_path / "hi.wav")!r})
assert verify_bundle(Bundle.open({str(tiny_bundle)!r}), threads=1).passed
"""
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "hi.wav").stat().st_size > 12 * 1280 * 2


def test_importing_the_runtime_imports_no_backend():
    code = "import sys, sovits_runtime; assert not {'onnxruntime', 'torch', 'soundfile', 'soxr'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_commands_that_need_the_export_extra_say_so():
    code = (
        BLOCKED
        + "from sovits_exporter.cli.main import main; main(['build', '--gpt', 'a', '--sovits', 'b', '-o', 'c'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert 'pip install "sovits-export[export]"' in result.stderr
    assert "Traceback" not in result.stderr
