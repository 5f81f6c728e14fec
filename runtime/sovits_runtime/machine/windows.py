"""The part of `machine` that asks Windows; import it there only."""

from __future__ import annotations

import ctypes
import sys
from ctypes import wintypes

assert sys.platform == "win32"

_FEATURES = {"AVX": 39, "AVX2": 40, "AVX512": 41, "NEON": 19, "dot product": 43}
"""Numbers that IsProcessorFeaturePresent takes."""
_RELATION_PROCESSOR_CORE = 0


class _MemoryStatus(ctypes.Structure):
    _fields_ = (
        ("dwLength", wintypes.DWORD),
        ("dwMemoryLoad", wintypes.DWORD),
        ("ullTotalPhys", ctypes.c_ulonglong),
        ("ullAvailPhys", ctypes.c_ulonglong),
        ("rest", ctypes.c_ulonglong * 5),
    )


class _ProcessMemory(ctypes.Structure):
    _fields_ = (
        ("cb", wintypes.DWORD),
        ("PageFaultCount", wintypes.DWORD),
        ("PeakWorkingSetSize", ctypes.c_size_t),
        ("WorkingSetSize", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 6),
        ("PrivateUsage", ctypes.c_size_t),
    )


def cpu_name() -> str:
    """Returns the processor's model name."""
    import winreg

    key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return str(winreg.QueryValueEx(opened, "ProcessorNameString")[0]).strip()
    except OSError:
        return "unknown processor"


def features() -> tuple[str, ...]:
    """Returns those features that Windows can be asked about."""
    has = ctypes.windll.kernel32.IsProcessorFeaturePresent
    return tuple(name for name, number in _FEATURES.items() if has(number))


def machine_memory() -> dict[str, int]:
    """Returns the machine's memory in bytes, under the names that Linux uses."""
    status = _MemoryStatus(dwLength=ctypes.sizeof(_MemoryStatus))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return {}
    return {"MemTotal": status.ullTotalPhys, "MemAvailable": status.ullAvailPhys}


def process_memory(field: str) -> int | None:
    """Returns a field of this process' PROCESS_MEMORY_COUNTERS_EX, in bytes."""
    counters = _ProcessMemory(cb=ctypes.sizeof(_ProcessMemory))
    kernel = ctypes.windll.kernel32
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    ask = kernel.K32GetProcessMemoryInfo
    ask.argtypes = (wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD)
    if not ask(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        return None
    return int(getattr(counters, field))


def core_records() -> bytes:
    """Returns what Windows tells of physical cores, to be read by `cores.windows_cores`; empty where it fails."""
    ask = ctypes.windll.kernel32.GetLogicalProcessorInformationEx
    ask.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(wintypes.DWORD))
    size = wintypes.DWORD(0)
    ask(_RELATION_PROCESSOR_CORE, None, ctypes.byref(size))  # fails, and says how much there is
    records = ctypes.create_string_buffer(size.value)
    told = ask(_RELATION_PROCESSOR_CORE, records, ctypes.byref(size))
    return records.raw[: size.value] if told else b""


def affinity() -> int:
    """Returns the mask of logical cores that this process may run on; 0 where there are several groups of them."""
    kernel = ctypes.windll.kernel32
    if (
        kernel.GetActiveProcessorGroupCount() > 1
    ):  # threads may then run in another group, whose mask is another
        return 0
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    ask = kernel.GetProcessAffinityMask
    ask.argtypes = (wintypes.HANDLE, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t))
    own, system = ctypes.c_size_t(), ctypes.c_size_t()
    return own.value if ask(kernel.GetCurrentProcess(), ctypes.byref(own), ctypes.byref(system)) else 0


def short_name(path: str) -> str:
    """Returns a path in its short form of 8.3 characters, which is ASCII; the path itself where it has none."""
    ask = ctypes.windll.kernel32.GetShortPathNameW
    ask.argtypes = (wintypes.LPCWSTR, wintypes.LPWSTR, wintypes.DWORD)
    size = ask(path, None, 0)
    short = ctypes.create_unicode_buffer(size)
    return short.value if size and ask(path, short, size) else path
