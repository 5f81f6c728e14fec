"""Measures how long a fresh process takes to load a voice and to speak once."""

from __future__ import annotations

import json
import subprocess
import time

from sovits_runtime.bench.result import ProcessFacts
from sovits_runtime.bench.runner import Runner
from sovits_runtime.errors import BackendError

TIMEOUT_S = 900


def run_in_fresh_process(runner: Runner) -> ProcessFacts:
    """Loads the runner in a fresh process, lets it speak one utterance, and returns its measurements.

    Raises:
        BackendError: The process failed.
    """
    command = [*runner.probe_command(), repr(time.time())]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"bench: the fresh process {command[:3]} could not be timed: {error}") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise BackendError(f"bench: a fresh process of {runner.name} failed: {reason}")
    return ProcessFacts(**json.loads(lines[-1]))
