"""A voice with flow matching on request, as a bundle or as eager PyTorch of our own modules; a worker of `flow.py`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from worker import Run, serve

from sovits_runtime import SpeechOptions
from sovits_runtime.bench.runner import BundleRunner, reference_of
from sovits_runtime.bundle import Bundle
from sovits_runtime.machine import installed_versions
from sovits_runtime.speech.types import TokenSequence

WORKLOAD = ("bert", "prompt", "prompt_phones", "phones", "tokens", "wave", "all_phones")
"""What the original reads."""


def load(options: argparse.Namespace) -> tuple[Mapping[str, Run], Mapping[str, Any]]:
    runner, decode = _eager(options) if options.eager else _bundle(options)
    work = runner.workload(options.tokens)
    stages = runner.stages(work)
    flow = work.flow
    assert flow is not None

    def gpt(tokens: int) -> dict[str, Any]:
        return {"tokens": len(list(islice(runner.generate(work), tokens)))}

    def stage(name: str) -> None:
        stages[name]()

    def workload(path: str) -> None:
        np.savez(path, allow_pickle=False, **{name: getattr(work, name) for name in WORKLOAD})

    runs: dict[str, Run] = {"gpt": gpt, "decode": lambda: decode(work), "stage": stage, "workload": workload}
    return runs, {
        "stages": list(stages),
        "steps": flow.steps,
        "window_frames": flow.x.shape[2],
        "audio_s": work.audio_s,
        "note": runner.note,
        "versions": installed_versions(("sovits-export", "sovits-export-native", "numpy", "onnxruntime")),
    }


def _bundle(options: argparse.Namespace) -> tuple[Any, Callable[[Any], None]]:
    runner = BundleRunner(Bundle.open(options.voice), device="cpu", threads=options.threads)

    def decode(work: Any) -> None:
        said = TokenSequence(work.tokens, work.phones)
        runner.voice.decode(said, reference_of(work), options=SpeechOptions(pause_s=0.0))

    return runner, decode


def _eager(options: argparse.Namespace) -> tuple[Any, Callable[[Any], None]]:
    from sovits_exporter.eager.baseline import EagerBaseline, find_pair

    baseline = EagerBaseline(*find_pair(str(options.voice)), version=options.version, threads=options.threads)
    return (
        baseline,
        lambda work: baseline.decoder.speak(TokenSequence(work.tokens, work.phones), work) and None,
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("voice", type=Path)
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--version")
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    serve(lambda: load(options))
