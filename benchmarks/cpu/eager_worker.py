"""Eager PyTorch of the exporter's own modules on request, the stand-in of `bench`; a worker of `low_latency.py`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from worker import Run, serve

from sovits_exporter.eager.baseline import EagerBaseline
from sovits_runtime.speech.types import TokenSequence


def load(options: argparse.Namespace) -> tuple[Mapping[str, Run], Mapping[str, Any]]:
    baseline = EagerBaseline(options.gpt, options.sovits, threads=options.threads)
    work = baseline.workload(options.tokens)

    def gpt(tokens: int) -> dict[str, Any]:
        return {"tokens": len(list(islice(baseline.generate(work), tokens)))}

    def sovits() -> dict[str, Any]:
        samples = baseline.decoder.speak(TokenSequence(work.tokens, work.phones), work)
        return {"samples": int(np.shape(samples)[-1])}

    return {"gpt": gpt, "sovits": sovits}, {"versions": {"torch": torch.__version__}}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpt", type=Path, required=True)
    parser.add_argument("--sovits", type=Path, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    serve(lambda: load(options))
