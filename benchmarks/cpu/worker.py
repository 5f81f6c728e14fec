"""What the worker programs share: a contestant of a benchmark in a process of its own, with its own interpreter.

Needs the standard library alone, since the baselines' interpreters have nothing of ours. A worker reads one JSON object
a line from its input, `{"run": NAME, ...arguments}`, runs it once, and answers one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Run = Callable[..., Mapping[str, Any] | None]
"""Runs something once; what it returns is added to the answer."""


def serve(load: Callable[[], tuple[Mapping[str, Run], Mapping[str, Any]]]) -> None:
    """Loads a contestant, says that it is ready, and runs what is asked until the input ends.

    Args:
        load: Returns the runs by name, and what the first answer says besides the time that loading took.
    """
    # Baselines print freely; only this channel carries answers.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(value: Mapping[str, Any]) -> None:
        channel.write(json.dumps(value) + "\n")
        channel.flush()

    start = time.perf_counter()
    runs, facts = load()
    answer({"ready_s": time.perf_counter() - start, **facts})
    for line in sys.stdin:
        arguments = json.loads(line)
        run = runs[arguments.pop("run")]
        cpu, start = time.process_time(), time.perf_counter()
        result = run(**arguments)
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
        answer({"seconds": seconds, "cpu_s": cpu_s, **(result or {})})


def checkout_arguments(description: str | None, checkout: str, *files: str) -> argparse.Namespace:
    """The command line of a worker that runs the code of a checkout.

    Args:
        description: What the worker is.
        checkout: The option that names the checkout.
        files: Options of further files.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(f"--{checkout}", type=Path, required=True)
    for file in ("gpt", "sovits", *files, "workload"):
        parser.add_argument(f"--{file}", required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()
