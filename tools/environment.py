"""Makes the virtual environment of `make demo` and `make test`: chooses a PyTorch, says what it costs, installs.

    python3 tools/environment.py demo|tests [--venv FOLDER] [--torch-index URL]

PyPI's PyTorch for Linux is built for CUDA and brings gigabytes of libraries. So where no NVIDIA driver is found, the
CPU build is taken from PyTorch's own index; where that index cannot be reached, PyPI's is taken, and the line that
says so comes before the download. Needs nothing but Python's standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LEAST_PYTHON = (3, 11)
LEAST_PIP = "25.3"
"""Earlier ones fetch whole wheels to make a plan: 25.1, which Debian 13 has, and 23.0 of Debian 12."""
DEMO = ("cpu", "export")
TESTS = ("cpu", "export", "rtx", "text", "serve", "wyoming", "ray", "dev", "docs")
TESTS_CUDA_13 = tuple("rtx-build" if extra == "rtx" else extra for extra in TESTS)
"""Beside a PyTorch for CUDA 13. Engines are built without cuda-bindings, whose release 12 the extra `rtx` brings."""
LAZY = "--use-feature=fast-deps"
"""Metadata is read out of a wheel without the rest of it, where the index keeps no copy apart."""
ENOUGH = 20 * 10**6
"""Bytes from which a package is named when the download is announced."""


class SetupError(Exception):
    """Something that the user has to mend; the message says how."""


@dataclass(frozen=True)
class Torch:
    """The PyTorch that pip would take.

    Attributes:
        version: With its local part, such as 2.13.0+cpu.
        url: Where it lies; empty where it is installed already.
        requires: Its requirements, as its metadata has them.
    """

    version: str
    url: str
    requires: tuple[str, ...]

    @property
    def cuda_13(self) -> bool:
        """Whether it wants the Python bindings of CUDA 13 beside it."""
        wanted = (re.match(r"cuda-bindings\b.*>=\s*(\d+)", line) for line in self.requires)
        return any(found is not None and int(found[1]) >= 13 for found in wanted)


class Environment:
    """A virtual environment and its pip.

    Args:
        folder: Where it lies, or will lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def create(self) -> None:
        """Makes it, where it is not there yet, with a pip that reads metadata alone.

        Raises:
            SetupError: Python's venv or ensurepip is missing, or PyPI cannot be reached.
        """
        if not self.python.exists():
            was_there = self.folder.exists()
            made = subprocess.run(
                [sys.executable, "-m", "venv", str(self.folder)],
                capture_output=True,
                text=True,
                encoding="utf-8",
            )
            if made.returncode:
                if not was_there:  # half a one would pass for whole next time
                    shutil.rmtree(self.folder, ignore_errors=True)
                said = (made.stdout + made.stderr).strip().splitlines()
                raise SetupError(
                    f"no virtual environment could be made ({said[-1] if said else 'no reason given'}); "
                    "on Debian and Ubuntu: apt install python3-venv"
                )
        if self.pip("install", "--quiet", f"pip>={LEAST_PIP}"):
            raise SetupError("pip could not be brought up to date (see above); is there a way to PyPI?")

    def pip(self, *arguments: str) -> int:
        """Runs pip, which prints; returns its exit status."""
        return subprocess.run([*self._pip, *arguments], cwd=ROOT).returncode

    def plan(self, *arguments: str) -> dict[str, Any] | str:
        """What `pip install` would do: its report, or what it says instead."""
        command = [*self._pip, "install", "--dry-run", "--quiet", LAZY, "--report", "-", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
        if done.returncode:
            return done.stderr.strip()
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def installed_torch(self) -> Torch | None:
        """The PyTorch in it, if there is one."""
        code = (
            "import importlib.metadata as m, json; torch = m.distribution('torch'); "
            "print(json.dumps([torch.version, torch.requires]))"
        )
        done = subprocess.run(
            [str(self.python), "-c", code], capture_output=True, text=True, encoding="utf-8"
        )
        if done.returncode:
            return None
        version, requires = json.loads(done.stdout)
        return Torch(version, "", tuple(requires or ()))

    def offered_torch(self, *source: str) -> Torch | str:
        """The PyTorch that pip finds with some options; else what pip says."""
        report = self.plan("--no-deps", "-c", str(CONSTRAINTS), *source, "torch")
        if isinstance(report, str):
            return report
        found = report["install"][0]
        metadata = found["metadata"]
        return Torch(
            metadata["version"], found["download_info"]["url"], tuple(metadata.get("requires_dist", ()))
        )

    @property
    def _pip(self) -> list[str]:
        return [str(self.python), "-m", "pip", "--disable-pip-version-check"]


def nvidia_driver() -> bool:
    """Whether this Linux, or the Windows around it, has a driver of NVIDIA's."""
    places = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1")
    return any(Path(place).exists() for place in places) or shutil.which("nvidia-smi") is not None


def choose_torch(env: Environment, asked: str) -> tuple[Torch, tuple[str, ...]]:
    """Chooses where PyTorch comes from, and says so.

    Args:
        env: Where it will be installed.
        asked: An index that the user named; empty for none.

    Returns:
        The PyTorch, and options for pip that lead to it.

    Raises:
        SetupError: The index named has none for this Python, or no index has.
    """
    installed = env.installed_torch()
    if installed:
        say(f"PyTorch {installed.version} is installed")
        return installed, ()
    if asked:
        found = env.offered_torch("--index-url", asked, "--retries", "1")
        if isinstance(found, str):
            raise SetupError(f"TORCH_INDEX={asked} offers no PyTorch for this machine:\n{found}")
        say(f"PyTorch {found.version} from {asked}, as asked")
        return found, ("--extra-index-url", asked)
    if sys.platform == "linux" and not nvidia_driver():
        found = env.offered_torch("--index-url", CPU_INDEX, "--retries", "0", "--timeout", "15")
        if isinstance(found, Torch):
            local = found.url.startswith("file:")
            where = "pip's own sources" if local else CPU_INDEX
            say(f"no NVIDIA driver here: PyTorch {found.version} from {where} (TORCH_INDEX=URL for another)")
            return found, () if local else ("--extra-index-url", CPU_INDEX)
        say(
            f"no NVIDIA driver here, but {CPU_INDEX} cannot be reached: PyPI's PyTorch is taken, which brings CUDA's "
            "libraries along and runs without a GPU too"
        )
    found = env.offered_torch()
    if isinstance(found, str):
        raise SetupError(f"pip finds no PyTorch for this machine:\n{found}")
    say(f"PyTorch {found.version} from PyPI (TORCH_INDEX=URL for another)")
    return found, ()


def packages_of(name: str, torch: Torch) -> tuple[str, ...]:
    """What pip is asked to install for a command, beside the PyTorch chosen and the kernels."""
    extras = DEMO if name == "demo" else TESTS_CUDA_13 if torch.cuda_13 else TESTS
    return ("-e", f".[{','.join(extras)}]")


def install_native(env: Environment) -> None:
    """Compiles and installs the kernels, which the extra `cpu` requires and PyPI does not have.

    Raises:
        SetupError: They do not compile, or there is no Zig for this machine.
    """
    own = os.environ.get("CC")
    by = f"{own}, as CC says" if own else "Zig's compiler, 100 MB from PyPI (CC=gcc takes one of yours)"
    say(f"compiling the C kernels by {by}")
    if env.pip("install", "--quiet", "--no-deps", "./native"):
        remedy = "see above" if own else "see above; with a C compiler of yours: make ... CC=gcc"
        raise SetupError(f"the C kernels could not be installed ({remedy})")


def announce(report: dict[str, Any]) -> None:
    """Says what a plan of pip's will download, the largest packages by name."""
    links = {one["metadata"]["name"]: one["download_info"]["url"] for one in report["install"]}
    links = {name: url for name, url in links.items() if url.startswith("http")}
    with ThreadPoolExecutor(8) as pool:
        sizes = dict(zip(links, pool.map(size_of, links.values()), strict=True))
    known = {name: size for name, size in sizes.items() if size}
    unknown = len(sizes) - len(known)
    large = sorted((n for n, size in known.items() if size >= ENOUGH), key=lambda n: -known[n])
    named = ", ".join(f"{name} {megabytes(known[name])}" for name in large[:4])
    more = f" and {unknown} of unknown size" if unknown else ""
    say(
        f"to download: {len(sizes)} packages, {megabytes(sum(known.values()))}{more}, "
        f"less what pip keeps in its cache{f' ({named}, ...)' if named else ''}"
    )


def size_of(url: str) -> int:
    """Bytes behind an address, 0 where its server does not tell."""
    parts = urlsplit(url)
    if parts.username:  # pip's report leaves passwords out
        return 0
    certificates = os.environ.get("PIP_CERT") or None
    try:
        context = ssl.create_default_context(cafile=certificates)
        with urlopen(Request(url, method="HEAD"), timeout=20, context=context) as answer:
            return int(answer.headers.get("Content-Length") or 0)
    except (OSError, ValueError):
        return 0


def megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{max(round(size / 1e6), 1)} MB"


def say(line: str) -> None:
    """Prints a line of progress."""
    print(f"==> {line}", flush=True)


def set_up(name: str, folder: Path, asked: str) -> None:
    """Makes the environment of a command.

    Args:
        name: "demo" or "tests".
        folder: The virtual environment.
        asked: An index for PyTorch that the user named; empty for none.

    Raises:
        SetupError: What the user has to mend.
    """
    if sys.version_info < LEAST_PYTHON:
        version, least = (".".join(map(str, part)) for part in (sys.version_info[:3], LEAST_PYTHON))
        raise SetupError(
            f"this is Python {version}, {least} or newer is needed: make ... PYTHON=python{least}"
        )
    env = Environment(folder.absolute())
    say(f"virtual environment {folder}, Python {'.'.join(map(str, sys.version_info[:3]))}")
    env.create()
    torch, source = choose_torch(env, asked)
    packages = packages_of(name, torch)
    install_native(env)
    say("asking pip what is missing")
    # PyTorch is named with its local part: an index that comes later cannot put another build in its place.
    arguments = ("-c", str(CONSTRAINTS), *source, f"torch=={torch.version}", *packages)
    report = env.plan(*arguments)
    if isinstance(report, str):
        raise SetupError(f"pip finds no set of packages that fits together:\n{report}")
    announce(report)
    if env.pip("install", *arguments):
        raise SetupError(
            "pip failed (see above); what it fetched stays in its cache, so trying again is cheap"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=("demo", "tests"), help="whose packages")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="the virtual environment [.venv]")
    parser.add_argument("--torch-index", default="", metavar="URL", help="where pip finds PyTorch")
    given = parser.parse_args(arguments)
    try:
        set_up(given.name, given.venv, given.torch_index)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
