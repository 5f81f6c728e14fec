"""What this machine is: processor, cores, memory and installed versions, read without running anything."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sovits_runtime.machine.cores import fast_cores, linux_cores, mac_cores, members, windows_cores
from sovits_runtime.machine.system import output_of, read_text

# Name shown -> flags that /proc/cpuinfo (x86 "flags", Arm "Features") or macOS' sysctl uses for it.
FEATURES: dict[str, tuple[str, ...]] = {
    "AVX": ("avx", "avx1.0"),
    "AVX2": ("avx2",),
    "FMA": ("fma",),
    "F16C": ("f16c",),
    "AVX512": ("avx512f",),
    "AVX512-VNNI": ("avx512_vnni",),
    "AVX-VNNI": ("avx_vnni",),
    "AVX512-BF16": ("avx512_bf16",),
    "AMX": ("amx_tile",),
    "NEON": ("asimd", "neon", "hw.optional.neon"),
    "dot product": ("asimddp", "hw.optional.arm.feat_dotprod"),
    "I8MM": ("i8mm", "hw.optional.arm.feat_i8mm"),
    "SVE": ("sve",),
}


@dataclass(frozen=True)
class Machine:
    """One machine as this process may use it.

    Attributes:
        system: Operating system and architecture.
        python: Version and implementation.
        cpu: Model name.
        features: Names from `FEATURES` that the processor has.
        logical_cores: Of the machine.
        allowed_cores: Logical cores that this process may run on (affinity).
        physical_cores: Physical cores among the allowed ones, the fast ones where there are two kinds; None where the
            system does not tell.
        quota_cores: Limit that a container sets, in cores; None without one.
        memory_bytes: Of the machine; None where the system does not tell.
        available_bytes: Memory that programs could still get; None where the system does not tell.
        memory_limit_bytes: Limit that a container sets; None without one.
    """

    system: str
    python: str
    cpu: str
    features: tuple[str, ...]
    logical_cores: int
    allowed_cores: int
    physical_cores: int | None
    quota_cores: float | None
    memory_bytes: int | None
    available_bytes: int | None
    memory_limit_bytes: int | None

    @property
    def usable_cores(self) -> int:
        """Threads worth starting; see `usable_cores`."""
        return _within_quota(self.physical_cores or self.allowed_cores, self.quota_cores)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return {**asdict(self), "features": list(self.features), "usable_cores": self.usable_cores}


def read_machine(root: Path = Path("/")) -> Machine:
    """Describes this machine.

    Args:
        root: Where /proc and /sys are looked for.
    """
    cpuinfo = read_text(root / "proc/cpuinfo")
    memory = _memory(root)
    allowed = allowed_cores()
    return Machine(
        system=f"{_system_name()}, {platform.machine()}",
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        cpu=_cpu_name(cpuinfo),
        features=_features(cpuinfo),
        logical_cores=os.cpu_count() or 1,
        allowed_cores=len(allowed),
        physical_cores=_physical_cores(root, allowed),
        quota_cores=cpu_quota(root),
        memory_bytes=memory.get("MemTotal"),
        available_bytes=memory.get("MemAvailable"),
        memory_limit_bytes=memory_limit(root),
    )


def own_version() -> str:
    """Version of this project; "source" where its files run without having been installed."""
    return installed_versions(("sovits-export",)).get("sovits-export", "source")


def version_numbers(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with, to compare; empty where it begins with none."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def installed_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Returns the versions of those distributions that are installed, by name; nothing is imported."""
    versions: dict[str, str] = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def features_of(cpuinfo: str) -> tuple[str, ...]:
    """Finds the names of `FEATURES` among the flags of a /proc/cpuinfo or a sysctl listing."""
    flags: set[str] = set()
    for line in cpuinfo.lower().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "features", "machdep.cpu.features", "machdep.cpu.leaf7_features"}:
            flags |= set(value.split())
        elif key.startswith("hw.optional.") and value.strip() == "1":
            flags.add(key.strip())
    return tuple(name for name, names in FEATURES.items() if flags & set(names))


def allowed_cores() -> tuple[int, ...]:
    """Returns the logical cores that this process may run on."""
    if sys.platform == "linux":
        return tuple(sorted(os.sched_getaffinity(0)))
    if sys.platform == "win32":
        from sovits_runtime.machine.windows import affinity, core_records

        every = sorted(number for core in windows_cores(core_records()) for number in core.logical)
        return members(affinity()) or tuple(every) or tuple(range(os.cpu_count() or 1))
    return tuple(range(os.cpu_count() or 1))


def usable_cores(root: Path = Path("/")) -> int:
    """Returns the threads worth starting: physical cores within affinity and a container's limit, at least 1.

    Args:
        root: Where /proc and /sys are looked for.
    """
    allowed = allowed_cores()
    return _within_quota(_physical_cores(root, allowed) or len(allowed), cpu_quota(root))


def _within_quota(cores: int, quota_cores: float | None) -> int:
    return max(1, min(cores, int(quota_cores or cores)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Returns the smallest limit, in cores, that a control group above this process sets; None without one."""
    limits: list[float] = []
    for folder in _group_folders(root, "cpu"):
        quota, _, period = read_text(folder / "cpu.max").partition(" ")
        if not period:
            quota, period = read_text(folder / "cpu.cfs_quota_us"), read_text(folder / "cpu.cfs_period_us")
        if quota.strip().isdigit() and period.strip().isdigit() and int(quota) > 0:
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Returns the smallest memory limit, in bytes, that a control group above this process sets."""
    limits: list[int] = []
    for folder in _group_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            value = read_text(folder / name).strip()
            if value.isdigit() and int(value) < 1 << 60:  # version 1 writes almost 2^63 for "no limit"
                limits.append(int(value))
    return min(limits, default=None)


def _group_folders(root: Path, controller: str) -> list[Path]:
    """Control group folders of this process for a controller, versions 1 and 2, from its own up to the top."""
    folders: list[Path] = []
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        own = Path(path.lstrip("/"))
        folders += [top / own, *(top / parent for parent in own.parents)]
    return folders


def _physical_cores(root: Path, allowed: tuple[int, ...]) -> int | None:
    if sys.platform == "darwin":
        return mac_cores()
    if sys.platform == "win32":
        from sovits_runtime.machine.windows import core_records

        return fast_cores(windows_cores(core_records()), allowed)
    return fast_cores(linux_cores(root, allowed), allowed)


def _memory(root: Path) -> Mapping[str, int]:
    if sys.platform == "darwin":
        total = output_of("sysctl", "-n", "hw.memsize").strip()
        return {"MemTotal": int(total)} if total.isdigit() else {}
    if sys.platform == "win32":
        from sovits_runtime.machine.windows import machine_memory

        return machine_memory()
    rows = re.findall(r"^(\w+):\s+(\d+) kB", read_text(root / "proc/meminfo"), re.MULTILINE)
    return {name: int(kilobytes) * 1024 for name, kilobytes in rows}


def _system_name() -> str:
    if sys.platform == "linux":
        try:
            return f"{platform.freedesktop_os_release()['PRETTY_NAME']} (Linux {platform.release()})"
        except (OSError, KeyError):
            return f"Linux {platform.release()}"
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{platform.system()} {platform.release()} {platform.version()}"


def _cpu_name(cpuinfo: str) -> str:
    if sys.platform == "darwin":
        return output_of("sysctl", "-n", "machdep.cpu.brand_string").strip() or platform.machine()
    if sys.platform == "win32":
        from sovits_runtime.machine.windows import cpu_name

        return cpu_name()
    match = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return match[1].strip() if match else platform.machine()


def _features(cpuinfo: str) -> tuple[str, ...]:
    if sys.platform == "darwin":
        return features_of(output_of("sysctl", "-a"))
    if sys.platform == "win32":
        from sovits_runtime.machine.windows import features

        return features()
    return features_of(cpuinfo)
