"""The C kernels for Arm on emulated processors: `make check-qemu`.

    python tools/check_qemu.py [--folder FOLDER] [--long]

Debian's Python for arm64, NumPy and ONNX Runtime run under qemu, with the wheel of the kernels that this machine
compiles for it. Each processor below has to choose its kernels by itself. Each kind is compared with ONNX Runtime's
graph of the step, one row and several; int8 has to be equal bit for bit among them, and at the first position equal
to this machine's own kernels too. With --long a whole voice is verified there. Nothing is installed into
the system; skipped, with a line, where apt or qemu is missing.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from environment import ROOT
from foreign import (
    ARM,
    MAIN,
    Lines,
    NotHereError,
    debian_packages,
    foreign_wheels,
    kernel_wheels,
    parser_of,
    settle,
    tiny_voice,
    unpack,
)

SUITE, PYTHON = "bookworm", "3.11"
"""Of the emulated system."""
QEMU_SUITE, LEAST_QEMU = "trixie", 10
"""qemu 7.2, Debian 12's, ends with a fault when ONNX Runtime is imported."""
SYSTEM = ("python3", f"libpython{PYTHON}-stdlib", "libstdc++6", "libgomp1", "libc6", "zlib1g", "libgcc-s1")
PACKAGES = ("numpy", "onnxruntime", "click", "soundfile", "soxr")
TAGS = (
    "manylinux_2_28_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux_2_17_aarch64",
    "manylinux2014_aarch64",
    "any",
)
PROCESSORS = {
    "cortex-a72": ("NEON",),
    "neoverse-n1": ("dot product",),
    "neoverse-v1": ("I8MM", "NEON", "generic"),
}
"""What is emulated -> the kernels that it chooses, then those that it is told to take."""
LIMITS = {"fp32": 2e-5, "int8": 0.1, "prefill": 2e-5, "vocoder": 2e-5, "vocoder bf16": 0.05,
          "vocoder int8": 0.2}  # fmt: skip
"""Of the difference from the graph, over the scale of logits or samples; tests/runtime/backends/test_native.py has
them too."""


def emulator(folder: Path) -> str:
    """Path of a qemu for AArch64 that is new enough.

    Raises:
        NotHereError: There is none, and none can be fetched.
    """
    if own := shutil.which("qemu-aarch64"):
        said = subprocess.run(
            [own, "--version"], capture_output=True, text=True, encoding="utf-8", check=False
        ).stdout
        version = re.search(r"version (\d+)", said)
        if version and int(version[1]) >= LEAST_QEMU:
            return own
    if platform.machine() != "x86_64":
        raise NotHereError(
            f"no qemu-aarch64 of version {LEAST_QEMU} or newer, and Debian's is fetched on x86-64 alone"
        )
    unpacked = folder / "qemu"
    if not (unpacked / "usr/bin/qemu-aarch64").exists():
        debian_packages(folder / "apt-qemu", QEMU_SUITE, "amd64", ("qemu-user",), unpacked)
    return str(unpacked / "usr/bin/qemu-aarch64")


def arm_system(folder: Path, wheels: Sequence[Path]) -> Path:
    """A Python for arm64 and what the runtime needs, with the kernels; returns its root.

    Raises:
        NotHereError: Something cannot be fetched.
    """
    root, packages = folder / "arm64", folder / "arm64-packages"
    if not (root / "usr/bin" / f"python{PYTHON}").exists():
        debian_packages(folder / "apt-arm64", SUITE, "arm64", SYSTEM, root)
    if not (packages / "onnxruntime").exists():
        unpack(
            foreign_wheels(folder / "arm64-wheels", TAGS, PYTHON, packages=PACKAGES, markers=ARM), packages
        )
    for old in (*packages.glob("sovits_*"),):
        shutil.rmtree(old)
    unpack(
        [one for one in wheels if "aarch64" in one.name or one.name.startswith("sovits_export-")], packages
    )
    return root


def numbers(
    command: Sequence[object], bundle: Path, variables: dict[str, str] | None = None
) -> dict[str, Any] | str:
    """What tools/kernel_numbers.py says, of a Python in an environment (this one's); else what went wrong."""
    done = subprocess.run(
        [*map(str, command), str(ROOT / "tools/kernel_numbers.py"), str(bundle)],
        env=variables, capture_output=True, text=True, encoding="utf-8", check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        return f"exit {done.returncode}: {done.stderr.strip()[-1500:]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def judge(lines: Lines, what: str, start: float, *, kind: str, found: dict[str, Any] | str) -> dict[str, Any]:
    """Says whether kernels are the ones wanted, and right; returns their numbers, or none."""
    if isinstance(found, str):
        lines.say(what, start, f"FAILS: {found}")
        lines.failures.append(what)
        return {}
    errors = ", ".join(f"{name} {error:.1e}" for name, error in found["errors"].items())
    wrong = [f"{kind} expected, {found['kernels']} ran"] if found["kernels"] != kind else []
    wrong += [
        f"{name} off by {found['errors'][name]:.1e}"
        for name in LIMITS
        if found["errors"][name] > LIMITS[name]
    ]
    wrong += [f"{name}: rows differ from each alone" for name, same in found["rows"].items() if not same]
    lines.say(what, start, "; ".join(wrong) or f"good: {errors}, rows as alone")
    lines.failures += [f"{what}: {one}" for one in wrong]
    return {} if wrong else found


def every_kind(lines: Lines, qemu: str, folder: Path, bundle: Path) -> None:
    """Each processor, each kind of kernel, and what has to be equal among them."""
    root, packages = folder / "arm64", folder / "arm64-packages"
    int8: dict[str, object] = {}
    first: dict[str, object] = {}
    for processor, kinds in PROCESSORS.items():
        for kind in kinds:
            start = time.perf_counter()
            command = [qemu, "-cpu", processor, "-L", root, root / "usr/bin" / f"python{PYTHON}"]
            variables = {**os.environ, "PYTHONPATH": str(packages), "PYTHONHOME": str(root / "usr")}
            variables |= {"SOVITS_NATIVE_KERNELS": kind} if kind != kinds[0] else {}
            found = numbers(command, bundle, variables)
            what = f"{kind} on {processor}"
            good = judge(lines, what, start, kind=kind, found=found)
            if good and kind != "generic":  # whose float sums round each product
                int8[what], first[what] = good["int8"], good["first"]
    start = time.perf_counter()
    own = numbers([sys.executable], bundle)
    if isinstance(own, str):
        lines.failures.append(f"this machine's own kernels: {own}")
    elif own["kernels"] != "generic":
        first[f"{own['kernels']} here"] = own["first"]
        lines.say(f"{own['kernels']} on this machine", start, "run")
    lines.compare("int8, bit for bit", int8)
    lines.compare("the first position, bit for bit", first)


def whole_voice(lines: Lines, qemu: str, folder: Path, made: Path) -> None:
    """`verify` of a whole voice, on the newest processor."""
    root, processor = folder / "arm64", list(PROCESSORS)[-1]
    command = [qemu, "-cpu", processor, "-L", root, root / "usr/bin" / f"python{PYTHON}", "-c", MAIN]
    variables = {**os.environ, "PYTHONPATH": str(folder / "arm64-packages"), "PYTHONHOME": str(root / "usr")}
    words: list[object] = ["verify", made / "voice", "--gpt-steps", "native"]
    lines.run(f"verify on {processor}", [*command, *words], env=variables)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = parser_of(__doc__)
    parser.add_argument("--long", action="store_true", help="also verify a whole voice")
    given = parser.parse_args(arguments)

    def check(lines: Lines) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (given.folder or Path(temporary)).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            start = time.perf_counter()
            qemu = emulator(folder)
            lines.say(
                "qemu",
                start,
                subprocess.check_output([qemu, "--version"], text=True, encoding="utf-8").splitlines()[0],
            )
            start = time.perf_counter()
            arm_system(folder, kernel_wheels(Path(temporary) / "wheels", "linux_aarch64", twice=True))
            lines.say(f"Debian {SUITE} arm64, the kernels' wheel", start, "unpacked")
            start = time.perf_counter()
            made = tiny_voice(folder / "made")
            lines.say("a tiny voice", start, "there")
            every_kind(lines, qemu, folder, made / "voice")
            if given.long:
                whole_voice(lines, qemu, folder, made)

    return settle("check-qemu", check)


if __name__ == "__main__":
    sys.exit(main())
