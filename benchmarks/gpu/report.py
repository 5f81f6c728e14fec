"""Everything that can only be learnt on an NVIDIA GPU, in one run of less than half an hour, without internet.

    python benchmarks/gpu/report.py [BUNDLE] [--checkpoints FOLDER] [-o benchmarks/results/NAME.json]

Parts: what the doctor says; the runtime's plumbing (streams, events, captured graphs, caches in place) with toy
kernels; cooperative launches in captured graphs, and the fences of the kernel's grid barrier; the own kernels of the
GPT's step against the CPU; latency of everything that is installed beside eager PyTorch in FP16 and FP32 and
`torch.compile`; engines of both flavours of TensorRT, where they are installed, built and verified; ONNX Runtime on
CUDA verified where it is; 1 to 8 requests at once, tokens beside sound, batches of 1 to 32 rows; with --other-python
the packages of the other CUDA line. OpenVINO, which is for CPUs, is never loaded. BUNDLE is a bundle built by
`sovits-export build`, best with --fp16; without it only the doctor and the plumbing are reported. CHECKPOINTS holds the
.ckpt and .pth that the bundle was made of.

Each part has a process of its own and a budget; a part that fails, crashes or hangs says so, and the others go on.
The latency parts take turns in one process, since ours and eager PyTorch are to be compared in the same; after one that
failed, the next has a new process (`process` in the JSON tells). Parts whose outcome decides most come first: eager and
our kernels, then ONNX Runtime, then TensorRT, whose engines take longest to build (they are kept in the bundle, so a
second run begins where the first one ended), `torch.compile` last. NAME.json and NAME.md are written anew after every
part; `finished` says whether they are whole. NAME.md says of each claim of docs/gpu.md whether it is held, refuted or
not seen (`claims.py`).

Exit code: 0 when every part passed or has nothing to run here, 1 when one failed, when time ran out before all had
begun, or when there is no GPU.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from claims import judged
from conditions import read_commit, read_gpus
from latency import TOKENS
from parts import PARTS, Part, Run
from process import Worker
from table import claims_table, conditions, figures, markdown

from sovits_engines.cuda.driver import probe_driver_apart
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text, write_file
from sovits_runtime.errors import SovitsError
from sovits_runtime.machine import read_machine

LIMIT_S = 1500
"""Of the whole run; half an hour with what a slow start and a part that must be killed add."""
LEAST_S = 5
"""A part is not begun with less."""
REPEATS = 10
GOOD = ("passed", "skipped")

Results = dict[str, dict[str, Any]]


def run_parts(
    run: Run,
    parts: Mapping[str, Part],
    results: Results,
    *,
    limit_s: float,
    done: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = print,
) -> bool:
    """Runs every part; returns whether all passed or had nothing to run.

    Args:
        run: What every part gets.
        parts: The parts by name, in order.
        results: By part; filled in as parts end.
        limit_s: Seconds for all of them.
        done: Called after each.
        say: Prints a line of progress.
    """
    deadline = time.monotonic() + limit_s
    workers: dict[bool, Worker] = {}  # by whether they run several parts
    try:
        for name, part in parts.items():
            start = time.monotonic()
            needed = results.get(part.needs, {}).get("status", "not run") if part.needs else "passed"
            if needed != "passed":
                result = {"status": "skipped", "reason": f"needs {part.needs!r}: {needed}"}
            elif deadline - start < LEAST_S:
                result = {"status": "not run", "reason": "out of time"}
            else:
                limit = min(part.limit_s, deadline - start)
                say(f"begins   {name}, {limit:.0f} s at most")
                worker = workers[part.together] = workers.get(part.together) or Worker(run)
                result = {**worker.attempt(part.run, limit), "process": worker.pid}
                if not part.together or result["status"] == "failed":
                    workers.pop(part.together).close()
            results[name] = {**result, "seconds": round(time.monotonic() - start, 2)}
            say(f"{result['status']:<8} {name:<44} {result.get('reason', result.get('summary', ''))}")
            done()
    finally:
        for worker in workers.values():
            worker.close()
    return all(result["status"] in GOOD for result in results.values())


def write(result: Mapping[str, Any], output: Path) -> None:
    """Writes what is known so far, whole or not at all.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    for path, text in ((output, json_text(result)), (output.with_suffix(".md"), markdown(result))):
        with write_file(path) as file:
            file.write(text.encode("utf-8"))


def main() -> None:
    options = arguments()
    driver = probe_driver_apart()
    if not driver.gpus:
        reason = driver.problem or "the driver sees no GPU"
        sys.exit(f"no NVIDIA GPU can be used here ({reason}), so there is nothing to report")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no process outlives this one
    try:
        bundle = Bundle.open(options.bundle, shared=options.shared) if options.bundle else None
    except SovitsError as error:
        sys.exit(str(error))
    results: Results = {}
    result: dict[str, Any] = {
        "finished": False,
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "git": read_commit(),
        "machine": read_machine().to_json(),
        "gpus": [
            {"name": g.name, "capability": g.capability, "memory_bytes": g.memory_bytes} for g in driver.gpus
        ],
        "driver": driver.version,
        "driver_cuda": driver.cuda,
        "nvidia_smi": {"before": read_gpus()},
        "bundle": _facts(bundle) if bundle else None,
        "tokens": TOKENS,
        "repeats": options.repeats,
        "limit_s": options.limit_s,
        "parts": results,
    }

    def save() -> None:
        result["claims"] = judged(results, ", ".join(gpu.name for gpu in driver.gpus))
        try:
            write(result, options.output)
        except OSError as error:
            print(f"{options.output} cannot be written: {error}", file=sys.stderr, flush=True)

    save()
    start = time.monotonic()
    run = Run(driver, bundle, options.checkpoints, options.repeats, options.other_python)
    parts = {n: p for n, p in PARTS.items() if not options.only or n.startswith(tuple(options.only))}
    good = run_parts(run, parts, results, limit_s=options.limit_s, done=save, say=_say)
    result |= {"finished": True, "seconds": round(time.monotonic() - start, 1)}
    result["nvidia_smi"]["after"] = read_gpus()
    save()
    print(f"\n{conditions(result)}\n\n{figures(results)}\n\n{claims_table(result['claims'])}\n")
    print(f"written: {options.output} and {options.output.with_suffix('.md').name}")
    sys.exit(0 if good else 1)


def _facts(bundle: Bundle) -> dict[str, Any]:
    return {
        "digest": bundle.digest,
        "precision": bundle.precision,
        "model": dict(bundle.manifest["model"]),
    }


def _say(text: str) -> None:
    print(text, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("bundle", type=Path, nargs="?")
    add("--shared", type=Path, help="folder of the parts that voices share")
    add("--checkpoints", type=Path, help="folder of the .ckpt and .pth that the bundle was made of")
    add("--other-python", type=Path, help="Python of an environment with the packages of the other CUDA line")
    add("--repeats", type=int, default=REPEATS)
    add("--limit-s", type=float, default=LIMIT_S, help="seconds for all parts [1500]")
    add("--only", nargs="+", metavar="NAME", help=f"parts whose names begin so: {'; '.join(PARTS)}")
    add("-o", "--output", type=Path, default=Path("benchmarks/results/gpu.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
