"""Imports go one way: runtime <- engines <- calibration <- exporter, in each by rooms; the runtime runs without torch.

What a room is, and in which order the rooms stand, says `tools/import_graph.py`.
"""

import subprocess
import sys

import pytest
from import_graph import ROOMS, ROOT, arrows, circle_in, files_of, imports, rooms_of, upwards

ALLOWED = {
    "sovits_runtime": set(),
    "sovits_engines": {"sovits_runtime"},
    "sovits_calibration": {"sovits_runtime", "sovits_engines"},
    "sovits_server": {"sovits_runtime"},
    "sovits_exporter": {"sovits_runtime", "sovits_engines", "sovits_calibration", "sovits_server"},
}


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_follow_the_table(package):
    for path in files_of(package, ROOT).values():
        ours = {name.split(".")[0] for name in imports(path)} & set(ALLOWED) - {package}
        assert ours <= ALLOWED[package], f"{path} imports {ours - ALLOWED[package]}"


@pytest.mark.parametrize("package", ALLOWED)
def test_no_files_import_each_other_in_a_circle(package):
    assert " -> ".join(circle_in(arrows(package, ROOT))) == ""


@pytest.mark.parametrize("package", ALLOWED)
def test_no_rooms_import_each_other_in_a_circle(package):
    assert " -> ".join(circle_in(rooms_of(arrows(package, ROOT)))) == ""


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_only_rooms_below_them(package):
    graph, floors = rooms_of(arrows(package, ROOT)), ROOMS[package]
    assert set(graph) == set().union(*floors)
    assert upwards(graph, floors) == set()


def test_an_import_upwards_is_found():
    graph = {"a": set(), "b": {"a", "c"}, "c": {"a"}}
    assert upwards(graph, [{"a"}, {"b", "c"}]) == {("b", "c")}
    assert upwards(graph, [{"a"}, {"b"}, {"c"}]) == {("b", "c")}
    assert upwards(graph, [{"a"}, {"c"}, {"b"}]) == set()


def test_a_circle_is_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


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
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 1
    assert 'pip install "sovits-export[export]"' in result.stderr
    assert "Traceback" not in result.stderr


def test_openvino_is_imported_in_one_place():
    """Its door turns its errors into ours; telemetry is off before, wherever our packages are imported."""
    for package in ALLOWED:
        for path in files_of(package, ROOT).values():
            names = {name.split(".")[0] for name in imports(path)}
            assert "openvino" not in names, f"{path} imports openvino itself"
    door = (ROOT / "runtime/sovits_runtime/machine/openvino.py").read_text(encoding="utf-8")
    assert 'PACKAGE = "openvino"' in door
    assert "import_module(PACKAGE)" in door
