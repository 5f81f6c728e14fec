"""Imports TensorRT: which of its two flavours is installed, its version, and what must hold before it is used.

Both flavours share one Python interface. Their enum values differ between versions, so members are looked up by name.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from sovits_runtime.errors import BackendError, first_line
from sovits_runtime.gpu import driver
from sovits_runtime.machine.cuda_lines import LINES, CudaLine, installed_line

LOG = logging.getLogger(__name__)

RTX, ENTERPRISE = "rtx", "trt"
TITLES = {RTX: "TensorRT for RTX", ENTERPRISE: "TensorRT"}
_EXTRAS = {RTX: "rtx", ENTERPRISE: "tensorrt"}
_MODULES = {RTX: ("tensorrt_rtx", "tensorrt_rtx_bindings"), ENTERPRISE: ("tensorrt", "tensorrt_bindings")}
_DISTRIBUTIONS = {RTX: "tensorrt-rtx-cu{}-bindings", ENTERPRISE: "tensorrt-cu{}-bindings"}
OLDEST = {RTX: (1, 7), ENTERPRISE: (10, 15)}


@dataclass(frozen=True)
class TrtApi:
    """An installed TensorRT.

    Attributes:
        flavour: `RTX` or `ENTERPRISE`.
        module: The imported Python module.
        version: All four parts.
        cuda: Major version of CUDA it is built for; 0 when it is not known.
    """

    flavour: str
    module: Any
    version: str
    cuda: int

    @property
    def title(self) -> str:
        """Name and version for people."""
        return f"{TITLES[self.flavour]} {self.version}"

    def log_collector(self) -> Any:
        """Returns a new logger for TensorRT objects: errors are collected in its list `errors`, the rest is logged."""
        trt = self.module
        errors = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)

        class Collector(trt.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.errors: list[str] = []

            def log(self, severity: Any, message: str) -> None:
                if severity in errors:
                    self.errors.append(" ".join(message.split()))
                elif severity == trt.ILogger.WARNING:
                    LOG.info("%s", message)

        return Collector()

    def runtime(self, logger: Any, *, load: Callable[[str], Any] | None = None) -> Any:
        """Makes a TensorRT runtime, after asking the driver: without one that fits, TensorRT ends the process.

        Args:
            logger: Of `log_collector`; must outlive the runtime.
            load: Opens a library by name; None: `ctypes.CDLL`.

        Raises:
            BackendError: There is no usable driver, or it is too old.
        """
        problem = driver.driver_problem(load, cuda=self.cuda)
        if problem:
            raise BackendError(
                f"{self.title} needs an NVIDIA GPU to run engines: {problem}; see 'sovits-export doctor'"
            )
        return self.module.Runtime(logger)


def install(flavour: str, line: CudaLine | None = None) -> str:
    """Returns the pip line for one flavour.

    Args:
        flavour: `RTX` or `ENTERPRISE`.
        line: Of CUDA; None: that of this environment.
    """
    return (line or installed_line()).extra(_EXTRAS[flavour])


def load_api(flavour: str, *, load: Callable[[str], Any] | None = None) -> TrtApi:
    """Imports one flavour.

    Args:
        flavour: `RTX` or `ENTERPRISE`.
        load: Imports a module by name; None: `importlib.import_module`.

    Raises:
        BackendError: It is not installed, does not load, or is too old.
    """
    reasons = []
    for name in _MODULES[flavour]:
        try:
            module = (load or importlib.import_module)(name)
        except (ImportError, OSError, RuntimeError) as error:
            reasons.append(first_line(error))
            continue
        if hasattr(module, "Builder"):
            return _api(flavour, module)
        reasons.append(f"{name} is a placeholder without libraries")
    raise BackendError(f"{TITLES[flavour]} is not installed ({reasons[-1]}); {install(flavour)}")


def _api(flavour: str, module: Any) -> TrtApi:
    version = str(module.__version__)
    parts = tuple(int(p) for p in re.findall(r"\d+", version)[:2])
    if parts < OLDEST[flavour]:
        oldest = ".".join(map(str, OLDEST[flavour]))
        raise BackendError(
            f"{TITLES[flavour]} {version} is too old, {oldest} or later is needed; {install(flavour)}"
        )
    return TrtApi(flavour, module, version, _cuda_major(flavour, version))


def _cuda_major(flavour: str, version: str) -> int:
    for major in LINES:
        try:
            if metadata.version(_DISTRIBUTIONS[flavour].format(major)) == version:
                return major
        except metadata.PackageNotFoundError:
            continue
    return 0
