"""Scenarios `memory` and `soak`: what a process takes to load, and what many requests leave behind."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from contestants import HERE, Contestants
from latency_table import MEMORY_FIELDS


def memory(contestants: Contestants, options: argparse.Namespace) -> dict[str, Any]:
    """Load time and memory of fresh processes, files in the page cache."""
    threads = options.threads[-1]
    return {
        "threads": threads,
        "parties": {name: _memory(contestants, name, options) for name in contestants.bundles},
    }


def _memory(contestants: Contestants, name: str, options: argparse.Namespace) -> dict[str, Any]:
    threads = options.threads[-1]
    starts = []
    for _ in range(options.repeats):
        with closing(contestants.bundle(name, threads)) as contestant:
            starts.append(contestant.ready)
    with closing(contestants.bundle(name, threads)) as first:
        memory = {"loaded": first.run("memory")}
        first.run("read_reference")
        memory["reference_read"] = first.run("memory")
        first.run("release")
        memory["released"] = first.run("memory", forget_peak=True)
        for run in (("gpt", {"tokens": options.tokens}), ("sovits", {})):
            first.run(run[0], **run[1])
        memory["spoken"] = first.run("memory")
        with closing(contestants.bundle(name, threads)) as second:
            second.run("gpt", tokens=options.tokens)
            second.run("sovits")
            memory["second_process"] = second.run("memory")
    load = [start["load_s"] for start in starts]
    for what, numbers in memory.items():
        print(
            f"    {what:<16} " + ", ".join(f"{k} {v / 1e6:.0f} MB" for k, v in bytes_of(numbers).items()),
            flush=True,
        )
    return {
        "load_s": median(load),
        "ready_s": median(start["ready_s"] for start in starts),
        "import_s": median(start["import_s"] for start in starts),
        "load_samples_s": load,
        "memory_bytes": {what: bytes_of(numbers) for what, numbers in memory.items()},
    }


def bytes_of(answer: dict[str, Any]) -> dict[str, int]:
    """The memory in an answer."""
    return {name: answer[name] for name in MEMORY_FIELDS}


def soak(contestants: Contestants, options: argparse.Namespace) -> dict[str, Any]:
    """Streamed requests, a third of them cancelled; see `soak.py`."""
    if not options.soak:
        raise SystemExit("no bundle for the soak; name one with --soak")
    output = contestants.folder / "soak.json"
    command = [sys.executable, str(HERE.parent / "soak.py"), str(options.soak), "--stream", "-o", str(output)]
    subprocess.run([*command, "--requests", str(options.soak_requests)], check=False)
    if not Path(output).is_file():
        raise SystemExit("the soak failed; see its output above")
    result: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    fields = ("requests", "cancelled", "seconds", "growth_bytes", "bound_bytes", "threads_left", "passed")
    return {name: result[name] for name in fields}
