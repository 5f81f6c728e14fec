"""Where the doctor looks: this machine, what is installed, and what this project requires."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from sovits_runtime.machine import Machine, read_machine
from sovits_runtime.machine.cuda_packages import CUDA_PACKAGES, installed_packages
from sovits_runtime.machine.onnx_runtime import PACKAGES, import_quietly, installed_onnxruntimes
from sovits_runtime.text.extras import is_for_python

LIBRARIES = (
    "sovits-export", "numpy", "click", "soundfile", "soxr", "onnxruntime", "onnx", "onnxscript", "safetensors",
    "polygraphy", *CUDA_PACKAGES,
)  # fmt: skip
_DISTRIBUTION = "sovits-export"


def library_versions() -> dict[str, str]:
    """Returns the versions of what is installed of `LIBRARIES` and of the packages that hold ONNX Runtime."""
    others = tuple(name for name in LIBRARIES if name not in PACKAGES)
    return {**installed_packages(others), **installed_onnxruntimes()}


def read_requirements() -> dict[str, dict[str, str]]:
    """Reads this project's own requirements: lowest versions by extra and distribution."""
    try:
        lines = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    return parse_requirements(lines)


def parse_requirements(lines: list[str]) -> dict[str, dict[str, str]]:
    """Parses lines such as `torch>=2.9; extra == "export"`; those for other Pythons are left out."""
    requirements: dict[str, dict[str, str]] = {}
    for line in filter(is_for_python, lines):
        name = re.match(r"[A-Za-z0-9._-]+", line)
        least = re.search(r">=\s*([0-9][0-9.]*)", line.partition(";")[0])
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        if name and name[0] != _DISTRIBUTION:
            requirements.setdefault(extra[1] if extra else "", {})[name[0]] = least[1] if least else "0"
    return requirements


def _load(name: str) -> Any:
    return import_quietly() if name == "onnxruntime" else import_module(name)


@dataclass(frozen=True)
class Environment:
    """This machine and what is installed on it; tests replace it.

    Attributes:
        machine: This machine.
        versions: Installed distributions, of `library_versions`.
        requirements: Lowest versions by extra ("" is the base install) and distribution.
        load: Imports a module.
    """

    machine: Machine = field(default_factory=read_machine)
    versions: Mapping[str, str] = field(default_factory=library_versions)
    requirements: Mapping[str, Mapping[str, str]] = field(default_factory=read_requirements)
    load: Callable[[str], Any] = _load
