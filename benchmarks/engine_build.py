"""Builds every engine of a bundle for several GPUs, which need not be here, then builds again: times and sizes.

With --rows steps for batches of rows are built too.

    python benchmarks/engine_build.py BUNDLE [--target sm75,sm86,sm89,sm120] [--discard] [-o OUT.json]

The bundle is used as it is; engines that it already has are removed first, so that every time is that of a build. For
each GPU, a second pass must find all engines, in under a second, and decode steps must have fused attention on caches
that TensorRT updates in place. Exits with 1 if not. With --discard, engines of one GPU make room for those of the next,
and none stay.
"""

from __future__ import annotations

import argparse
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from sovits_engines.build import EngineResult, build_engines, prune_engines
from sovits_engines.targets import BuildTarget, build_targets
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.bundle.names import STEP
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.machine.process_memory import peak_memory_bytes

LIBRARIES = ("sovits-export", "tensorrt-rtx-cu12-libs", "tensorrt-cu12", "onnx", "numpy")


def main() -> None:
    options = arguments()
    bundle = Bundle.open(options.bundle)
    targets = build_targets(options.target.split(","))
    prune_engines(bundle, every=True)
    seconds, again, built, wrong = 0.0, 0.0, [], []
    for target in targets:
        took, results = timed(bundle, target, rows=options.rows)
        second, results_again = timed(Bundle.open(options.bundle), target, rows=options.rows)
        if second >= 1 or any(r.built for r in results_again):
            wrong.append(f"{target.target.sm}: engines were not found again in under a second")
        wrong += faults(results)
        seconds, again, built = seconds + took, max(again, second), built + results
        if options.discard:
            prune_engines(bundle, every=True)
    table = rows(built)
    show(table, [t.target.sm for t in targets])
    print(
        f"all: {seconds:.1f} s ({processor_seconds():.0f} s of processors), "
        f"{sum(r.record.bytes for r in built) / 1e6:.0f} MB; again: {again:.3f} s for a GPU"
    )
    if options.output:
        result = {
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": read_machine().to_json(),
            "versions": installed_versions(LIBRARIES),
            "load": os.getloadavg(),
            "bundle_digest": bundle.digest,
            "model": bundle.manifest["model"]["version"],
            "seconds": round(seconds, 3),
            "processor_seconds": round(processor_seconds(), 3),
            "seconds_again": round(again, 4),
            "peak_memory_bytes": peak_memory_bytes(),
            "engines": table,
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json_text(result), encoding="utf-8")
    for line in wrong:
        print(f"FAILED {line}")
    raise SystemExit(1 if wrong else 0)


def timed(bundle: Bundle, target: BuildTarget, *, rows: bool) -> tuple[float, list[EngineResult]]:
    start = time.perf_counter()
    results = build_engines(bundle, [target], rows=rows, progress=lambda *_: None)
    return time.perf_counter() - start, results


def faults(results: list[EngineResult]) -> list[str]:
    """Decode steps that would be slow: caches copied every step, or attention without a fused kernel."""
    faulty = []
    for r in (r for r in results if r.record.graph == STEP):
        where, layers = f"{r.record.key_fields['capability']} {r.record.name}", r.record.built["layers"]
        if "KV_CACHE_UPDATE" not in layers:
            faulty.append(f"{where}: caches are not updated in place")
        if r.record.built["fused_attention_refused"] or "ATTENTION_OUTPUT" not in layers:
            faulty.append(f"{where}: attention is not fused")
    return faulty


def processor_seconds() -> float:
    """Of this process so far, on all cores together."""
    spent = os.times()
    return spent.user + spent.system


def rows(results: list[EngineResult]) -> list[dict[str, Any]]:
    """One entry an engine: what it is, for what, its size, its time, and the precision of its layers."""
    return [
        {
            "engine": r.record.name,
            "target": r.record.key_fields["capability"],
            "flavour": f"{r.record.key_fields['flavour']} {r.record.key_fields['version']}",
            "bytes": r.record.bytes,
            "seconds": round(r.seconds, 2),
            "layers": r.record.built["layers"],
            "fused_attention_refused": r.record.built["fused_attention_refused"],
        }
        for r in results
    ]


def show(table: list[dict[str, Any]], targets: list[str]) -> None:
    """Prints seconds and megabytes, an engine a line, a target a column."""
    print(f"{'engine':<18}" + "".join(f"{name:>20}" for name in targets))
    cells = {(row["engine"], row["target"]): row for row in table}
    for engine in dict.fromkeys(row["engine"] for row in table):
        line = (cells[engine, name] for name in targets)
        print(f"{engine:<18}" + "".join(f"{c['seconds']:>8.1f} s {c['bytes'] / 1e6:>7.1f} MB" for c in line))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--target", default="sm75,sm86,sm89,sm120", help="GPUs to build for")
    parser.add_argument("--rows", action="store_true", help="also decode steps for batches of rows")
    parser.add_argument("--discard", action="store_true", help="keep no engines")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
