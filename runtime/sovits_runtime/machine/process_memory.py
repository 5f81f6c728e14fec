"""This process' memory: how much it has, and giving back what it freed."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

from sovits_runtime.machine.system import output_of, read_text


def peak_memory_bytes() -> int | None:
    """Returns the largest resident memory of this process alone so far; None where the system does not report it."""
    if sys.platform == "linux":
        return _status_bytes("VmHWM")  # not getrusage: its peak starts at that of the parent process
    if sys.platform == "win32":
        from sovits_runtime.machine.windows import process_memory

        return process_memory("PeakWorkingSetSize")
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def resident_bytes(*, private: bool = False) -> int | None:
    """Returns the resident memory now, None where it is unknown; `private`: without pages that mirror files."""
    if sys.platform == "linux":
        return _status_bytes("RssAnon" if private else "VmRSS")
    if sys.platform == "win32":
        from sovits_runtime.machine.windows import process_memory

        return process_memory("PrivateUsage" if private else "WorkingSetSize")
    if private:
        return None
    listed = output_of("ps", "-o", "rss=", "-p", str(os.getpid())).strip()
    return int(listed) * 1024 if listed.isdigit() else None


def return_freed_memory() -> None:
    """Gives the system what this process freed but its allocator kept for later, where the allocator can be asked."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
        if trim is not None:
            trim(0)


def _status_bytes(field: str) -> int | None:
    match = re.search(rf"^{field}:\s+(\d+) kB", read_text(Path("/proc/self/status")), re.MULTILINE)
    return int(match[1]) * 1024 if match else None
