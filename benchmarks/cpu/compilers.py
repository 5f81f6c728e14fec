"""Whether a compiler costs speed: the kernels of two builds, step by step in turn, in one process.

    CC=gcc pip install --no-deps --target gcc ./native && pip install --no-deps --target zig ./native
    python benchmarks/cpu/compilers.py BUNDLE gcc=gcc/sovits_native/_gpt_step.so zig=zig/sovits_native/_gpt_step.so

Weights of an FP32 bundle in both forms, one row and eight. Before anything is timed, both builds have to give the same
logits, bit for bit. Who begins changes from repetition to repetition. Figures are ratios to the first build of each
repetition's pair, and the median of them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rows import row

from sovits_runtime.backends import native
from sovits_runtime.backends.native_packing import pack
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.gpt_weights import GptWeights
from sovits_runtime.machine import read_machine

COUNTS, POSITION = (1, 8), 300


def opened(path: str) -> ctypes.CDLL:
    """A build of the kernels."""
    lib = ctypes.CDLL(str(Path(path).resolve()))
    native._declare(lib)
    return lib


def measure(steps: dict[str, native.NativeStep], count: int, repeats: int) -> dict[str, Any]:
    """Times steps of a number of rows by each build, in turn."""
    bound = {}
    logits = {}
    for name, step in steps.items():
        rows = [row(step.spec, POSITION + i, i) for i in range(count)]
        bound[name] = [step.bind(arrays) for arrays in rows]
        step.run_together(bound[name])
        logits[name] = b"".join(arrays["logits"].tobytes() for arrays in rows)
    same = len(set(logits.values())) == 1
    times: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(repeats):
        for name in list(steps) if i % 2 else reversed(steps):
            start = time.perf_counter()
            steps[name].run_together(bound[name])
            times[name].append(time.perf_counter() - start)
    first = np.array(times[next(iter(steps))])
    return {
        "same_bits": same,
        "median_ms": {name: round(1e3 * float(np.median(of)), 3) for name, of in times.items()},
        "ratio": {name: round(float(np.median(np.array(of) / first)), 3) for name, of in times.items()},
    }


def main() -> None:
    """Reads the arguments, measures, prints, and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("builds", nargs="+", metavar="NAME=LIBRARY")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    libraries = {name: opened(path) for name, path in (one.split("=", 1) for one in asked.builds)}
    bundle, machine = Bundle.open(asked.bundle), read_machine()
    spec = bundle.graph_spec("gpt_step")
    weights = GptWeights.read(bundle.graph_path("gpt_prefill"), spec)
    kinds = {native.kernels(lib) for lib in libraries.values()}
    result: dict[str, Any] = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "bundle": {"name": asked.bundle.name, "digest": bundle.digest, "width": weights.width},
        "machine": {"cpu": machine.cpu, "cores": machine.usable_cores, "features": list(machine.features)},
        "kernels": sorted(kinds),
        "threads": asked.threads,
        "repeats": asked.repeats,
        "load_average": os.getloadavg()[0],
        "figures": {},
    }
    for precision in ("fp32", "int8"):
        packed = {name: pack(lib, weights, precision) for name, lib in libraries.items()}
        steps = {
            name: native.NativeStep(lib, spec, weights, packed[name], threads=asked.threads)
            for name, lib in libraries.items()
        }
        for count in COUNTS:
            figures = measure(steps, count, asked.repeats)
            result["figures"][f"{precision}, {count} rows"] = figures
            print(f"{precision}, {count} rows: {figures}")
        for step in steps.values():
            step.close()
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
