"""NVIDIA GPUs as the driver reports them, and the CUDA libraries on disk.

The driver is asked through ctypes, in a process of its own, before anything of CUDA or TensorRT is imported:
TensorRT crashes the process that creates its runtime without a usable driver.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Loader = Callable[[str], Any]

PROBE_TIMEOUT_S = 60

_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_ERRORS = {
    1: "invalid value",
    3: "not initialised",
    34: "the library is a stub, not a driver",
    46: "the device is taken by another process",
    100: "no CUDA device",
    101: "invalid device",
    802: "the system is not ready (fabric manager?)",
    803: "driver and its kernel module differ in version; restart after the update",
    804: "forward compatibility is not supported on this device",
    999: "unknown error",
}
_FILE = re.compile(
    r"(?:lib(?P<name>cudart|cublasLt|cublas|cudnn|cufft|curand|nvrtc)\.so\.(?P<major>\d+)"
    r"|(?P<dll>cudart|cublasLt|cublas|cudnn|cufft|curand|nvrtc)64_(?P<dll_major>\d+).*\.dll)"
)


@dataclass(frozen=True)
class Gpu:
    """One device.

    Attributes:
        name: As the driver calls it.
        capability: Compute capability, major and minor.
        memory_bytes: Its memory.
    """

    name: str
    capability: tuple[int, int]
    memory_bytes: int


@dataclass(frozen=True)
class Driver:
    """What the driver reports.

    Attributes:
        library: The driver library that was loaded; empty when there is none.
        problem: Why the devices are not known; empty when they are.
        cuda: Newest CUDA version that the driver runs, major and minor; (0, 0) when not known.
        version: The driver's own version; empty when not known.
        gpus: The devices.
        code: Error of the driver; 0 when there is none.
    """

    library: str = ""
    problem: str = ""
    cuda: tuple[int, int] = (0, 0)
    version: str = ""
    gpus: tuple[Gpu, ...] = ()
    code: int = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Driver:
        """Reads what `asdict` gives."""
        gpus = tuple(Gpu(g["name"], tuple(g["capability"]), g["memory_bytes"]) for g in value["gpus"])
        return cls(
            value["library"], value["problem"], tuple(value["cuda"]), value["version"], gpus, value["code"]
        )


def probe_driver(load: Loader | None = None) -> Driver:
    """Asks the driver, in this process. Prefer `probe_driver_apart`, which survives a broken driver.

    Args:
        load: Opens a library by name, as `ctypes.CDLL` does.
    """
    load = load or ctypes.CDLL
    for name in ("nvcuda.dll",) if os.name == "nt" else ("libcuda.so.1", "libcuda.so"):
        try:
            library = load(name)
        except OSError:
            continue
        try:
            return _ask(name, library, load)
        except (AttributeError, OSError, ValueError) as error:
            return Driver(name, f"the driver library does not answer as expected ({error})")
    return Driver(problem="no NVIDIA driver is installed")


def probe_driver_apart(command: Sequence[str] | None = None) -> Driver:
    """Asks the driver in a process of its own, whose crash does no harm.

    Args:
        command: The program to run; None: this module.
    """
    command = list(command or (sys.executable, "-m", "sovits_engines.cuda.driver"))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Driver("unknown", f"the driver did not answer within {PROBE_TIMEOUT_S} s")
    except OSError as error:
        return Driver("unknown", f"the driver could not be asked ({error})")
    try:
        return Driver.from_json(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError):
        return Driver(
            "unknown", f"asking the driver ended the process that asked (exit code {done.returncode})"
        )


def find_cuda_libraries(folders: Iterable[Path] | None = None) -> dict[str, dict[int, Path]]:
    """Lists CUDA libraries on disk by name and major version; nothing is loaded.

    Args:
        folders: Where to look; None: the usual places.
    """
    libraries: dict[str, dict[int, Path]] = {}
    for folder in library_folders() if folders is None else folders:
        try:
            files = sorted(folder.iterdir())
        except OSError:
            continue
        for file in files:
            match = _FILE.match(file.name)
            if match:
                name, major = match["name"] or match["dll"], match["major"] or match["dll_major"]
                libraries.setdefault(name, {}).setdefault(int(major[:2]), file)
    return libraries


def library_folders() -> list[Path]:
    """Where CUDA libraries usually lie: pip packages first, then the environment, then the system."""
    packages = [Path(p) for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    pip = [
        f
        for p in packages
        for pattern in ("nvidia/*/lib", "nvidia/*/bin", "torch/lib")
        for f in p.glob(pattern)
    ]
    variable = "PATH" if os.name == "nt" else "LD_LIBRARY_PATH"
    named = [Path(p) for p in os.environ.get(variable, "").split(os.pathsep) if p]
    system = [
        f for pattern in ("cuda*/lib64", "cuda*/targets/*/lib") for f in Path("/usr/local").glob(pattern)
    ]
    machine = os.uname().machine if hasattr(os, "uname") else ""
    system += [Path(f"/usr/lib/{machine}-linux-gnu"), Path("/usr/lib64"), Path("/usr/lib/wsl/lib")]
    return [*pip, *named, *system]


def device_files(folder: Path = Path("/dev")) -> tuple[str, ...]:
    """Lists what the kernel module of the NVIDIA driver puts into /dev, in containers too that lack the libraries."""
    return tuple(sorted(str(path) for path in folder.glob("nvidia*")))


def _ask(name: str, cuda: Any, load: Loader) -> Driver:
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    runs = (version.value // 1000, version.value % 1000 // 10)
    code, doing = int(cuda.cuInit(0)), "start"
    if not code:
        code, doing = int(cuda.cuDeviceGetCount(ctypes.byref(count))), "list devices"
    if code:
        problem = f"the driver cannot {doing}: {_ERRORS.get(code, 'error')} ({code})"
        return Driver(name, problem, runs, code=code)
    gpus = tuple(_ask_device(cuda, i) for i in range(count.value))
    return Driver(name, "", runs, _driver_version(load), gpus)


def _ask_device(cuda: Any, index: int) -> Gpu:
    device, major, minor = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(0)
    memory, text = ctypes.c_size_t(0), ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(text, len(text), device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return Gpu(text.value.decode(errors="replace"), (major.value, minor.value), memory.value)


def _driver_version(load: Loader) -> str:
    """The driver's version from its management library; empty where that is not installed."""
    try:
        nvml = load("nvml.dll" if os.name == "nt" else "libnvidia-ml.so.1")
        text = ctypes.create_string_buffer(96)
        if nvml.nvmlInit_v2() or nvml.nvmlSystemGetDriverVersion(text, len(text)):
            return ""
        return text.value.decode(errors="replace")
    except (OSError, AttributeError):
        return ""


def main() -> None:
    """Prints what the driver tells, as JSON."""
    sys.stdout.write(json.dumps(asdict(probe_driver())) + "\n")


if __name__ == "__main__":
    main()
