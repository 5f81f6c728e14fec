"""Contestants of a benchmark, each in a process of its own, and their turns on a machine that others may disturb."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SETTLE_S = 0.3
"""Pause before every timed run: threads of the run before may spin on for a while."""
END_S = 60


class Contestant:
    """A worker program: see `worker.serve`. It waits for input while others work.

    Args:
        name: What tables call it.
        command: The program and its arguments.
        folder: Where it runs, and where its log goes.
    """

    def __init__(self, name: str, command: Sequence[str | Path], *, folder: Path) -> None:
        self.name = name
        self._log = folder / f"{''.join(c if c.isalnum() else '-' for c in name)}.log"
        with self._log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                cwd=folder,
            )
        self.ready = self._read()

    def run(self, run: str, **arguments: object) -> dict[str, Any]:
        """Runs once and returns the answer; `seconds` is what the worker measured itself."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"run": run, **arguments}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Ends the worker."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            tail = self._log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise SystemExit(f"{self.name} failed (exit code {code}):\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def cpu_s(self) -> float:
        """Processor seconds of the worker since its start (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Round:
    """One turn of everybody.

    Attributes:
        seconds: By contestant and by name of the run.
        others: Fraction of the machine's processor time that other programs took.
    """

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    others: float = 0.0


def take_turns(
    contestants: Sequence[Contestant],
    turn: Callable[[Contestant], Mapping[str, float]],
    *,
    repeats: int,
    most: int,
    quiet: float,
) -> list[Round]:
    """Lets every contestant take its turn until enough rounds were undisturbed.

    The first round is the warm-up and is dropped; the order changes with every round. Where too few rounds were
    quiet, those that were disturbed least count.

    Args:
        contestants: Who takes turns.
        turn: Runs one contestant's turn and returns its seconds by name.
        repeats: How many undisturbed rounds to collect.
        most: Rounds at most.
        quiet: Fraction of processor time that other programs may take in an undisturbed round.
    """
    rounds: list[Round] = []
    for number in range(most + 1):
        now = _one_round(contestants[:: -1 if number % 2 else 1], turn)
        verdict = "warm-up" if number == 0 else "quiet" if now.others <= quiet else "disturbed"
        _print_round(number, now, verdict)
        if number:
            rounds.append(now)
        if sum(r.others <= quiet for r in rounds) >= repeats:
            break
    return sorted(rounds, key=lambda r: r.others)[:repeats]


def _one_round(contestants: Sequence[Contestant], turn: Callable[[Contestant], Mapping[str, float]]) -> Round:
    busy, start = busy_s(), time.perf_counter()
    own = sum(p.cpu_s() for p in contestants) + time.process_time()
    seconds = {contestant.name: dict(turn(contestant)) for contestant in contestants}
    own = sum(p.cpu_s() for p in contestants) + time.process_time() - own
    others = (busy_s() - busy - own) / (time.perf_counter() - start) / (os.cpu_count() or 1)
    return Round(seconds, max(0.0, others))


def _print_round(number: int, now: Round, verdict: str) -> None:
    for name, seconds in now.seconds.items():
        print(f"    {name:<24} " + ", ".join(f"{run} {s:.3f} s" for run, s in seconds.items()), flush=True)
    print(f"  round {number}: other programs {100 * now.others:.0f} %: {verdict}", flush=True)


def busy_s() -> float:
    """Processor seconds that the machine spent on anything since its start (Linux)."""
    fields = [int(x) for x in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
