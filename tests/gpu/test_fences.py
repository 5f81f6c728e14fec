"""The kernel that tries the grid barrier: it compiles, and it finds a barrier that is missing."""

from __future__ import annotations

import ctypes
import functools
import importlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fake_device import FakeDevice
from stand_ins import fenced

from sovits_runtime.errors import BackendError

HERE = Path(__file__).parent
RUN = """
#define atomicAdd(place, more) (*(place) += (more))
#include "{emulator}"
{source}
extern "C" int run(u64 *arrivals, unsigned *cells, unsigned *wrong, unsigned rounds, unsigned grid,
                   unsigned long long seed, int barrier) {{
    return emulator::launch(grid, BLOCK, seed, -1, barrier, [&] {{ fences(arrivals, cells, wrong, rounds); }});
}}
"""


@pytest.fixture(scope="module")
def fences():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE.parents[1] / "benchmarks" / "gpu"))
        yield importlib.import_module("fences")


@pytest.fixture(scope="module")
def emulated(fences, folder):
    """Runs the kernel as C++; gives how many numbers were wrong, and how many arrivals there were."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    source = fences.kernel_source()
    for name in ("inline void add_release", "inline u64 load_acquire"):  # PTX; the emulator has its own
        start = source.index(name)
        source = source[:start] + source[source.index("\n}", start) + 2 :]
    text = RUN.format(emulator=HERE / "cuda_emulator.h", source=source)
    (folder / "fences.cpp").write_text(text)
    command = ["g++", "-std=c++17", "-O1", "-Wno-unknown-pragmas", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", folder / "fences.so", folder / "fences.cpp"], check=True)
    library = ctypes.CDLL(str(folder / "fences.so"))

    def run(grid, rounds, seed, barrier=-2):
        arrivals, cells = np.zeros(1, np.uint64), np.zeros(grid * fences.THREADS, np.uint32)
        wrong = np.zeros(1, np.uint32)
        places = [ctypes.c_void_p(a.ctypes.data) for a in (arrivals, cells, wrong)]
        code = library.run(*places, rounds, grid, ctypes.c_ulonglong(seed), barrier)
        assert code == 0
        return int(wrong[0]), int(arrivals[0])

    return run


@pytest.mark.parametrize("seed", range(3))
def test_the_kernel_finds_a_missing_barrier(emulated, seed):
    assert emulated(4, 5, seed) == (0, 2 * 5 * 4)
    assert emulated(4, 5, seed, barrier=2)[0] > 0


@pytest.mark.parametrize("capability", [(7, 5), (9, 0), (12, 0)])
def test_it_compiles(fences, capability):
    pytest.importorskip("cuda.bindings.nvrtc")
    code = fences.compile_fences(capability)
    assert code.startswith(b"\x7fELF")
    assert b".text.fences\0" in code


def test_replays_and_rounds_are_counted(fences):
    launch = functools.partial(fenced, blocks=3)
    found = fences.try_capture(FakeDevice(1), launch, 3)
    assert found["summary"] == "50 replays of a cooperative launch of 3 blocks right"
    assert fences.try_fences(FakeDevice(1), launch, 3, rounds=7)["numbers"] == 10 * 7 * 3 * fences.THREADS
    with pytest.raises(AssertionError, match="10 numbers of 26880 were old behind a grid barrier"):
        fences.try_fences(FakeDevice(1), functools.partial(fenced, blocks=3, wrong=1), 3, rounds=7)
    with pytest.raises(AssertionError, match="arrivals, expected"):
        fences.try_fences(FakeDevice(1), launch, 4, rounds=7)


def test_a_driver_that_refuses_the_capture_refutes_the_claim(fences):
    def refused(stream, arrays, rounds):
        raise BackendError("CUDA failed to launch the fences: cudaErrorStreamCaptureUnsupported")

    with pytest.raises(AssertionError, match=r"cannot be captured: CUDA failed .*StreamCaptureUnsupported"):
        fences.try_capture(FakeDevice(1), refused, 3)
