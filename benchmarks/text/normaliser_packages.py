"""What an installed package costs: licence, size with all that it needs, and for which systems it has wheels."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

BASE = frozenset({"numpy", "click", "soundfile", "soxr", "cffi", "pycparser", "sovits-export"})
"""What the base install has anyway."""

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {
    "Linux x86-64": ("manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    "Linux Arm": ("manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    "Windows": ("win_amd64",),
    "macOS Arm": ("macosx_11_0_arm64", "macosx_14_0_arm64", "macosx_14_0_universal2"),
}


def needed(package: str) -> dict[str, Distribution]:
    """A package and all that it needs, without what the base install has; optional extras left out."""
    found: dict[str, Distribution] = {}
    waiting = [package]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found or name in BASE:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # a requirement of another system
            continue
        wanted = [line for line in found[name].requires or () if "extra ==" not in line]
        waiting += [match[0] for line in wanted if (match := re.match(r"[\w.-]+", line))]
    return found


def size_bytes(distributions: dict[str, Distribution]) -> int:
    """Bytes of the installed files, without compiled Python."""
    paths = [path for dist in distributions.values() for path in dist.files or () if path.suffix != ".pyc"]
    files = [Path(str(path.locate())) for path in paths]
    return sum(file.stat().st_size for file in files if file.is_file())


def licence(dist: Distribution) -> str:
    """The licence as the package states it."""
    fields = [
        line for name in ("License-Expression", "License") for line in dist.metadata.get_all(name) or ()
    ]
    classes = [line for line in dist.metadata.get_all("Classifier") or () if line.startswith("License")]
    stated = [*fields, *(line.rpartition(" :: ")[2] for line in classes), "not stated"]
    return next(str(line).strip().splitlines()[0] for line in stated if line.strip())


def is_compiled(dist: Distribution) -> bool:
    """Whether a package has machine code, so that it needs a wheel for each system."""
    return "Root-Is-Purelib: false" in (dist.read_text("WHEEL") or "")


def without_wheels(package: str) -> list[str]:
    """Of these systems and versions of Python, those where it must be compiled: `name: system 3.x, ...`."""
    lines = []
    places = [(system, python) for system in SYSTEMS for python in PYTHONS]
    for name in (name for name, dist in needed(package).items() if is_compiled(dist)):
        lacking = [place for place in places if not wheel(name, *place)]
        if len(lacking) == len(places):
            lines.append(f"{name}: everywhere")
        elif lacking:
            lines.append(f"{name}: {', '.join(map(' '.join, lacking))}")
    return lines


def wheel(name: str, system: str, python: str) -> bool:
    """Whether the package index has a wheel of any version."""
    platforms = [argument for tag in SYSTEMS[system] for argument in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed"]
    command += ["--only-binary", ":all:", "--target", "unused", "--python-version", python, *platforms, name]
    return subprocess.run(command, capture_output=True).returncode == 0
