"""The NVIDIA driver, asked by ctypes before any library needs it: some end the process where there is none."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any


def driver_problem(load: Callable[[str], Any] | None = None, *, cuda: int = 0) -> str:
    """Asks the NVIDIA driver whether a device can be used; returns what is wrong, or nothing.

    Args:
        load: Opens a library by name; None: `ctypes.CDLL`.
        cuda: Major version of CUDA that it must run; 0: any.
    """
    for name in ("nvcuda.dll",) if os.name == "nt" else ("libcuda.so.1", "libcuda.so"):
        try:
            library = (load or ctypes.CDLL)(name)
        except OSError:
            continue
        code = int(library.cuInit(0))
        if code:
            return f"the NVIDIA driver cannot be used (cuInit gives {code})"
        runs = ctypes.c_int()
        if not int(library.cuDriverGetVersion(ctypes.byref(runs))) and runs.value < 1000 * cuda:
            newest = f"{runs.value // 1000}.{runs.value % 1000 // 10}"
            return f"the NVIDIA driver runs CUDA up to {newest}, CUDA {cuda} is needed; update the driver"
        count = ctypes.c_int()
        code = int(library.cuDeviceGetCount(ctypes.byref(count)))
        return "" if code == 0 and count.value > 0 else "the NVIDIA driver sees no device"
    return "no NVIDIA driver is installed"
