"""The GPT's step in int8 or int4: makes each choice from the FP32 graphs, and measures its error and its speed.

The prefill stays FP32. It makes the past that every step reads, so that its error weighs most, and its time is that of
arithmetic rather than of reading weights: int8 gained it little and cost ten times the step's error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sovits_calibration.observe import Feeds
from sovits_calibration.token_kl import (
    TokenDistance,
    TokenTimes,
    forced_requests,
    token_distance,
    token_times,
)
from sovits_engines.passes.cpu_step import fuse_step
from sovits_engines.passes.int8_linear import quantize_linears
from sovits_engines.passes.model_file import load_model
from sovits_exporter.graphs.files import write_models
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.backends.prepacked import MEMORY_MAPPED
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import FP32, PREFILL, STEP
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.t2s.host_loop import TextToSemantic

GRAPHS = (PREFILL, STEP)


@dataclass(frozen=True)
class GptChoice:
    """One precision of the GPT, as measured.

    Attributes:
        precision: Of the step.
        distance: From FP32.
        times: On this machine, all choices taking turns.
        bytes: Of the graphs and their weights.
    """

    precision: str
    distance: TokenDistance
    times: TokenTimes
    bytes: int


def gpt_choices(
    source: Bundle, precisions: Sequence[str], prefills: Sequence[Feeds], folder: Path
) -> list[tuple[GptChoice, Path]]:
    """Makes and measures the choices of some precisions, FP32 first.

    Args:
        source: The FP32 bundle.
        precisions: Of the step, keys of `int8_linear.FORMS`.
        prefills: Inputs of the prefill, one dict a request.
        folder: Where the choices' graphs go, a folder each.

    Returns:
        Each choice with its folder.

    Raises:
        BackendError: ONNX Runtime cannot run one.
    """
    folders = {precision: folder / precision for precision in (FP32, *precisions)}
    for precision, target in folders.items():
        write_gpt(source, precision, target)
    models = {precision: open_gpt(source, target) for precision, target in folders.items()}
    requests = forced_requests(models[FP32], prefills)
    distances = {precision: token_distance(model, requests) for precision, model in models.items()}
    times = token_times(models, max(requests, key=lambda r: len(r.phones)))
    return [(GptChoice(p, distances[p], times[p], _bytes(target)), target) for p, target in folders.items()]


def write_gpt(source: Bundle, precision: str, folder: Path) -> None:
    """Writes the GPT's graphs, the step as the CPU's variant, with their weights in `gpt.weights`."""
    folder.mkdir(parents=True)
    models = []
    for name in GRAPHS:
        model = load_model(source.graph_path(name))
        if name == STEP:
            fuse_step(model)
            if precision != FP32:
                quantize_linears(model, form=precision)
        models.append(model)
    write_models(models, folder, "gpt")


def open_gpt(source: Bundle, folder: Path) -> TextToSemantic:
    """Opens the graphs that `write_gpt` wrote as a voice opens them."""
    prefill, step = (
        open_session(
            folder / f"{name}.onnx",
            source.graph_spec(name),
            options=SessionOptions(prepack=name not in MEMORY_MAPPED),
        )
        for name in GRAPHS
    )
    return TextToSemantic(prefill, step)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
