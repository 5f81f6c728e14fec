"""The original repository, eager PyTorch of ours and an exported bundle, in turn, on the same checkpoints.

    python benchmarks/compare_original.py BUNDLE --gpt s1.ckpt --sovits s2.pth --original PATH_TO_GPT_SOVITS \
        --original-python PATH_TO_ITS_PYTHON -o benchmarks/results/NAME.json

Linux only (it reads /proc). The original runs in a process of its own with its own Python; while one party works,
the others wait for input. Rounds that other programs disturbed are dropped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from sovits_exporter.bench_eager import EagerRival
from sovits_runtime.bench_voice import Voice, first_tokens
from sovits_runtime.bench_workload import TOKENS, Workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.page import json_text

STAGES = {
    "gpt": "100 phones, 125 prompt tokens: prefill and all tokens, sampling included",
    "sovits": "style of the 5 s reference, encoder, flow and vocoder; ours and eager also make the spectrogram, "
    "which the original is given",
}
SETTLE_S = 0.3
BASELINE = "original"


class Original:
    """The original in its own process."""

    def __init__(self, options: argparse.Namespace, workload: Path, stack: ExitStack) -> None:
        command = [str(options.original_python), str(Path(__file__).with_name("original_worker.py"))]
        command += [
            "--original",
            str(options.original),
            "--gpt",
            str(options.gpt),
            "--sovits",
            str(options.sovits),
        ]
        command += ["--workload", str(workload), "--threads", str(options.threads)]
        self.log = workload.with_name("original.log")
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=options.original,
            )
        stack.callback(self._end)
        self.ready = self._read()

    def run(self, stage: str) -> float:
        """Runs a stage once and returns the seconds that the original measured itself."""
        assert self.process.stdin is not None
        self.process.stdin.write(stage + "\n")
        self.process.stdin.flush()
        return float(self._read()["seconds"])

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the original failed:\n" + self.log.read_text(encoding="utf-8")[-3000:])
        found: dict[str, Any] = json.loads(line)
        return found

    def _end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


def voice_runs(voice: Voice, work: Workload) -> dict[str, Callable[[], object]]:
    decoder, encoder = voice.voice.decoder, voice.voice.reference_encoder

    def sovits() -> object:
        style = encoder.style.run({"wave": work.wave[None]})["style"]
        return decoder.decode(work.tokens, work.phones, style=style, noise=work.noise)

    return {"gpt": lambda: first_tokens(voice, work), "sovits": sovits}


def eager_runs(eager: EagerRival, work: Workload) -> dict[str, Callable[[], object]]:
    stages = eager.stages(work)
    parts = ("reference_style", "sovits_encoder", "sovits_flow", "sovits_vocoder")
    return {"gpt": lambda: first_tokens(eager, work), "sovits": lambda: [stages[p]() for p in parts]}


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    options = arguments()
    machine = read_machine()
    options.threads = options.threads or machine.usable_cores
    bundle = Bundle.open(options.bundle)
    voice = Voice(bundle, device="cpu", threads=options.threads)
    work = voice.workload(options.tokens)
    eager = EagerRival(options.gpt, options.sovits, threads=options.threads)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        names = ("bert", "prompt", "tokens", "phones", "wave")
        arrays = {name: getattr(work, name) for name in names} | {"all_phones": work.all_phones}
        np.savez(folder / "workload.npz", allow_pickle=False, **arrays)
        original = Original(options, folder / "workload.npz", stack)
        ours, theirs = voice_runs(voice, work), eager_runs(eager, work)
        parties: dict[str, Callable[[str], float]] = {
            BASELINE: original.run,
            "eager": lambda stage: timed(theirs[stage]),
            "sovits-export": lambda stage: timed(ours[stage]),
        }
        load = loads()
        samples, shares = measure(parties, options, original.process.pid)
    result = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine.to_json(),
        "versions": installed_versions(("sovits-export", "numpy", "onnxruntime", "torch")),
        "original": {"commit": commit(options.original), "torch": original.ready["torch"]},
        "bundle_digest": bundle.digest,
        "threads": options.threads,
        "repetitions": len(samples["gpt"][BASELINE]),
        "quiet_limit": options.quiet,
        "share_of_others_by_round": shares,
        "workload": work.describe(),
        "load_average": {"before": load, "after": loads()},
        "stages": [stage_result(stage, what, samples[stage]) for stage, what in STAGES.items()],
    }
    report(result)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json_text(result), encoding="utf-8")


def measure(
    parties: dict[str, Callable[[str], float]], options: argparse.Namespace, worker: int
) -> tuple[dict[str, dict[str, list[float]]], list[float]]:
    """Runs every stage by every party in turn, until enough repetitions were undisturbed.

    The first round is the warm-up and is dropped; so is every round in which other programs took more than
    `--quiet` of the machine's processor time.

    Returns:
        Seconds by stage and party of the rounds that count, and the share of others in every round.
    """
    samples: dict[str, dict[str, list[float]]] = {stage: {name: [] for name in parties} for stage in STAGES}
    shares: list[float] = []
    kept = 0
    while kept < options.repeats and len(shares) <= options.most_repeats:
        before, round_ = (busy_s(), own_s(worker), time.perf_counter()), len(shares)
        seconds: dict[str, dict[str, float]] = {stage: {} for stage in STAGES}
        for stage in STAGES:
            for name in list(parties)[:: -1 if round_ % 2 else 1]:
                time.sleep(SETTLE_S)
                seconds[stage][name] = parties[name](stage)
        others = busy_s() - before[0] - (own_s(worker) - before[1])
        shares.append(max(0.0, others / (time.perf_counter() - before[2]) / (os.cpu_count() or 1)))
        counts = round_ > 0 and shares[-1] <= options.quiet
        line = ", ".join(f"{stage} {name} {s:.2f}" for stage, by in seconds.items() for name, s in by.items())
        verdict = "kept" if counts else "warm-up" if round_ == 0 else "disturbed"
        print(f"round {round_}: {line} s; others {100 * shares[-1]:.0f} %: {verdict}", flush=True)
        if counts:
            kept += 1
            for stage, by in seconds.items():
                for name, value in by.items():
                    samples[stage][name].append(value)
    if kept == 0:
        raise SystemExit("other programs disturbed every round; close them, or allow more with --quiet")
    return samples, shares


def busy_s() -> float:
    """Processor seconds that the machine spent on anything since its start."""
    fields = [int(x) for x in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def own_s(worker: int) -> float:
    """Processor seconds of this process and of the original's."""
    fields = Path(f"/proc/{worker}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stage_result(stage: str, what: str, samples: dict[str, list[float]]) -> dict[str, Any]:
    base = samples[BASELINE]
    parties = {
        name: {
            "median_s": median(values),
            "min_s": min(values),
            "max_s": max(values),
            "original_over_this": median(b / v for b, v in zip(base, values, strict=True)),
            "samples_s": values,
        }
        for name, values in samples.items()
    }
    return {"stage": stage, "what": what, "parties": parties}


def report(result: dict[str, Any]) -> None:
    for stage in result["stages"]:
        print(f"\n{stage['stage']}: {stage['what']}")
        for name, p in stage["parties"].items():
            spread = f"[{p['min_s']:.3f} - {p['max_s']:.3f}]"
            speed = f"{p['original_over_this']:5.2f} x the original's speed"
            print(f"  {name:<14} {p['median_s']:8.3f} s {spread:<18} {speed}")
    load = result["load_average"]
    print(
        f"\n{result['machine']['cpu']}, {result['threads']} threads; load average {load['before']}, {load['after']}"
    )


def commit(folder: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def loads() -> float | None:
    try:
        with open("/proc/loadavg", encoding="ascii") as file:
            return float(file.read().split()[0])
    except OSError:
        return None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="bundle built from the two checkpoints")
    parser.add_argument(
        "--gpt", type=Path, required=True, help="official .ckpt (trusted: the original unpickles it)"
    )
    parser.add_argument("--sovits", type=Path, required=True, help="official .pth (trusted, as above)")
    parser.add_argument("--original", type=Path, required=True, help="checkout of GPT-SoVITS")
    parser.add_argument("--original-python", default=sys.executable, help="Python that has its requirements")
    parser.add_argument("--threads", type=int, help="threads of each party [all usable cores]")
    parser.add_argument("--repeats", type=int, default=5, help="undisturbed rounds wanted [5]")
    parser.add_argument("--most-repeats", type=int, default=20, help="rounds at most [20]")
    parser.add_argument(
        "--quiet", type=float, default=0.1, help="share of others that disturbs a round [0.1]"
    )
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    options = parser.parse_args()
    for name in ("gpt", "sovits", "original"):
        setattr(options, name, getattr(options, name).resolve())
    return options


if __name__ == "__main__":
    main()
