"""No library that we bring along reports home, unless the user turned it on: the one place that says so.

Importing `sovits_runtime` sets the switches below, and importing any of our other packages imports it. That early,
because they are read once, when the library is imported, and not by us alone: `onnxscript`, which the exporter needs,
imports ONNX Runtime as well. What the user has set before stays as it is.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_OFF = frozenset({"1", "true", "yes", "on", "y"})


class Switch(Protocol):
    """Turns one library's telemetry off, in this process and in those that it starts."""

    @property
    def library(self) -> str:
        """Its name."""

    @property
    def how(self) -> str:
        """How a user turns it on."""

    def is_on(self) -> bool:
        """Whether the user turned it on."""

    def turn_off(self) -> None:
        """Turns it off, unless the user turned it on."""


@dataclass(frozen=True)
class Variable:
    """A library that looks at a variable of the environment; "1" is off, unset is on.

    Attributes:
        library: Its name.
        name: Of the variable.
        source: Where its authors say so.
    """

    library: str
    name: str
    source: str

    @property
    def how(self) -> str:
        """How a user turns it on."""
        return f"{self.name}=0 turns it on"

    def is_on(self) -> bool:
        """Whether the user turned it on."""
        value = os.environ.get(self.name, "").strip().lower()
        return bool(value) and value not in _OFF

    def turn_off(self) -> None:
        """Sets the variable, unless the user set it to anything but nothing."""
        if not os.environ.get(self.name):
            os.environ[self.name] = "1"


@dataclass(frozen=True)
class OpenVino:
    """OpenVINO, whose Python package reports each import through a package of its own, `openvino_telemetry`.

    No variable turns that off. Where the reporting package is missing, OpenVINO takes a stand-in that sends nothing,
    so it is kept from being imported. Users turn it on with its command `opt_in_out`, which writes a file.

    Source: openvino 2026.4, openvino/tools/ovc/telemetry_utils.py; openvino-telemetry 2025.2, utils/opt_in_checker.py.
    """

    library: str = "OpenVINO"
    how: str = "opt_in_out --opt_in turns it on"

    def is_on(self) -> bool:
        """Whether the user's file says so."""
        folder = os.environ.get("LOCALAPPDATA", "") if sys.platform == "win32" else os.path.expanduser("~")
        name = "Intel Corporation" if sys.platform == "win32" else "intel"
        try:
            return Path(folder, name, "openvino_telemetry").read_text(encoding="utf-8").strip() == "1"
        except (OSError, ValueError):
            return False

    def turn_off(self) -> None:
        """Keeps the reporting package out of this process, unless it is in or the user turned it on."""
        modules: dict[str, Any] = sys.modules
        if not self.is_on():
            modules.setdefault("openvino_telemetry", None)


ONNX_RUNTIME = Variable(
    "ONNX Runtime",
    "ORT_DISABLE_TELEMETRY",
    "https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md, on Linux and macOS since 1.29",
)
HUB = Variable(
    "Hugging Face Hub",
    "HF_HUB_DISABLE_TELEMETRY",
    "https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables",
)
SWITCHES: tuple[Switch, ...] = (ONNX_RUNTIME, HUB, OpenVino())


def turn_off() -> None:
    """Turns every switch that the user has not turned on."""
    for switch in SWITCHES:
        switch.turn_off()


def turned_on() -> tuple[Switch, ...]:
    """The libraries whose telemetry the user turned on."""
    return tuple(switch for switch in SWITCHES if switch.is_on())


def hush_onnxruntime(ort: Any) -> None:
    """Has ONNX Runtime record no more events, unless the user turned them on.

    On Windows this is the switch: events go to the system there, and no variable is read. Elsewhere it is for a program
    that imported ONNX Runtime before us, which is too late for the variable: what is sent when ONNX Runtime starts,
    and the identifier in the user's cache folder, cannot be taken back; sessions are not reported. Such a program sets
    `ORT_DISABLE_TELEMETRY=1` itself, or imports `sovits_runtime` first.

    Args:
        ort: The module `onnxruntime`.
    """
    stop = getattr(ort, "disable_telemetry_events", None)
    if stop is not None and not ONNX_RUNTIME.is_on():
        stop()
