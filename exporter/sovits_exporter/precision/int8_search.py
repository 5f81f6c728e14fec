"""Which convolutions of a vocoder become int8: as many as pay, within a limit on the waveform's error."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from sovits_calibration.int8_ranges import ConvStatistics, conv_statistics
from sovits_calibration.observe import Feeds
from sovits_engines.passes.int8_conv import quantizable_convs, quantize_convs
from sovits_engines.passes.model_file import load_model
from sovits_engines.passes.only_node import only_node
from sovits_exporter.precision.limits import Limits
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.errors import VerificationError
from sovits_runtime.machine.onnx_runtime import (
    SCATTER_ONNXRUNTIME,
    load_onnxruntime,
    open_model,
    session_options,
)
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.verify.metrics import log_mel_distance_db, snr_db

REPEATS = 5


@dataclass(frozen=True)
class ConvError:
    """How far a waveform is from FP32, the worst of the runs compared.

    Attributes:
        snr_db: Ratio of the waveform to its error; inf where nothing differs.
        log_mel_db: Mean difference of the log-mel spectrograms.
    """

    snr_db: float
    log_mel_db: float

    def share(self, limits: Limits) -> float:
        """The part of the tighter limit's error power that this takes; over 1 where a limit is passed.

        Errors of layers add in power.
        """
        noise = 10.0 ** ((limits.snr_db - self.snr_db) / 10.0)
        return float(max(noise, (self.log_mel_db / limits.log_mel_db) ** 2))


@dataclass(frozen=True)
class ConvLayer:
    """One convolution.

    Attributes:
        name: Its first output.
        weight: Its weight's name.
        chosen: Whether it becomes int8.
        alone: The error with only this layer in int8, in the first run that did not give the ranges.
        seconds_fp32: Time of the layer alone, in a run of the corpus.
        seconds_int8: The same in int8, rounding and restoring included.
    """

    name: str
    weight: str
    chosen: bool
    alone: ConvError
    seconds_fp32: float
    seconds_int8: float


@dataclass(frozen=True)
class ConvChoice:
    """What becomes int8, and what that costs and gains.

    Attributes:
        layers: Every convolution that could be int8.
        ranges: By value, for `quantize_convs`.
        error: Of the whole, over the runs that did not give the ranges.
        seconds_fp32: Time of the whole FP32 graph for the longest run.
        seconds_int8: The same with the chosen layers in int8.
    """

    layers: tuple[ConvLayer, ...]
    ranges: Mapping[str, tuple[float, float]]
    error: ConvError
    seconds_fp32: float
    seconds_int8: float

    @property
    def chosen(self) -> frozenset[str]:
        """Names of the layers that become int8."""
        return frozenset(layer.name for layer in self.layers if layer.chosen)

    def to_json(self) -> dict[str, Any]:
        """Returns the table for a manifest, without the ranges; an error that is not there at all is null."""
        table = dataclasses.asdict(dataclasses.replace(self, ranges={}))
        del table["ranges"]
        for entry in (table["error"], *(layer["alone"] for layer in table["layers"])):
            if not np.isfinite(entry["snr_db"]):
                entry["snr_db"] = None
        return table


def choose_convs(
    path: Path,
    runs: Sequence[Feeds],
    *,
    rate: int,
    limits: Limits | None = None,
    threads: int = 1,
    progress: Progress = no_progress,
) -> ConvChoice:
    """Chooses the convolutions that become int8.

    Every second run gives ranges, the others test. Each layer is tried alone; those that save time are ordered by
    time saved for the error they add, and the longest beginning of that order which keeps the limits, measured as a
    whole, is taken.

    Args:
        path: An FP32 graph whose only output is a waveform [1, n].
        runs: Inputs it was fed over the corpus, at least two.
        rate: Sample rate, in Hz.
        limits: How far the waveform may be from FP32; by default those of `Limits`.
        threads: Threads that times are measured with.
        progress: Called with what is being done, steps done and steps in all.

    Raises:
        VerificationError: There are fewer than two runs, or a tensor holds NaN or infinity.
        BackendError: ONNX Runtime cannot run the graph.
    """
    if len(runs) < 2:
        raise VerificationError(
            f"int8: got {len(runs)} runs of {path.name}, expected at least 2: one to measure, one to test"
        )
    trial = _Trial(path, runs, rate, limits or Limits(), threads)
    names = [n.outputs[0].name or "" for n in quantizable_convs(load_model(path))]
    layers = []
    for i, name in enumerate(names):
        progress("try int8 layers", i, len(names))
        layers.append(trial.alone(name))
    chosen = trial.longest([layer.name for layer in trial.order(layers)])
    seconds = trial.seconds(chosen)
    return ConvChoice(
        tuple(dataclasses.replace(layer, chosen=layer.name in chosen) for layer in layers),
        trial.statistics.ranges,
        trial.error(chosen, trial.tests),
        *seconds,
    )


class _Trial:
    """Runs the graph with layers in int8 and compares."""

    def __init__(self, path: Path, runs: Sequence[Feeds], rate: int, limits: Limits, threads: int) -> None:
        self.path = path
        self.rate = rate
        self.limits = limits
        self.threads = threads
        self.statistics: ConvStatistics = conv_statistics(path, runs[::2])
        exact = self.session(())
        self.tests = [(feeds, exact.run(None, dict(feeds))[0][0]) for feeds in runs[1::2]]
        self.errors: dict[frozenset[str], ConvError] = {}

    def session(self, layers: Collection[str]) -> Any:
        model = load_model(self.path)
        quantize_convs(model, layers=layers, ranges=self.statistics.ranges)
        return _open(model, self.threads)

    def error(self, layers: Collection[str], tests: Sequence[tuple[Feeds, Array]]) -> ConvError:
        session = self.session(layers)
        worst = ConvError(float("inf"), 0.0)
        for feeds, exact in tests:
            wave = session.run(None, dict(feeds))[0][0]
            worst = ConvError(
                min(worst.snr_db, snr_db(exact, wave)),
                max(worst.log_mel_db, log_mel_distance_db(exact, wave, self.rate)),
            )
        return worst

    def alone(self, name: str) -> ConvLayer:
        model = load_model(self.path)
        node = next(n for n in model.graph if n.outputs[0].name == name)
        weight = node.inputs[1]
        assert weight is not None
        seconds = self._layer_seconds(node)
        return ConvLayer(name, weight.name or "", False, self.error([name], self.tests[:1]), *seconds)

    def _layer_seconds(self, node: ir.Node) -> tuple[float, float]:
        name = node.outputs[0].name or ""
        models = [load_model(self.path) for _ in range(2)]
        for model in models:
            only_node(model, output=name, shapes=self.statistics.shapes)
        quantize_convs(models[1], layers=[name], ranges=self.statistics.ranges)
        shape = self.statistics.shapes[models[0].graph.inputs[0].name or ""]
        low, high = self.statistics.ranges[models[0].graph.inputs[0].name or ""]
        x = np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)
        sessions = [_open(m, self.threads) for m in models]
        return _fastest(sessions, {models[0].graph.inputs[0].name or "": x})

    def order(self, layers: Sequence[ConvLayer]) -> list[ConvLayer]:
        """Layers that save time, the most for their error first."""
        paying = [layer for layer in layers if layer.seconds_int8 < layer.seconds_fp32]
        return sorted(
            paying, key=lambda c: (c.seconds_int8 - c.seconds_fp32) / max(c.alone.share(self.limits), 1e-12)
        )

    def longest(self, order: Sequence[str]) -> frozenset[str]:
        """The longest beginning of the order that keeps the limits; that errors grow with it is assumed."""
        good, bad = 0, len(order) + 1
        while bad - good > 1:
            middle = len(order) if bad > len(order) and good == 0 else (good + bad) // 2
            if self.error(order[:middle], self.tests).share(self.limits) <= 1.0:
                good = middle
            else:
                bad = middle
        return frozenset(order[:good])

    def seconds(self, layers: Collection[str]) -> tuple[float, float]:
        longest = max((feeds for feeds, _ in self.tests), key=lambda f: sum(a.size for a in f.values()))
        return _fastest([self.session(()), self.session(layers)], longest)


def _open(model: ir.Model, threads: int) -> Any:
    ort = load_onnxruntime(least=SCATTER_ONNXRUNTIME)
    return open_model(
        ort,
        ir.to_proto(model).SerializeToString(),
        options=session_options(ort, threads=threads),
        what=f"graph {model.graph.name}: ONNX Runtime cannot open it with int8 layers",
    )


def _fastest(sessions: Sequence[Any], feeds: Feeds) -> tuple[float, float]:
    """The shortest time of each of two sessions, in turn."""
    best = [float("inf")] * len(sessions)
    for _ in range(REPEATS):
        for i, session in enumerate(sessions):
            start = time.perf_counter()
            session.run(None, dict(feeds))
            best[i] = min(best[i], time.perf_counter() - start)
    return best[0], best[1]
