"""What further rows of a batch cost: steps of the native kernels with 1 to 16 rows, in turn within each repetition.

    python benchmarks/cpu/rows.py BUNDLE --threads 1 --json results.json

The kernels run on the weights of an FP32 bundle: float16 as they are, int8, and int8 with caches in float16. Rows are
at positions around the given one, each with caches of its own. Before anything is timed, every row is compared with
itself alone, bit for bit. Processor time is given beside wall time: on a machine that others use, it says more.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from sovits_runtime.backends import native
from sovits_runtime.backends.native_packing import pack
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.gpt_weights import GptWeights
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.machine import read_machine
from sovits_runtime.t2s.sampling import SamplingOptions

COUNTS = (1, 2, 4, 8, 16)
SPREAD = 4
"""Positions from row to row."""


def row(spec: GraphSpec, position: int, seed: int) -> dict[str, Any]:
    """Arrays of a step of one row at a position, in caches that it just fits."""
    rng, vocab = np.random.default_rng(seed), spec.tensor("seen").resolve({"batch": 1})[1]
    arrays: dict[str, Any] = {
        "token": rng.integers(0, vocab, 1),
        "text_len": np.array([1]),
        "prompt_len": np.array([1]),
        "step": np.array([position - 2]),
        "seen": rng.random((1, vocab)) < 0.1,
        "noise": rng.standard_exponential((1, vocab), dtype=np.float32),
        **SamplingOptions().arrays(vocab),
    }
    dims = {"batch": 1, "cache_size": -(-(position + 1) // 128) * 128}
    for name, out in spec.aliases:
        cache = spec.tensor(name)
        arrays[name] = arrays[out] = rng.standard_normal(cache.resolve(dims)).astype(cache.dtype)
    for t in spec.outputs:
        arrays.setdefault(t.name, np.empty(t.resolve(dims), t.dtype))
    return arrays


def check(step: native.NativeStep, rows: list[dict[str, Any]], bound: list[native.NativeBinding]) -> None:
    """Compares each row of a batch with the row alone."""
    alone = []
    for arrays, binding in zip(rows, bound, strict=True):
        binding.run()
        alone.append(arrays["logits"].tobytes())
    for count in COUNTS:
        step.run_together(bound[:count])
        for i in range(count):
            assert rows[i]["logits"].tobytes() == alone[i], f"row {i} of {count} differs from the row alone"


def measure(step: native.NativeStep, position: int, repeats: int) -> dict[str, Any]:
    """Times steps of each number of rows; the least of all repetitions, in milliseconds."""
    rows = [row(step.spec, position + SPREAD * i, i) for i in range(max(COUNTS))]
    bound = [step.bind(arrays) for arrays in rows]
    check(step, rows, bound)
    wall: dict[int, list[float]] = {count: [] for count in COUNTS}
    processor: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(repeats):
        for count in COUNTS:
            start, used = time.perf_counter(), time.process_time()
            step.run_together(bound[:count])
            processor[count].append(time.process_time() - used)
            wall[count].append(time.perf_counter() - start)
    return {
        str(count): {
            "wall_ms": round(1e3 * min(wall[count]), 2),
            "processor_ms": round(1e3 * min(processor[count]), 2),
            "median_processor_ms": round(1e3 * float(np.median(processor[count])), 2),
            "times_the_tokens": round(count * min(processor[1]) / min(processor[count]), 2),
        }
        for count in COUNTS
    }


def main() -> None:
    """Reads the arguments, measures, prints, and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--positions", default="64,300")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    bundle, lib = Bundle.open(asked.bundle), native.library()
    assert lib is not None, "pip install ./native first"
    spec = bundle.graph_spec("gpt_step")
    weights = GptWeights.read(bundle.graph_path("gpt_prefill"), spec)
    machine = read_machine()
    result: dict[str, Any] = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "bundle": {"name": asked.bundle.name, "digest": bundle.digest, "width": weights.width},
        "machine": {"cpu": machine.cpu, "cores": machine.usable_cores, "features": list(machine.features)},
        "kernels": native.kernels(lib),
        "threads": asked.threads,
        "repeats": asked.repeats,
        "load_average": os.getloadavg()[0],
        "figures": {},
    }
    half = native.with_half_caches(spec)
    forms = {"fp32": ("fp32", spec), "int8": ("int8", spec), "int8, float16 caches": ("int8", half)}
    for form, (precision, of_step) in forms.items():
        step = native.NativeStep(lib, of_step, weights, pack(lib, weights, precision), threads=asked.threads)
        for position in map(int, asked.positions.split(",")):
            figures = measure(step, position, asked.repeats)
            result["figures"][f"{form} at {position}"] = figures
            for count, each in figures.items():
                print(f"{form} at {position}, {count} rows: {each}")
        step.close()
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
