"""Hundreds of hostile checkpoints, HuBERT and BERT folders, each read by a process of its own with limits.

    python benchmarks/attacks/checkpoints.py [--fast] [--seed 0] [-o RESULT.json]

Every file must be refused in one line of ours, or read, within the time and the memory; no payload may run. What came
of how many is printed, with the longest time (of the processor) and the most memory that a file took. Exits with 1
when anything of this does not hold. Files are of a seed, so a run can be repeated. `--fast` makes them smaller, and
takes a part of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import torch
from hostile_checkpoints import BERT, HUBERT, Case, cases, write_folder, write_one_tensor

from sovits_exporter.checkpoint.official import load_gpt, load_sovits
from sovits_exporter.checkpoint.pretrained import read_pretrained
from sovits_exporter.checkpoint.speaker import read_speaker
from sovits_exporter.checkpoint.vocoder import read_vocoder
from sovits_runtime.bundle.files import json_text
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.errors import CheckpointError
from sovits_runtime.machine import installed_versions, read_machine

READERS = {
    "gpt": load_gpt,
    "sovits": load_sovits,
    "speaker": read_speaker,
    "vocoder": lambda path: read_vocoder(path, model_spec("v4").flow),
    "hubert": lambda path: read_pretrained(path, "hubert"),
    "bert": lambda path: read_pretrained(path, "bert"),
}
LONGEST_S, LONGEST_WAIT_S, MOST_BYTES, LONGEST_LINE = 60, 600.0, 1 << 30, 3000
FAST_STEP = 17
REFUSED, READ, WRONG = 0, 10, 11
TOO_SLOW = {signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL}
OUTCOMES = {REFUSED: "refused", READ: "read", WRONG: "wrong error"}


@dataclass(frozen=True)
class Outcome:
    """What came of one file."""

    name: str
    reader: str
    outcome: str
    message: str
    seconds: float
    memory_mb: float


def attack(case: Case, path: Path, base_bytes: int) -> Outcome:
    """Reads one file in a child of this process, which has PyTorch loaded already."""
    case.write(path)
    answer, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(answer)
        os._exit(_read(case, path, told))
    os.close(told)
    with os.fdopen(answer, "rb") as f:
        message = f.read().decode(errors="replace")
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    outcome = (
        "too slow"
        if -code in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL)
        else OUTCOMES.get(code, f"crashed ({code})")
    )
    grown = max(0, usage.ru_maxrss * 1024 - base_bytes)
    return Outcome(case.name, case.reader, outcome, message, usage.ru_utime + usage.ru_stime, grown / 2**20)


def _read(case: Case, path: Path, told: int) -> int:
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, used + MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_S, LONGEST_S))
    signal.setitimer(signal.ITIMER_REAL, LONGEST_WAIT_S)
    try:
        READERS[case.reader](path)
        return READ
    except CheckpointError as error:
        line = str(error)
        os.write(told, line[: LONGEST_LINE + 1].encode(errors="replace"))
        return REFUSED if line.isprintable() and len(line) <= LONGEST_LINE else WRONG
    except BaseException as error:
        os.write(told, f"{type(error).__name__}: {str(error)[:500]}".encode(errors="replace"))
        return WRONG


def _base_bytes() -> int:
    """Memory of a child that reads nothing."""
    child = os.fork()
    if not child:
        os._exit(0)
    _, _, usage = os.wait4(child, 0)
    return usage.ru_maxrss * 1024


def _warm_up(folder: Path) -> None:
    """Reads a folder of each kind, so that what PyTorch imports late is there before the children are."""
    for reader, config in (("hubert", HUBERT), ("bert", BERT)):
        write_folder(json.dumps(config), write_one_tensor, folder / reader)
        with contextlib.suppress(CheckpointError):
            READERS[reader](folder / reader)


def run(*, fast: bool, seed: int) -> tuple[list[Outcome], bool]:
    """Attacks with every file; also says whether a payload ran."""
    torch.set_num_threads(1)
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        marker = Path(folder) / "it-ran"
        made: Iterator[Case] = cases(
            marker, scale=50_000 if fast else 1_000_000, mutations=100 if fast else 1000, seed=seed
        )
        _warm_up(Path(folder))
        base = _base_bytes()
        for i, case in enumerate(islice(made, seed % FAST_STEP, None, FAST_STEP) if fast else made):
            path = Path(folder) / f"{i}"
            outcomes.append(attack(case, path, base))
            if outcomes[-1].outcome not in ("refused", "read"):
                print(f"{outcomes[-1]}", file=sys.stderr, flush=True)
            if i % 100 == 99:
                print(f"{i + 1} files", file=sys.stderr, flush=True)
            if path.is_file() and not path.is_symlink():
                path.unlink()
        return outcomes, marker.exists()


def main() -> int:
    """Attacks, prints, writes the result, and says whether all held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    outcomes, it_ran = run(fast=options.fast, seed=options.seed)
    counts = Counter(outcome.outcome for outcome in outcomes)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    largest = max(outcomes, key=lambda outcome: outcome.memory_mb)
    print(f"{len(outcomes)} files: {dict(counts)}; payloads that ran: {int(it_ran)}")
    print(f"longest: {slowest.seconds:.1f} s ({slowest.reader}: {slowest.name})")
    print(f"most memory: {largest.memory_mb:.0f} MB ({largest.reader}: {largest.name})")
    if options.output:
        result = {
            "date": datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": asdict(read_machine()),
            "versions": installed_versions(("torch", "numpy")),
            "seed": options.seed,
            "files": len(outcomes),
            "outcomes": dict(counts),
            "payloads_that_ran": int(it_ran),
            "longest": {name: value for name, value in asdict(slowest).items() if name != "message"},
            "most_memory": {name: value for name, value in asdict(largest).items() if name != "message"},
        }
        options.output.write_text(json_text(result), encoding="utf-8")
    return int(it_ran or any(outcome not in ("refused", "read") for outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
