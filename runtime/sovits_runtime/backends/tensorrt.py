"""A voice on TensorRT: finds and loads its engines for this GPU, with streams and memory for each request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sovits_runtime.backends.cpu import open_cpu_graph
from sovits_runtime.backends.device_generator import open_generator
from sovits_runtime.backends.trt_api import ENTERPRISE, RTX, TrtApi, load_api
from sovits_runtime.backends.trt_engine import TrtEngine, TrtRuntime
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import EngineRecord, EngineTarget, engine_names, find_engine
from sovits_runtime.bundle.names import BERT, HUBERT, PREFILL, PROMPT_TOKENS, REFERENCE_STYLE, SPEAKER, STEP
from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.device import Device, ShapedEngine
from sovits_runtime.gpu.execution import DeviceGraph, ExecutionSlot
from sovits_runtime.gpu.pool import SlotPool
from sovits_runtime.t2s.device_slot import GptEngines
from sovits_runtime.t2s.device_step import BATCH_SIZES, is_for_rows

logger = logging.getLogger(__name__)

REFERENCE_GRAPHS = (HUBERT, BERT, SPEAKER, PROMPT_TOKENS, REFERENCE_STYLE)
"""Run once a voice or a text: each has an execution slot of its own, made when first needed. The others share slots."""


@dataclass(frozen=True)
class Gpu:
    """The GPU that engines must be for.

    Attributes:
        device: Streams and memory on it.
        name: As the driver calls it.
        capability: Compute capability.
    """

    device: Device
    name: str
    capability: tuple[int, int]


def open_gpu() -> Gpu:
    """Opens the first GPU.

    Raises:
        BackendError: There is none that can be used.
    """
    from sovits_runtime.gpu.cuda import open_cuda

    device = open_cuda()
    return Gpu(device, device.name, device.capability)


class TensorRtVoice:
    """The engines of one bundle on one GPU.

    Args:
        bundle: An opened bundle.
        options: `requests` and `strict` count; without `strict`, a graph that has no engine runs on the CPU.
        gpu: The GPU; None: the first one.
        load: Loads a flavour of TensorRT.

    Attributes:
        runs_on: What runs each graph opened so far.

    Raises:
        BackendError: No GPU, no TensorRT, or no engines of the GPT for them.
    """

    chunks = None
    overlaps = True

    def __init__(
        self,
        bundle: Bundle,
        options: LoadOptions,
        *,
        gpu: Gpu | None = None,
        load: Callable[[str], TrtApi] = load_api,
    ) -> None:
        gpu = gpu or open_gpu()
        self.bundle = bundle
        self.options = options
        self.gpu = gpu
        self.runs_on: dict[str, str] = {}
        self._engines: dict[str, TrtEngine] = {}
        self._slots: dict[str, SlotPool[ExecutionSlot]] = {}
        self.target, api = choose_flavour(bundle, gpu, load)
        folder = bundle.path / "engines" / self.target.folder
        self._runtime = TrtRuntime(api, folder / f"kernels-{api.version}.cache")
        alone, batches = _steps(bundle, self.target)
        lack = _lack_of_rows(alone, batches, bundle) if options.rows else ""
        records = [find_engine(bundle, PREFILL, self.target), *alone]
        if options.rows and not lack:
            lengths = {record.cache_size for record in alone}
            records += [record for record in batches if record.cache_size in lengths]
        prefill, *loaded = map(self._runtime.load, records)
        steps, together = tuple(loaded[: len(alone)]), tuple(loaded[len(alone) :])
        by_size = dict.fromkeys(BATCH_SIZES, together) if together else {}
        engines = GptEngines(prefill, steps, by_size, lack)
        self.runs_on[PREFILL] = engines.prefill.provider
        self.runs_on[STEP] = (
            f"{engines.prefill.provider}, caches of {', '.join(map(str, engines.lengths))} rows"
        )
        self.text_to_semantic = open_generator(gpu.device, engines, options)
        self._gpt_weights = sum(engine.weight_bytes for engine in (prefill, *loaded))

    def graph(self, name: str) -> Session:
        """Opens a graph other than the GPT's.

        Raises:
            BackendError: It has no engine for this GPU that loads, and `strict` was asked for.
        """
        try:
            engine = self._runtime.load(find_engine(self.bundle, name, self.target))
        except BackendError as error:
            if self.options.strict:
                raise
            session = open_cpu_graph(self.bundle, name, self.options.threads)
            self.runs_on[name] = f"{session.provider}, for want of an engine"
            logger.warning("graph %s runs on %s: %s", name, session.provider, error)
            return session
        self._engines[name] = engine
        self.runs_on[name] = engine.provider
        return DeviceGraph(engine, self._slots_of(name), name)

    def warm(self) -> None:
        """Makes all execution slots for speech and runs their engines once; keeps what RTX compiled for that.

        Raises:
            BackendError: There is not enough memory, or an engine fails.
        """
        pool = self._slots.get("speech")
        with ExitStack() as stack:
            for slot in [stack.enter_context(pool.slot()) for _ in range(pool.size)] if pool else ():
                slot.warm()
        self._runtime.save_kernels()

    def memory(self) -> dict[str, int]:
        """Device memory in bytes: weights, what a request in flight takes, and the sum for all requests at once."""
        weights = self._gpt_weights + sum(e.weight_bytes for e in self._engines.values())
        graphs = sum(slot.nbytes for pool in self._slots.values() for slot in pool.all())
        tokens = self.text_to_semantic
        return {
            "weights": weights,
            "tokens_each": tokens.slot_bytes,
            "graphs_now": graphs,
            "tokens_all": tokens.memory_bytes,
        }

    def describe(self) -> dict[str, Any]:
        """The target, and what runs each graph, for reports."""
        return {
            "gpu": self.gpu.name,
            "target": self.target.folder,
            "graphs": dict(self.runs_on),
            "token_steps": self.text_to_semantic.fallback or "captured",
            "token_rows": self.text_to_semantic.rows_title,
            "memory_bytes": self.memory(),
        }

    def close(self) -> None:
        """Frees what the voice holds on the GPU; nothing may be in flight."""
        self.text_to_semantic.close()
        for pool in self._slots.values():
            pool.close()
        self._runtime.save_kernels()

    def _slots_of(self, name: str) -> SlotPool[ExecutionSlot]:
        key = name if name in REFERENCE_GRAPHS else "speech"
        if key not in self._slots:
            size = 1 if name in REFERENCE_GRAPHS else self.options.requests
            self._slots[key] = SlotPool(lambda: ExecutionSlot(self.gpu.device, self._members(key)), size)
        return self._slots[key]

    def _members(self, key: str) -> Mapping[str, ShapedEngine]:
        if key in REFERENCE_GRAPHS:
            return {key: self._engines[key]}
        return {name: e for name, e in self._engines.items() if name not in REFERENCE_GRAPHS}


def choose_flavour(
    bundle: Bundle, gpu: Gpu, load: Callable[[str], TrtApi] = load_api
) -> tuple[EngineTarget, TrtApi]:
    """Picks the installed flavour of TensorRT that the bundle has engines for; the RTX one first.

    Raises:
        BackendError: None is installed, or none of those that are has engines here.
    """
    problems = []
    for flavour in (RTX, ENTERPRISE):
        try:
            api = load(flavour)
            tied = gpu.name if flavour == ENTERPRISE else ""
            target = EngineTarget(flavour, api.version, api.cuda, gpu.capability, tied)
            find_engine(bundle, PREFILL, target)
            _steps(bundle, target)
        except BackendError as error:
            problems.append(str(error))
            continue
        return target, api
    raise BackendError(f"backend 'tensorrt' cannot be used on {gpu.name}: {'; and '.join(problems)}")


def _lack_of_rows(alone: Sequence[EngineRecord], batches: Sequence[EngineRecord], bundle: Bundle) -> str:
    """Which engines for batches are missing, and how to get them; empty where none is."""
    missing = sorted({record.cache_size for record in alone} - {record.cache_size for record in batches})
    lengths = ", ".join(map(str, missing))
    build = f"sovits-export engine build {bundle.path} --rows"
    return f"no engines for batches with caches of {lengths} rows; {build}" if missing else ""


def _steps(bundle: Bundle, target: EngineTarget) -> tuple[list[EngineRecord], list[EngineRecord]]:
    """The steps of one row and those of a batch of rows, each with the shortest caches first."""
    records, problem = [], None
    for name in engine_names(bundle, STEP):
        try:
            records.append(find_engine(bundle, name, target))
        except BackendError as error:
            problem = error
    records.sort(key=lambda record: record.cache_size)
    alone = [record for record in records if not is_for_rows(record.spec)]
    if not alone:
        raise problem or BackendError(
            f"{bundle.path}: no engine {STEP} for {target.folder}; sovits-export engine build {bundle.path}"
        )
    return alone, [record for record in records if is_for_rows(record.spec)]
