"""A guided Euler step on a CPU: its two rows as one batch, or as two runs one after the other.

    python benchmarks/cpu/flow_rows.py BUNDLE... [--frames 200 600 1000] -o benchmarks/results/NAME.json

Every bundle of v5dev or v5turbo, on every engine that this processor has for its `cfm_step`, at several lengths. Both
ways take turns in every round, and who begins changes. A ratio is the median over rounds of two runs over one batch, so
above 1 the batch is faster. Seconds of processors stand beside those of the clock: where others take part of the
machine, they say more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.plan import Choice, Taken
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.names import CFM_STEP
from sovits_runtime.bundle.session import Session
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.tuning.graphs import engines_for

LIBRARIES = ("sovits-export", "numpy", "onnxruntime", "openvino")
ROWS = 2

Turn = Callable[[], object]


def main() -> None:
    """Measures and writes the result."""
    options = arguments()
    rows = [row for path in options.bundles for row in measured(Bundle.open(path), options)]
    result = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
        "versions": installed_versions(LIBRARIES),
        "threads": options.threads,
        "rounds": options.rounds,
        "load": os.getloadavg(),
        "rows": rows,
    }
    options.output.write_text(json_text(result), encoding="utf-8")


def measured(bundle: Bundle, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each engine and length of a bundle."""
    opener = CpuVoice(bundle, LoadOptions(threads=options.threads), Taken(Choice()))
    rows = []
    for engine in engines_for(CFM_STEP):
        session = opener.open_with(CFM_STEP, engine)
        for frames in options.frames:
            about = {
                "version": bundle.spec.version,
                "digest": bundle.digest,
                "engine": engine,
                "frames": frames,
            }
            rows.append(about | compared(session, frames, options.rounds))
            print(
                *(f"{name} {value}" for name, value in rows[-1].items() if name != "digest"),
                sep="  ",
                flush=True,
            )
    opener.close()
    return rows


def compared(session: Session, frames: int, rounds: int) -> dict[str, float]:
    """Medians of both ways, and of their ratio within a round."""
    both, (one, other) = feeds(session.spec, frames)
    ways: dict[str, Turn] = {
        "batch": lambda: session.run(both),
        "runs": lambda: (session.run(one), session.run(other)),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in sorted(ways, reverse=bool(number % 2)):
            took = timed(ways[name])
            if number:  # the first round warms up
                seconds[name].append(took)
    clock, processor = (
        {name: statistics.median(took[i] for took in seconds[name]) for name in ways} for i in range(2)
    )
    pairs = zip(seconds["runs"], seconds["batch"], strict=True)
    ratios = [[runs[i] / batch[i] for i in range(2)] for runs, batch in pairs]
    return {
        **{f"{name}_s": round(value, 4) for name, value in clock.items()},
        **{f"{name}_processor_s": round(value, 4) for name, value in processor.items()},
        "runs_over_batch": round(statistics.median(r[0] for r in ratios), 3),
        "runs_over_batch_processor": round(statistics.median(r[1] for r in ratios), 3),
    }


def timed(turn: Turn) -> tuple[float, float]:
    """Seconds of the clock and of processors."""
    start, busy = time.perf_counter(), time.process_time()
    turn()
    return time.perf_counter() - start, time.process_time() - busy


def feeds(spec: GraphSpec, frames: int) -> tuple[Mapping[str, Array], list[Mapping[str, Array]]]:
    """Inputs of a step with two rows, and those of each row."""
    rng = np.random.default_rng(0)
    both: dict[str, Array] = {}
    for tensor in spec.inputs:
        shape = tensor.resolve({"batch": ROWS, "frames": frames})
        both[tensor.name] = (0.5 * rng.standard_normal(shape)).astype(tensor.dtype)
    batched = {tensor.name for tensor in spec.inputs if tensor.shape[0] == "batch"}
    rows = [
        {name: array[i : i + 1] if name in batched else array for name, array in both.items()}
        for i in range(ROWS)
    ]
    return both, rows


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("bundles", type=Path, nargs="+", help="bundles of v5dev or v5turbo")
    add("--frames", type=int, nargs="+", default=[200, 600, 1000], help="lengths of a window [200 600 1000]")
    add("--rounds", type=int, default=5)
    add("--threads", type=int, default=os.cpu_count())
    add("-o", "--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
