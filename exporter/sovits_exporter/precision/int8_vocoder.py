"""The vocoder of SoVITS with its convolutions in int8, each measured; the other graphs of SoVITS stay FP32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sovits_calibration.observe import Feeds
from sovits_engines.passes.int8_conv import quantize_convs
from sovits_engines.passes.model_file import load_model
from sovits_exporter.graphs.files import write_models
from sovits_exporter.precision.int8_search import ConvChoice, choose_convs
from sovits_exporter.precision.limits import Limits
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import SOVITS_VOCODER
from sovits_runtime.machine import usable_cores
from sovits_runtime.machine.progress import Progress

VOCODER = SOVITS_VOCODER


def vocoder_choice(
    source: Bundle, runs: Sequence[Feeds], limits: Limits, *, progress: Progress
) -> ConvChoice:
    """Measures which convolutions become int8; the recorded request is among what is judged.

    Args:
        source: The FP32 bundle.
        runs: Inputs of the vocoder over the corpus.
        limits: How far the waveform may be from FP32.
        progress: Called with what is being done, steps done and steps in all.

    Raises:
        VerificationError: A tensor holds NaN or infinity.
        BackendError: ONNX Runtime cannot run the graph.
    """
    golden = source.golden("request")
    recorded = {"z": golden["z"], "style": golden["style"]}
    return choose_convs(
        source.graph_path(VOCODER),
        [*runs[:1], recorded, *runs[1:]],  # every second run is judged
        rate=source.spec.sample_rate,
        limits=limits,
        threads=usable_cores(),
        progress=progress,
    )


def write_sovits(source: Bundle, choice: ConvChoice, folder: Path) -> None:
    """Writes all graphs of SoVITS, the vocoder with its chosen layers in int8, and their weights in one file."""
    graphs = source.manifest["graphs"]
    weights = graphs[VOCODER]["weights"]
    models = []
    for name, graph in graphs.items():
        if graph["shared"] is None and graph["weights"] == weights:
            model = load_model(source.graph_path(name))
            if name == VOCODER:
                quantize_convs(model, layers=choice.chosen, ranges=choice.ranges)
            models.append(model)
    write_models(models, folder, Path(weights).stem)
