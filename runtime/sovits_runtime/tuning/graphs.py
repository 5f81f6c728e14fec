"""Times every engine on every graph behind the GPT's, on the inputs of the recorded request, and compares with FP32.

What they are compared with is the graph on ONNX Runtime, whatever runs it without a plan.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.native import GENERIC, kernels, library
from sovits_runtime.backends.native_vocoder import INT8_KERNELS, may_be_native, vocoder_library
from sovits_runtime.backends.openvino import OpenVinoSession, WindowSession
from sovits_runtime.backends.plan import (
    NATIVE,
    NATIVE_BF16,
    NATIVE_INT8,
    ONNX_RUNTIME,
    OPENVINO_ENGINES,
    Choice,
    Taken,
)
from sovits_runtime.backends.processor import processor_features
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.names import (
    BERT,
    CFM_STEP,
    HUBERT,
    PREFILL,
    PROMPT_TOKENS,
    REFERENCE_STYLE,
    SPEAKER,
    STEP,
    VOCODERS,
)
from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import BackendError, first_line
from sovits_runtime.machine import read_machine
from sovits_runtime.machine.openvino import installed_openvino, precisions
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.tuning.row import Row
from sovits_runtime.verify.exact import FP32_TOLERANCES, Verification
from sovits_runtime.verify.metrics import log_mel_distance_db, relative_error
from sovits_runtime.verify.mixed import FP16_TOLERANCES
from sovits_runtime.verify.recorded import Tolerances, recorded_request
from sovits_runtime.verify.tuned import LOG_MEL_DB, SNR_DB

ROUNDS = 3
GPT = {PREFILL, STEP}
ALWAYS_ONNX_RUNTIME = {PROMPT_TOKENS}
"""It gives whole numbers by comparing distances, and takes no time."""
ONCE_A_RECORDING = {HUBERT, SPEAKER, REFERENCE_STYLE}
"""What a listener waits for is opening them as well as their run."""
BERT_TOKENS = 30
_LEAST_COSINE = FP16_TOLERANCES["graph_cosine"]
_SILENCE = 1e-30


@dataclass
class _Timed:
    """An engine with what it took: opening, and each round's run at a new length, and again where that is usual."""

    engine: str
    session: Session
    opened: float
    new: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)


class _Recorder:
    """A session that keeps the inputs of its longest run."""

    def __init__(self, session: Session, feeds: dict[str, Mapping[str, Array]]) -> None:
        self.spec, self.provider = session.spec, session.provider
        self._session, self._feeds = session, feeds

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph; see `Session.run`."""
        before = self._feeds.get(self.spec.name, {})
        if sum(a.size for a in feeds.values()) > sum(a.size for a in before.values()):
            self._feeds[self.spec.name] = {name: a.copy() for name, a in feeds.items()}
        return self._session.run(feeds)


class _RecordingVoice(CpuVoice):
    """A voice whose graphs keep their inputs."""

    def __init__(self, bundle: Bundle, options: LoadOptions, taken: Taken) -> None:
        self.feeds: dict[str, Mapping[str, Array]] = {}
        super().__init__(bundle, options, taken)

    def graph(self, name: str) -> Session:
        """Opens a graph that keeps its inputs; see `VoiceBackend.graph`."""
        return _Recorder(super().graph(name), self.feeds)


def measure_graphs(bundle: Bundle, threads: int) -> Iterator[Row]:
    """Measures all graphs but the GPT's; of each graph the first row is what runs it without a plan.

    Args:
        bundle: An opened bundle.
        threads: Threads within one operator.

    Raises:
        BackendError: ONNX Runtime cannot open a graph.
        BundleError: What the bundle recorded is damaged.
    """
    options = LoadOptions(threads=threads)
    backend = _RecordingVoice(bundle, options, Taken(Choice()))
    golden = recorded_request(bundle)
    with Synthesizer(backend) as voice:
        run = Verification(voice, golden, Tolerances(bundle))
        for _ in chain(run.reference(), run.decoder()):
            pass  # what they compare is not of interest: the graphs keep what they were fed
        feeds = dict(backend.feeds)
    if BERT in bundle.graph_names:
        feeds[BERT] = _bert_feeds(bundle.graph_spec(BERT))
    opener = CpuVoice(bundle, options, Taken(Choice()))
    for name in bundle.graph_names:
        if name in feeds and name not in GPT | ALWAYS_ONNX_RUNTIME:
            yield from _measure(opener, name, feeds[name])
    opener.close()


def engines_for(bundle: Bundle, name: str) -> tuple[str, ...]:
    """What could run a graph here; what runs it without a plan first."""
    if name in ALWAYS_ONNX_RUNTIME:
        return (ONNX_RUNTIME,)
    here = precisions(processor_features(read_machine()))
    openvino = (e for e, precision in OPENVINO_ENGINES.items() if precision in here)
    others = () if installed_openvino() is None else tuple(openvino)
    lib = library() if may_be_native(bundle, name) else None
    if lib is None or kernels(lib) == GENERIC:
        return (ONNX_RUNTIME, *others)
    usual = vocoder_library(bundle, name, "auto") is not None
    exact = (NATIVE, ONNX_RUNTIME) if usual else (ONNX_RUNTIME, NATIVE)
    rounded = ((NATIVE_BF16, "bf16" in here), (NATIVE_INT8, kernels(lib) in INT8_KERNELS))
    return (*exact, *(engine for engine, pays in rounded if pays), *others)


def _measure(opener: CpuVoice, name: str, feeds: Mapping[str, Array]) -> Iterator[Row]:
    opened: list[_Timed] = []
    failed: list[Row] = []
    for engine in engines_for(opener.bundle, name):
        start = time.perf_counter()
        try:
            session = opener.open_with(name, engine)
            if isinstance(session, OpenVinoSession | WindowSession):
                session.wait()
            seconds = time.perf_counter() - start
            session.run(feeds)
        except BackendError as error:
            if engine == ONNX_RUNTIME:
                raise
            nothing = float("nan")
            failed.append(
                Row(
                    name, engine, nothing, nothing, nothing, exact=False, within=False, note=first_line(error)
                )
            )
            continue
        opened.append(_Timed(engine, session, seconds))
    for turn in range(ROUNDS):
        shorter = shortened(opener.bundle.graph_spec(name), feeds, turn + 1)
        for timed in opened if turn % 2 else opened[::-1]:
            for times in (timed.new, timed.again) if name == CFM_STEP else (timed.new,):
                start = time.perf_counter()
                timed.session.run(shorter)
                times.append(time.perf_counter() - start)
    (graph,) = (timed.session for timed in opened if timed.engine == ONNX_RUNTIME)
    expected = graph.run(feeds)
    rate = opener.bundle.spec.sample_rate
    for timed in opened:
        yield _judge(timed, name, expected, timed.session.run(feeds), rate)
    yield from failed


def _judge(
    timed: _Timed, name: str, expected: Mapping[str, Array], got: Mapping[str, Array], rate: int
) -> Row:
    error = max(relative_error(expected[n], got[n]) for n in expected)
    snr = min(ratio_db(expected[n], got[n]) for n in expected)
    exact = error <= FP32_TOLERANCES["graph"]
    if name in VOCODERS:
        within = snr >= SNR_DB and _log_mel(expected, got, rate) <= LOG_MEL_DB
    else:
        within = 1 / math.sqrt(1 + 10 ** (-snr / 10)) >= _LEAST_COSINE
    seconds, note = min(timed.new), ""
    if name == CFM_STEP:
        seconds, note = min(timed.again), "the same length many times"
    elif name in ONCE_A_RECORDING:
        seconds, note = timed.opened + min(timed.new), "opening included"
    return Row(name, timed.engine, seconds, error, snr, exact=exact, within=within, note=note)


def _log_mel(expected: Mapping[str, Array], got: Mapping[str, Array], rate: int) -> float:
    (name,) = expected
    a, b = expected[name].ravel(), got[name].ravel()
    return log_mel_distance_db(a, b, rate) if np.isfinite(b).all() else float("inf")


def ratio_db(expected: Array, got: Array) -> float:
    """Power of an output over that of its error, in decibels; -inf where a number is not finite."""
    if expected.shape != got.shape or not np.isfinite(got).all():
        return float("-inf")
    noise = float(np.sum((expected.astype(np.float64) - got) ** 2))
    signal = float(np.sum(expected.astype(np.float64) ** 2))
    return 10 * math.log10(max(signal, _SILENCE) / max(noise, _SILENCE))


def shortened(spec: GraphSpec, feeds: Mapping[str, Array], turn: int) -> dict[str, Array]:
    """The same inputs, each size of its own about a fiftieth shorter with every turn.

    Args:
        spec: Of the graph.
        feeds: Its inputs.
        turn: From 1 on.
    """
    sizes = spec.check(feeds)
    kept = {n: max(s - turn * math.ceil(s / 50), spec.dim_ranges[n].min) for n, s in sizes.items()}
    return {t.name: _cut(feeds[t.name], t.resolve(kept)) for t in spec.inputs}


def _cut(array: Array, shape: tuple[int, ...]) -> Array:
    return np.ascontiguousarray(array[tuple(slice(size) for size in shape)])


def _bert_feeds(spec: GraphSpec) -> dict[str, Array]:
    """Made-up tokens of the size of a sentence; the request was recorded without."""
    sizes = {d.name: max(BERT_TOKENS, d.min) for d in spec.dims}
    return {
        t.name: (1 + np.arange(np.prod(t.resolve(sizes))) % 7).reshape(t.resolve(sizes)).astype(t.dtype)
        for t in spec.inputs
    }
