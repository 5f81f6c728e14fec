"""What the processor can do, also where the system does not tell."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

from sovits_runtime.backends.native import kernels, library
from sovits_runtime.errors import BackendError
from sovits_runtime.machine import FEATURES, Machine

SYSTEM_TELLS = sys.platform != "win32"
"""Whether the system names all that the processor can do. Windows names neither VNNI nor AMX."""
_AVX2 = ("AVX", "AVX2", "FMA", "F16C")
_AVX512 = (*_AVX2, "AVX512", "AVX512-VNNI")
KERNEL_FEATURES: Mapping[str, tuple[str, ...]] = {
    "AVX2": _AVX2,
    "AVX-VNNI": (*_AVX2, "AVX-VNNI"),
    "AVX-512 VNNI": _AVX512,
    "AVX-512 BF16": (*_AVX512, "AVX512-BF16"),
    "AMX": (*_AVX512, "AVX512-BF16", "AMX"),
}
"""Native kernels -> what a processor has on which they are chosen, as names of `machine.FEATURES`."""


def processor_features(machine: Machine) -> Machine:
    """Adds what the native library found out by asking the processor itself, where it is installed and works."""
    try:
        lib = None if SYSTEM_TELLS else library()
    except BackendError:  # the doctor says so
        lib = None
    if lib is None:
        return machine
    known = {*machine.features, *KERNEL_FEATURES.get(kernels(lib), ())}
    return replace(machine, features=tuple(name for name in FEATURES if name in known))
