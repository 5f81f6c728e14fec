"""The part of `machine` that asks Windows; import it there only."""

from __future__ import annotations

import ctypes
import sys
from ctypes import wintypes

assert sys.platform == "win32"

_FEATURES = {"AVX": 39, "AVX2": 40, "AVX512": 41, "NEON": 19, "dot product": 43}
"""Numbers that IsProcessorFeaturePresent takes."""
_QUERY_LIMITED_INFORMATION, _ACCESS_DENIED, _STILL_ACTIVE = 0x1000, 5, 259


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


def process_runs(number: int) -> bool:
    """Whether there is a process of that number; one that may not be asked counts."""
    kernel = ctypes.windll.kernel32
    kernel.OpenProcess.restype = wintypes.HANDLE
    handle = kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, False, wintypes.DWORD(number))
    if not handle:
        return bool(kernel.GetLastError() == _ACCESS_DENIED)
    code = wintypes.DWORD()
    kernel.GetExitCodeProcess(wintypes.HANDLE(handle), ctypes.byref(code))
    kernel.CloseHandle(wintypes.HANDLE(handle))
    return code.value == _STILL_ACTIVE
