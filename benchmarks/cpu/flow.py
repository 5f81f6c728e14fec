"""How fast voices with flow matching are on a CPU, and where their time goes: every contestant in one run.

    python benchmarks/cpu/flow.py v5turbo-voice --eager v5turbo-files \
        --original CHECKOUT --original-files v4-files --original-python PYTHON -o benchmarks/results/NAME.json

Bundles, eager PyTorch of our own modules, and the original's v4 run in turn, each in a process of its own, from the
same tokens and a prepared reference: the GPT, then all behind it (`decode`) with 4 Euler steps, which v5turbo is made
for, and with 8, which v4 takes. v5turbo lacks what tells v4 the size of a step, under a hundredth of its work; so a
step of one stands for a step of the other. Rounds that other programs disturbed are dropped where enough were quiet.
Then every stage of each bundle is timed by itself. Where others keep the machine busy, compare seconds of processors
with one thread: threads that wait for each other lose more than their share. Linux only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from contestant_process import SETTLE_S, Contestant, Round, take_turns

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.machine import installed_versions, read_machine

HERE = Path(__file__).parent
ORIGINAL = "original v4"
STAGES = ("sovits_encoder", "cfm_features", "cfm_condition", "cfm_step", "cfm_step_two_rows", "mel_vocoder")


def main() -> None:
    """Measures and writes the result."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        contestants = started(options, Path(folder), stack)
        rounds = take_turns(
            contestants,
            lambda contestant: turn(contestant, options.tokens, options.steps),
            repeats=options.repeats,
            most=options.most_repeats,
            quiet=options.quiet,
        )
        bundles = contestants[: len(options.bundles)]
        result = {
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": read_machine().to_json(),
            "versions": installed_versions(("sovits-export", "sovits-export-native", "numpy", "onnxruntime")),
            "threads": options.threads,
            "audio_s": bundles[0].ready["audio_s"],
            "others": [r.others for r in rounds],
            "contestants": {c.name: {**facts(c), **medians(c.name, rounds)} for c in contestants},
            "stages_s": {c.name: stages(c, options.stage_repeats) for c in bundles},
        }
    options.output.write_text(json_text(result), encoding="utf-8")
    print_table(result)


def started(options: argparse.Namespace, folder: Path, stack: ExitStack) -> list[Contestant]:
    """Starts everybody; they end with the stack."""
    numbers = ["--tokens", str(options.tokens), "--threads", str(options.threads)]
    worker = [sys.executable, HERE / "flow_worker.py"]
    commands: list[tuple[str, list[str | Path]]] = [
        (f"ours {Bundle.open(path).spec.version}", [*worker, path.resolve(), *numbers])
        for path in options.bundles
    ]
    commands += [
        (f"eager {path.name}", [*worker, path.resolve(), "--eager", *numbers]) for path in options.eager
    ]
    running = []

    def start(name: str, command: list[str | Path]) -> None:
        print(f"starting {name}", flush=True)
        running.append(Contestant(name, command, folder=folder))
        stack.callback(running[-1].close)

    for name, command in commands:
        start(name, command)
    if options.original:
        workload = folder / "workload.npz"
        running[0].run("workload", path=str(workload))
        start(ORIGINAL, original_command(options, workload))
    return running


def original_command(options: argparse.Namespace, workload: Path) -> list[str | Path]:
    """The original's worker on the files of a v4 voice."""
    from sovits_exporter.checkpoint.vocoder import HIFIGAN_FILE
    from sovits_exporter.eager.baseline import find_pair

    gpt, sovits = (path.resolve() for path in find_pair(str(options.original_files)))
    files = ["--gpt", gpt, "--sovits", sovits, "--vocoder", sovits.parent / HIFIGAN_FILE]
    place = [
        options.original_python,
        HERE / "original_flow_worker.py",
        "--original",
        options.original.resolve(),
    ]
    return [*place, *files, "--workload", workload, "--threads", str(options.threads)]


def turn(contestant: Contestant, tokens: int, steps: list[int]) -> dict[str, float]:
    """The GPT once, and what is behind it once for each number of steps."""
    runs: dict[str, tuple[str, dict[str, int]]] = {"gpt": ("gpt", {"tokens": tokens})}
    runs |= {f"decode_{n}_steps": ("decode", {"steps": n}) for n in steps}
    seconds = {}
    for name, (run, arguments) in runs.items():
        time.sleep(SETTLE_S)
        answer = contestant.run(run, **arguments)
        seconds |= {name: answer["seconds"], f"{name}_processor": answer["cpu_s"]}
    return seconds


def stages(contestant: Contestant, repeats: int) -> dict[str, float]:
    """Median seconds of each stage behind the GPT, of its first window."""
    measured = {}
    for name in STAGES:
        times = []
        for _ in range(repeats + 1):
            time.sleep(SETTLE_S)
            times.append(contestant.run("stage", name=name)["seconds"])
        measured[name] = statistics.median(times[1:])
    return measured


def facts(contestant: Contestant) -> dict[str, Any]:
    """What a contestant said of itself."""
    names = ("steps", "window_frames", "note", "versions")
    return {name: contestant.ready[name] for name in names if name in contestant.ready}


def medians(name: str, rounds: list[Round]) -> dict[str, float]:
    """Median seconds of a contestant by run."""
    return {
        f"{run}_s": statistics.median(r.seconds[name][run] for r in rounds) for run in rounds[0].seconds[name]
    }


def print_table(result: dict[str, Any]) -> None:
    """Seconds per second of speech of everybody, and the stages of the bundles."""
    for name, row in result["contestants"].items():
        per_second = {run: value / result["audio_s"] for run, value in row.items() if run.endswith("_s")}
        print(
            f"{name:<24}"
            + ", ".join(f"{run.removesuffix('_s')} {value:.2f}" for run, value in per_second.items())
        )
    for name, row in result["stages_s"].items():
        print(f"{name:<24}" + ", ".join(f"{stage} {value:.3f} s" for stage, value in row.items()))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("bundles", type=Path, nargs="+", help="bundles of v3 to v5, one a version")
    add("--eager", type=Path, nargs="*", default=[], help="folders of checkpoints for eager PyTorch")
    add("--original", type=Path, help="checkout of GPT-SoVITS")
    add("--original-files", type=Path, help="folder of a v4 voice's checkpoints (trusted: it is unpickled)")
    add("--original-python", type=Path, default=Path(sys.executable), help="Python with its requirements")
    add("--tokens", type=int, default=100, help="25 are one second [100]")
    add("--steps", type=int, nargs="+", default=[4, 8], help="Euler steps [4 8]")
    add("--threads", type=int, default=2)
    add("--repeats", type=int, default=3, help="undisturbed rounds wanted [3]")
    add("--most-repeats", type=int, default=6, help="rounds at most [6]")
    add("--stage-repeats", type=int, default=3, help="of each stage by itself [3]")
    add("--quiet", type=float, default=0.1, help="share of others that disturbs a round [0.1]")
    add("-o", "--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
