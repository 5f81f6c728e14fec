"""The wheels for Windows on a Windows Python under wine: `make check-wine`.

    python tools/check_wine.py [--folder FOLDER] [--long]

Both wheels are installed by Windows' pip. A voice that was built here speaks there, by each kind of kernel and with the
samples of this machine; it is verified. The runtime's tests run beside that. Then Windows itself builds a voice, whose
path is Chinese, on the code page of a Chinese Windows. With --long the voice is converted to FP16 there too. Wine is
installed where that is possible (root and apt); the check is skipped, with a line, where it is not.

Wine is not Windows: it lets a folder be renamed while files in it are open. That takes a real one.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from check_qemu import judge, numbers
from environment import ROOT
from foreign import (
    MAIN,
    Lines,
    NotHereError,
    debian_packages,
    kernel_wheels,
    need,
    parser_of,
    settle,
    tiny_voice,
)
from windows_python import (
    add_random,
    add_runtime,
    add_stable_interface,
    mend_numpy,
    windows_wheels,
    write_python,
)

SPEAKING = ("onnxruntime", "numpy", "click", "soundfile", "soxr", "colorama", "msvc-runtime")
TESTING = ("pytest", "pytest-timeout", "onnx", "onnx-ir")
BUILDING = ("torch", "onnxscript", "safetensors", "tokenizers")
KINDS = ("AVX-512 BF16", "AVX-512 VNNI", "AVX-VNNI", "AVX2", "generic")
"""Not AMX: wine does not know the function by which Windows is asked for it."""
TESTS = (
    "tests/runtime/backends/test_native.py",
    "tests/runtime/backends/test_prepacked.py",
    "tests/runtime/bundle/test_bundle.py",
    "tests/runtime/bundle/test_external_weights.py",
    "tests/runtime/speech/test_chunk_plan.py",
    "tests/runtime/speech/test_chunk_stream.py",
    "tests/runtime/speech/test_hifigan_decoder.py",
    "tests/runtime/speech/test_options.py",
    "tests/runtime/speech/test_types.py",
    "tests/runtime/t2s",
    "tests/runtime/test_synthesizer.py",
)
CHINESE = "zh_CN.UTF-8"
HUBERT = "chinese-hubert-base"


class Wine:
    """A wine with a prefix of its own.

    Args:
        folder: For the prefix and the Python.

    Raises:
        NotHereError: There is no wine, and none can be installed.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("wine") is None:
            install_wine()
        self._wine = need("wine")
        self.python = folder / "python/python.exe"
        self._variables = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LC_", "LANG", "PIP_"))},
            "LC_ALL": "C.UTF-8",
            "WINEPREFIX": str(folder / "prefix"),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=;msvcp140,msvcp140_1,vcruntime140_1=n,b",
            "KMP_AFFINITY": "disabled",  # PyTorch's OpenMP asks for more than wine answers
            "OMP_NUM_THREADS": "1",
            "SOVITS_EXPORT_CACHE": windows(folder / "cache"),
            "SOVITS_EXPORT_DATA": windows(folder / "data"),
        }

    def variables(self, **more: str) -> dict[str, str]:
        """Of a process."""
        return {**self._variables, **more}

    def command(self, *words: object) -> list[str]:
        """That runs the Python."""
        return [self._wine, str(self.python), *map(str, words)]

    def stop(self, **variables: str) -> None:
        """Ends what runs in a prefix."""
        server = shutil.which("wineserver") or "/usr/lib/wine/wineserver"
        for word in ("-k", "-w"):
            subprocess.run([server, word], env=self.variables(**variables), capture_output=True, check=False)


def install_wine() -> None:
    """Installs Debian's wine.

    Raises:
        NotHereError: This is not root, there is no apt, or apt fails.
    """
    if not hasattr(os, "geteuid") or os.geteuid() or shutil.which("apt-get") is None:
        raise NotHereError(
            "wine is not installed, and installing it takes root and apt: apt install wine wine64"
        )
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-yq", "--no-install-recommends", "wine", "wine64"]):
        done = subprocess.run(
            ["apt-get", *command],
            env=variables,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise NotHereError(f"apt does not install wine ({said[-1] if said else 'no reason given'})")


def windows(path: Path) -> str:
    """A path as Windows sees it under wine."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


def install(lines: Lines, wine: Wine, folder: Path, wheels: Sequence[Path]) -> None:
    """Makes the Windows Python and has its pip install both wheels.

    Raises:
        NotHereError: Something cannot be fetched.
        CheckError: Something does not compile.
    """
    start, zig, store = time.perf_counter(), ROOT / ".venv-wheels/bin/python", folder / "wheels"
    store.mkdir(exist_ok=True)
    for old in store.glob("sovits_export*.whl"):
        old.unlink()
    for wheel in wheels:
        shutil.copyfile(wheel, store / wheel.name)
    windows_wheels(store, *SPEAKING, *TESTING, *BUILDING)
    shutil.rmtree(wine.python.parent, ignore_errors=True)
    write_python(wine.python.parent, zig)
    add_runtime(wine.python.parent, store)
    add_random(wine.python.parent, zig)
    lines.say("a Windows Python", start, "there")
    pip_install(lines, wine, store, "sovits-export[cpu]")
    mend_numpy(wine.python.parent, zig)


def pip_install(lines: Lines, wine: Wine, store: Path, *packages: str) -> None:
    """Windows' pip installs from a folder."""
    (bundled,) = (wine.python.parent / "Lib/ensurepip/_bundled").glob("pip-*.whl")
    quiet = ("-q", "--no-index", "--no-compile", "--no-warn-script-location", "--disable-pip-version-check")
    command = wine.command("-m", "pip", "install", *quiet, "--find-links", windows(store), *packages)
    shown = f"pip install on Windows: {' '.join(packages)}"
    lines.run(shown, command, env=wine.variables(PYTHONPATH=windows(bundled)))


def voice_speaks(lines: Lines, wine: Wine, made: Path, out: Path) -> None:
    """A sentence by this machine and by Windows, on each kind of kernel; `verify` and the numbers of each kind."""
    files = made / "files"
    words: list[object] = ["speak", "--phones", files / "target.json", "--ref", files / "reference.wav"]
    words += ["--ref-phones", files / "reference.json"]
    words += ["--ref-lang", "en", "--seed", "7", "--gpt-steps", "native"]
    words += ["--vocoder-engine", "onnxruntime"]  # the native one adds in vectors of the processor's width
    here = out / "here.wav"
    lines.run("speak, on this machine", [sys.executable, "-c", MAIN, *words, made / "voice", "-o", here])
    first: dict[str, object] = {}
    ran = []
    for kind in KINDS:
        forced, start = wine.variables(SOVITS_NATIVE_KERNELS=kind), time.perf_counter()
        found = numbers(wine.command(), made / "voice", forced)
        if not isinstance(found, str) and found["kernels"] != kind and kind != "generic":
            lines.say(f"{kind} under wine", start, f"not on this processor ({found['kernels']})")
            continue
        ran.append(kind)
        good = judge(lines, f"{kind} under wine", start, kind=kind, found=found)
        if good and kind != "generic":
            first[f"{kind} under wine"] = good["first"]
        there = out / f"{kind}.wav"
        command = wine.command(
            "-c", MAIN, *map(path_of, words), windows(made / "voice"), "-o", windows(there)
        )
        lines.run(f"speak, {kind}", command, env=forced)
        if kind != "generic" and there.exists():
            same = here.exists() and filecmp.cmp(here, there, shallow=False)
            lines.say(f"speak, {kind}: samples", time.perf_counter(), "Linux's" if same else "DIFFERENT")
            lines.failures += [] if same else [f"speak, {kind}: other samples than on Linux"]
        native = ("--gpt-steps", "native", "--vocoder-engine", "native")
        command = wine.command("-c", MAIN, "verify", windows(made / "voice"), *native)
        lines.run(f"verify, {kind}", command, env=forced)
    start = time.perf_counter()
    chosen, best = numbers(wine.command(), made / "voice", wine.variables()), next(iter(ran), "generic")
    judge(lines, "what Windows chooses by itself", start, kind=best, found=chosen)
    own = numbers([sys.executable], made / "voice")
    if not isinstance(own, str) and own["kernels"] != "generic":
        first[f"{own['kernels']} on Linux"] = own["first"]
    lines.compare("the first position, bit for bit", first)


def path_of(word: object) -> str:
    """A word of a command line for Windows."""
    return windows(word) if isinstance(word, Path) else str(word)


def tests_run(lines: Lines, wine: Wine, made: Path) -> None:
    """The runtime's tests, on the voice that was built here."""
    command = wine.command("-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=12", *TESTS)
    variables = wine.variables(SOVITS_TEST_VOICE=windows(made), PYTHONDONTWRITEBYTECODE="1")
    said = lines.run("the runtime's tests", command, env=variables, cwd=ROOT)
    print("    " + (said.strip().splitlines() or ["nothing"])[-1], flush=True)


def windows_converts(lines: Lines, wine: Wine, made: Path, folder: Path) -> None:
    """`convert` by Windows, to FP16, which calibrates and verifies."""
    out = folder / "converted"
    shutil.rmtree(out, ignore_errors=True)
    words = ["convert", windows(made / "voice"), "--fp16", "-o", windows(out)]
    lines.run("convert, fp16", wine.command("-c", MAIN, *words), env=wine.variables())


def windows_builds(lines: Lines, wine: Wine, made: Path, folder: Path) -> None:
    """`build` by Windows, from and to Chinese paths, on code page 936.

    Raises:
        NotHereError: Debian's locales cannot be fetched.
    """
    locales = folder / "locales"
    if not (locales / CHINESE).exists():
        debian_packages(folder / "apt-locales", "bookworm", "amd64", ("locales",), folder / "locale-sources")
        locales.mkdir(exist_ok=True)
        sources = {**os.environ, "I18NPATH": str(folder / "locale-sources/usr/share/i18n")}
        localedef = ["localedef", "-i", "zh_CN", "-f", "UTF-8", str(locales / CHINESE)]
        subprocess.run(localedef, env=sources, capture_output=True, check=False)
    if not (locales / CHINESE).exists():
        raise NotHereError("localedef makes no Chinese locale")
    prefix = str(folder / "prefix-chinese")  # a prefix that is in use keeps its locale
    chinese = wine.variables(LC_ALL=CHINESE, LOCPATH=str(locales), WINEPREFIX=prefix)
    page = lines.run(
        "the code page",
        wine.command("-c", "import locale; print(locale.getpreferredencoding(False))"),
        env=chinese,
    )
    if page.strip() != "cp936":
        lines.failures.append(f"the code page is {page.strip()}, expected cp936")
    target, files = folder / "声音 模型", made / "files"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name, path_there in (("demo-gpt.ckpt", "胡桃é-e15.ckpt"), ("demo-sovits.pth", "胡桃é_e8_s200.pth")):
        shutil.copyfile(files / name, target / path_there)
    gpt, sovits, out = (windows(target / name) for name in ("胡桃é-e15.ckpt", "胡桃é_e8_s200.pth", "声音"))
    words = ["build", "--gpt", gpt, "--sovits", sovits, "--hubert", windows(files / HUBERT), "-o", out]
    command = wine.command("-c", MAIN, *words)
    lines.run("build, Chinese paths on cp936", command, env=chinese)
    wine.stop(WINEPREFIX=prefix)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = parser_of(__doc__)
    parser.add_argument("--long", action="store_true", help="also convert")
    given = parser.parse_args(arguments)

    def check(lines: Lines) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (given.folder or Path(temporary)).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            wine = Wine(folder)
            try:
                start = time.perf_counter()
                with ThreadPoolExecutor(1) as beside:
                    voice = beside.submit(tiny_voice, folder / "made")
                    wheels = kernel_wheels(Path(temporary) / "built", "win_amd64")
                    lines.say("the wheels", start, ", ".join(wheel.name for wheel in wheels))
                    install(lines, wine, folder, wheels)
                    made = voice.result()
                    lines.say("all that, and a tiny voice made beside it", start, "there")
                pip_install(lines, wine, folder / "wheels", *TESTING)
                with ThreadPoolExecutor(1) as beside:
                    tests = beside.submit(tests_run, lines, wine, made)
                    voice_speaks(lines, wine, made, Path(temporary))
                    pip_install(lines, wine, folder / "wheels", "sovits-export[export]")
                    add_stable_interface(wine.python.parent, ROOT / ".venv-wheels/bin/python")
                    if given.long:
                        windows_converts(lines, wine, made, folder)
                    windows_builds(lines, wine, made, folder)
                    tests.result()
            finally:
                wine.stop()

    return settle("check-wine", check)


if __name__ == "__main__":
    sys.exit(main())
