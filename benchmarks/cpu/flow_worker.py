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
from sovits_runtime.speech.noise import seeded_normal
from sovits_runtime.speech.types import TokenSequence

WORKLOAD = ("bert", "prompt", "prompt_phones", "phones", "tokens", "wave", "all_phones")
"""What the original reads."""

Decode = Callable[[Any, int], None]
"""Speaks a workload's tokens by a number of Euler steps."""


def load(options: argparse.Namespace) -> tuple[Mapping[str, Run], Mapping[str, Any]]:
    runner, decode = _eager(options) if options.eager else _bundle(options)
    work = runner.workload(options.tokens)
    stages = {**runner.stages(work), **_two_rows(runner, work)}
    flow = work.flow
    assert flow is not None

    def gpt(tokens: int) -> dict[str, Any]:
        return {"tokens": len(list(islice(runner.generate(work), tokens)))}

    def stage(name: str) -> None:
        stages[name]()

    def workload(path: str) -> None:
        np.savez(path, allow_pickle=False, **{name: getattr(work, name) for name in WORKLOAD})

    def behind_gpt(steps: int) -> None:
        decode(work, steps)

    runs: dict[str, Run] = {"gpt": gpt, "decode": behind_gpt, "stage": stage, "workload": workload}
    return runs, {
        "stages": list(stages),
        "steps": flow.steps,
        "window_frames": flow.x.shape[2],
        "audio_s": work.audio_s,
        "note": runner.note,
        "versions": installed_versions(("sovits-export", "sovits-export-native", "numpy", "onnxruntime")),
    }


def _two_rows(runner: Any, work: Any) -> Mapping[str, Callable[[], object]]:
    """An Euler step of a bundle with two rows, as guidance asks for, beside the one of a step without."""
    if not isinstance(runner, BundleRunner):
        return {}
    arrays, step = work.decoder_arrays(), runner.voice.decoder.step
    feeds = {name: arrays[name] for name in step.spec.input_names}
    feeds |= {
        name: np.repeat(feeds[name], 2, axis=0) for name in ("x", "condition", "prompt_mel") if name in feeds
    }
    return {"cfm_step_two_rows": lambda: step.run(feeds)}


def _bundle(options: argparse.Namespace) -> tuple[Any, Decode]:
    runner = BundleRunner(Bundle.open(options.voice), device="cpu", threads=options.threads)

    def decode(work: Any, steps: int) -> None:
        said = TokenSequence(work.tokens, work.phones)
        runner.voice.decode(said, reference_of(work), options=SpeechOptions(pause_s=0.0, flow_steps=steps))

    return runner, decode


def _eager(options: argparse.Namespace) -> tuple[Any, Decode]:
    from sovits_exporter.eager.baseline import EagerBaseline, find_pair

    baseline = EagerBaseline(*find_pair(str(options.voice)), version=options.version, threads=options.threads)

    def decode(work: Any, steps: int) -> None:
        said, noise = TokenSequence(work.tokens, work.phones), seeded_normal(np.random.default_rng(0))
        flow = baseline.decoder.decoder
        flow.speak(said, reference_of(work), options=SpeechOptions(flow_steps=steps), noise=noise)

    return baseline, decode


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
