"""Which cores a voice should compute on, as each system tells it: physical ones, and the fast ones where two kinds are.

A step of the GPT waits for the slowest of its threads, so a core that is slower than the others slows all of them.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from sovits_runtime.machine.system import output_of, read_text

_PROCESSOR_CORE = 0
_HEADER = struct.Struct("<II")  # Relationship, Size
_CORE = struct.Struct("<BB20xH")  # Flags, EfficiencyClass, Reserved, GroupCount
_GROUP = struct.Struct("<QH6x")  # Mask, Group, Reserved
GROUP_SIZE = 64
"""Logical cores of one processor group of Windows, at most."""


@dataclass(frozen=True)
class Core:
    """A physical core.

    Attributes:
        speed: Larger is faster; equal where all cores are alike.
        logical: Numbers of its logical cores.
    """

    speed: int
    logical: frozenset[int]


def windows_cores(records: bytes) -> list[Core]:
    """Reads what GetLogicalProcessorInformationEx gives for RelationProcessorCore, on 64-bit Windows.

    Args:
        records: Structures SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX, one after the other.
    """
    cores, at = [], 0
    while at + _HEADER.size <= len(records):
        relationship, size = _HEADER.unpack_from(records, at)
        if relationship == _PROCESSOR_CORE:
            _, speed, groups = _CORE.unpack_from(records, at + _HEADER.size)
            first = at + _HEADER.size + _CORE.size
            masks = (_GROUP.unpack_from(records, first + i * _GROUP.size) for i in range(groups))
            cores.append(Core(speed, frozenset(n for mask, group in masks for n in _members(mask, group))))
        at += max(size, _HEADER.size)
    return cores


def members(mask: int) -> tuple[int, ...]:
    """Numbers of the logical cores that an affinity mask names."""
    return tuple(_members(mask, 0))


def fast_cores(cores: Collection[Core], allowed: Collection[int]) -> int | None:
    """How many physical cores are allowed, of the fastest kind among those; None where nothing is known."""
    mine = [core for core in cores if not core.logical.isdisjoint(allowed)]
    fastest = max((core.speed for core in mine), default=None)
    return sum(core.speed == fastest for core in mine) or None


def linux_cores(root: Path, allowed: Collection[int]) -> list[Core]:
    """Reads the physical cores of some logical ones from /sys; empty where it does not tell.

    Args:
        root: Where /sys is looked for.
        allowed: Numbers of logical cores.
    """
    fast = _listed(read_text(root / "sys/devices/cpu_core/cpus"))  # there on hybrid Intel processors alone
    found = {}
    for number in allowed:
        text = read_text(root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
        if siblings := _listed(text):
            found[siblings] = Core(int(number in fast), siblings)
    return list(found.values())


def mac_cores() -> int | None:
    """Physical cores of a Mac, of the fast kind where it has two."""
    for name in ("hw.perflevel0.physicalcpu", "hw.physicalcpu"):
        count = output_of("sysctl", "-n", name).strip()
        if count.isdigit() and int(count):
            return int(count)
    return None


def _members(mask: int, group: int) -> Iterator[int]:
    return (group * GROUP_SIZE + bit for bit in range(GROUP_SIZE) if mask >> bit & 1)


def _listed(text: str) -> frozenset[int]:
    """Numbers of a list such as 0-3,8."""
    numbers: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            numbers.update(range(int(first), int(last if last.isdigit() else first) + 1))
    return frozenset(numbers)
