"""Where the system does not tell what the processor can do, the native library does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from sovits_runtime.backends import processor
from sovits_runtime.backends.native import kernels, library
from sovits_runtime.backends.processor import KERNEL_FEATURES, processor_features
from sovits_runtime.errors import BackendError
from sovits_runtime.machine import FEATURES, read_machine

C = Path(__file__).parents[3] / "native/c"
WINDOWS = dataclasses.replace(read_machine(), features=("AVX", "AVX2", "AVX512"))


def test_windows_is_told_by_the_library(monkeypatch):
    monkeypatch.setattr(processor, "SYSTEM_TELLS", False)
    monkeypatch.setattr(processor, "library", lambda: object())
    monkeypatch.setattr(processor, "kernels", lambda lib: "AVX-512 VNNI")
    told = processor_features(WINDOWS).features
    assert told == ("AVX", "AVX2", "FMA", "F16C", "AVX512", "AVX512-VNNI")
    monkeypatch.setattr(processor, "kernels", lambda lib: "generic")
    assert processor_features(WINDOWS).features == WINDOWS.features


def test_without_a_library_it_is_what_the_system_says(monkeypatch):
    assert processor_features(WINDOWS) is WINDOWS  # this system tells all

    def broken():
        raise BackendError("of another version")

    monkeypatch.setattr(processor, "SYSTEM_TELLS", False)
    monkeypatch.setattr(processor, "library", lambda: None)
    assert processor_features(WINDOWS) is WINDOWS
    monkeypatch.setattr(processor, "library", broken)
    assert processor_features(WINDOWS) is WINDOWS


@pytest.mark.skipif(library() is None, reason="sovits-export-native is not installed")
def test_what_the_library_chose_here_is_what_linux_says():
    implied = KERNEL_FEATURES.get(kernels(library()), ())
    assert set(implied) <= set(FEATURES)
    assert set(implied) <= set(read_machine().features)


@pytest.mark.skipif(not C.is_dir(), reason="these tests stand without the kernels' sources")
def test_every_kind_of_kernels_for_x86_is_known():
    sources = "".join(path.read_text(encoding="utf-8") for path in C.glob("kernels_a[mv]*.c"))
    assert set(re.findall(r'KERNELS\("([^"]+)"', sources)) == set(KERNEL_FEATURES)
