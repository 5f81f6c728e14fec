"""Cores as each system tells them: hyper-threads are not cores, and slow cores are left to others."""

from __future__ import annotations

import struct

import pytest

from sovits_runtime import machine
from sovits_runtime.machine import cores
from sovits_runtime.machine.cores import Core, fast_cores, linux_cores, mac_cores, members, windows_cores


def record(mask, *, speed=0, groups=((0,),), relationship=0):
    """One SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX, as winnt.h lays it out."""
    masks = b"".join(struct.pack("<QHHHH", mask, group[0], 0, 0, 0) for group in groups)
    core = struct.pack("<BB20sH", 1, speed, bytes(20), len(groups)) + masks
    return struct.pack("<II", relationship, 8 + len(core)) + core


def test_windows_threads_of_a_core_are_one_core():
    found = windows_cores(b"".join(record(0b11 << 2 * i) for i in range(4)))
    assert [core.logical for core in found] == [{0, 1}, {2, 3}, {4, 5}, {6, 7}]
    assert fast_cores(found, range(8)) == 4
    assert fast_cores(found, [2, 3, 6]) == 2  # affinity


def test_windows_fast_cores_of_a_hybrid_processor():
    performance = [record(0b11 << 2 * i, speed=1) for i in range(8)]
    efficient = [record(1 << 16 + i, speed=0) for i in range(8)]
    found = windows_cores(b"".join((*performance, *efficient)))
    assert len(found) == 16
    assert fast_cores(found, range(24)) == 8
    assert fast_cores(found, range(16, 20)) == 4  # where only slow ones are allowed, those


def test_windows_groups_count_on_and_other_records_are_skipped():
    found = windows_cores(record(0b1, relationship=2) + record(0b110, groups=((1,),)))
    assert found == [Core(0, frozenset({65, 66}))]
    assert windows_cores(b"") == []
    assert fast_cores([], range(4)) is None


def test_an_affinity_mask_names_its_cores():
    assert members(0b1010_0001) == (0, 5, 7)
    assert members(0) == ()


def linux(root, siblings, *, fast=""):
    for number, listed in enumerate(siblings):
        folder = root / f"sys/devices/system/cpu/cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{listed}\n", encoding="utf-8")
    if fast:
        (root / "sys/devices/cpu_core").mkdir(parents=True)
        (root / "sys/devices/cpu_core/cpus").write_text(f"{fast}\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("siblings", "fast", "allowed", "count"),
    [
        (["0-1", "0-1", "2-3", "2-3"], "", range(4), 2),
        (["0,2", "1,3", "0,2", "1,3"], "", [0, 2], 1),
        (["0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7"], "0-3", range(8), 2),
        (["0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7"], "0-3", range(4, 8), 4),
        ([], "", range(4), None),
    ],
)
def test_linux_cores(tmp_path, siblings, fast, allowed, count):
    linux(tmp_path, siblings, fast=fast)
    assert fast_cores(linux_cores(tmp_path, allowed), allowed) == count


@pytest.mark.parametrize(
    ("told", "count"),
    [
        ({"hw.perflevel0.physicalcpu": "4\n", "hw.physicalcpu": "8\n"}, 4),  # M1
        ({"hw.physicalcpu": "6\n"}, 6),  # Intel
        ({}, None),
    ],
)
def test_a_mac_is_asked_for_its_performance_cores(monkeypatch, told, count):
    monkeypatch.setattr(cores, "output_of", lambda *command: told.get(command[-1], ""))
    assert mac_cores() == count
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    monkeypatch.setattr(machine, "cpu_quota", lambda root: None)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    assert machine.usable_cores() == (count or 8)


class Kernel32:
    """What is asked of Windows, answered for two cores of two threads each, the second one allowed."""

    def __init__(self, groups=1, mask=0b1100):
        self.groups, self.mask = groups, mask

    def __getattr__(self, name):
        def call(*arguments):
            return getattr(self, f"_{name}")(*arguments)

        return call

    def _GetActiveProcessorGroupCount(self):  # noqa: N802
        return self.groups

    def _GetCurrentProcess(self):  # noqa: N802
        return 1

    def _GetProcessAffinityMask(self, process, own, system):  # noqa: N802
        own._obj.value = self.mask
        return 1

    def _GetLogicalProcessorInformationEx(self, relationship, buffer, size):  # noqa: N802
        records = record(0b11) + record(0b1100)
        size._obj.value = len(records)
        if buffer is None:
            return 0
        buffer.raw = records
        return 1


@pytest.fixture
def windows(monkeypatch):
    """The module that asks Windows, over a stand-in of its library."""
    import ctypes
    import importlib
    import sys

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "windll", type("WinDll", (), {"kernel32": Kernel32()}), raising=False)
    monkeypatch.delitem(sys.modules, "sovits_runtime.machine.windows", raising=False)
    return importlib.import_module("sovits_runtime.machine.windows")


def test_on_windows_affinity_and_threads_of_a_core_count(windows, monkeypatch):
    monkeypatch.setattr(machine, "cpu_quota", lambda root: None)
    assert machine.allowed_cores() == (2, 3)
    assert machine.usable_cores() == 1
    monkeypatch.setattr(windows.ctypes.windll, "kernel32", Kernel32(groups=2))
    assert machine.allowed_cores() == (0, 1, 2, 3)
    assert machine.usable_cores() == 2
