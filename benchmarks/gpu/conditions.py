"""Under which conditions `report.py` measured: commit, driver, clocks, and the CUDA libraries by version."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sovits_runtime.backends.trt_api import ENTERPRISE, RTX, load_api
from sovits_runtime.doctor.environment import LIBRARIES
from sovits_runtime.machine import installed_versions
from sovits_runtime.machine.onnx_runtime import load_onnxruntime

ROOT = Path(__file__).resolve().parents[2]
NOW = ("name", "driver_version", "clocks.sm", "clocks.mem", "power.limit", "temperature.gpu")
"""What nvidia-smi is asked for."""
PACKAGES = (*LIBRARIES, "nvidia-cuda-nvrtc", "nvidia-cudnn", "triton")
_TIMEOUT_S = 10


def read_gpus() -> list[dict[str, str]] | str:
    """Asks nvidia-smi how each GPU is running now; returns why not, where it does not tell."""
    output = _output_of(["nvidia-smi", f"--query-gpu={','.join(NOW)}", "--format=csv,noheader"])
    if isinstance(output, OSError):
        return f"nvidia-smi: {output}"
    return [dict(zip(NOW, map(str.strip, line.split(",")), strict=False)) for line in output.splitlines()]


def read_commit(root: Path = ROOT) -> dict[str, Any] | str:
    """The commit that is checked out, and whether tracked files differ from it; why not, where git does not tell."""
    commit = _output_of(["git", "-C", str(root), "rev-parse", "HEAD"])
    changes = _output_of(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    if isinstance(commit, OSError) or isinstance(changes, OSError):
        return f"not known: {commit if isinstance(commit, OSError) else changes}"
    return {"commit": commit.strip(), "changed": bool(changes.strip())}


def library_versions() -> dict[str, Any]:
    """Versions of what is installed, by package, and of the libraries as they tell themselves when loaded."""
    loaded = {}
    for name, read in _LOADED.items():
        try:
            loaded[name] = read()
        except Exception as error:
            loaded[name] = f"not loaded: {str(error).partition(chr(10))[0]}"
    return {"packages": installed_versions(PACKAGES), "loaded": loaded}


def _output_of(command: Sequence[str]) -> str | OSError:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=_TIMEOUT_S, check=False
        )
    except OSError as error:
        return error
    except subprocess.TimeoutExpired:
        return OSError(f"no answer within {_TIMEOUT_S} s")
    if done.returncode:
        return OSError((done.stderr or done.stdout).strip().partition("\n")[0] or f"exit {done.returncode}")
    return done.stdout


def _nvrtc() -> str:
    _, *version = importlib.import_module("cuda.bindings.nvrtc").nvrtcVersion()
    return ".".join(map(str, version))


def _cuda_runtime() -> str:
    number = int(importlib.import_module("cuda.bindings.runtime").cudaRuntimeGetVersion()[1])
    return f"{number // 1000}.{number % 1000 // 10}"


def _torch() -> dict[str, Any]:
    torch = importlib.import_module("torch")
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _onnxruntime() -> dict[str, Any]:
    ort = load_onnxruntime()
    return {"version": ort.__version__, "providers": ort.get_available_providers()}


_LOADED: dict[str, Callable[[], Any]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "CUDA runtime": _cuda_runtime,
    "NVRTC": _nvrtc,
    "TensorRT": lambda: load_api(ENTERPRISE).version,
    "TensorRT for RTX": lambda: load_api(RTX).version,
}
