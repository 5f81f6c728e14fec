"""How fast is a voice on a CPU, beside the original, Genie-TTS and GSV-TTS-Lite: every scenario in one run.

    python benchmarks/cpu/low_latency.py BUNDLE [BUNDLE ...] --checkpoints FOLDER \
        --original CHECKOUT --original-python PYTHON --genie CHECKOUT --genie-python PYTHON \
        --lite CHECKOUT --lite-python PYTHON --soak TINY_BUNDLE -o benchmarks/results/NAME

Bundles of the same checkpoint in several precisions, the original's eager code, Genie-TTS, GSV-TTS-Lite and eager
PyTorch of our own modules run in turn, each in a process of its own; rounds that other programs disturbed are
dropped. Writes NAME.json and NAME.md. Scenarios:

    whole    6 s of speech, features cached, 1 and 2 threads: GPT, SoVITS, both, ratios
    stream   time to the first audio of a 10 s sentence, and whether a player would run dry
    chunks   what the n-th chunk of a 30 s sentence costs
    memory   load time, peak memory, what a second process adds
    soak     1,000 streamed requests, a third of them cancelled: memory and threads left (--soak)

A baseline whose folder is not given is left out. A scenario that fails says why, and the others go on; the exit code
is then 1. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from contestants import Contestants
from latency_process import memory, soak
from latency_stream import chunks, stream
from latency_table import markdown
from latency_whole import whole

from sovits_runtime.bench.workload import TOKENS
from sovits_runtime.bundle.files import json_text
from sovits_runtime.machine import installed_versions, read_machine

SCENARIOS: dict[str, Callable[[Contestants, argparse.Namespace], Any]] = {
    "whole": whole,
    "stream": stream,
    "chunks": chunks,
    "memory": memory,
    "soak": soak,
}


def main() -> None:
    options = arguments()
    result: dict[str, Any] = conditions(options)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        contestants = Contestants(options, Path(folder))
        result["bundles"] = contestants.describe()
        for name in options.only:
            print(f"== {name}", flush=True)
            try:
                result[name] = SCENARIOS[name](contestants, options)
            except (SystemExit, subprocess.SubprocessError, OSError) as error:
                print(f"{name} failed: {error}", file=sys.stderr, flush=True)
                result[name], failed = {"failed": str(error)}, True
            result["load_average_after"] = os.getloadavg()[0]
            write(result, options.output)
        result["rivals"] = contestants.baselines()
    write(result, options.output)
    print(markdown(result))
    sys.exit(1 if failed else 0)


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
        "versions": installed_versions(
            ("sovits-export", "sovits-export-native", "numpy", "onnxruntime", "openvino")
        ),
        "load_average_before": os.getloadavg()[0],
        "quiet_limit": options.quiet,
        "repeats": options.repeats,
    }


def write(result: dict[str, Any], output: Path | None) -> None:
    """Writes what is known so far, so that a run that is cut short is not lost."""
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".json").write_text(json_text(result), encoding="utf-8")
        output.with_suffix(".md").write_text(markdown(result), encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("bundles", type=Path, nargs="+", help="bundles of the same v2 checkpoint, in several precisions")
    add("--plans", nargs="*", default=[], choices=("tuned", "exact"), help="every bundle also by these plans")
    add("--compare-native", action="store_true", help="every bundle also without the native kernels")
    add("--checkpoints", type=Path, help="folder with its .ckpt and .pth (trusted: baselines unpickle them)")
    add("--original", type=Path, help="checkout of GPT-SoVITS")
    add("--original-python", type=Path, default=Path(sys.executable), help="Python with its requirements")
    add("--genie", type=Path, help="checkout of Genie-TTS")
    add(
        "--genie-python",
        type=Path,
        default=Path(sys.executable),
        help="Python with its requirements, and torch",
    )
    add("--genie-model", type=Path, help="where its converted model is kept [a temporary folder]")
    add("--lite", type=Path, help="checkout of GSV-TTS-Lite")
    add("--lite-python", type=Path, default=Path(sys.executable), help="Python with its requirements")
    add("--eager", action="store_true", help="also eager PyTorch of our own modules, the stand-in of `bench`")
    add("--soak", type=Path, help="bundle of the soak, best a tiny one")
    add("--soak-requests", type=int, default=1000)
    add("--threads", type=int, nargs="+", default=[1, 2], help="of `whole` [1 2]; the others take the last")
    add("--tokens", type=int, default=TOKENS, help="of `whole`; 25 are one second [150]")
    add("--first-audio-s", type=int, default=10, help="length of the sentence of `stream` [10]")
    add("--long-s", type=int, default=30, help="length of the sentence of `chunks` [30]")
    add("--repeats", type=int, default=5, help="undisturbed rounds wanted [5]")
    add("--most-repeats", type=int, default=15, help="rounds at most [15]")
    add("--quiet", type=float, default=0.1, help="share of others that disturbs a round [0.1]")
    add("--only", nargs="+", choices=SCENARIOS, help="scenarios to run [all]")
    add("-o", "--output", type=Path, help="NAME of NAME.json and NAME.md")
    options = parser.parse_args()
    if (options.original or options.genie or options.lite or options.eager) and not options.checkpoints:
        parser.error("baselines need --checkpoints")
    for name in ("original", "genie", "genie_model", "lite", "soak"):
        if getattr(options, name):
            setattr(options, name, getattr(options, name).resolve())
    options.only = options.only or [name for name in SCENARIOS if name != "soak" or options.soak]
    return options


if __name__ == "__main__":
    main()
