"""ONNX to a serialized engine: the only place that touches TensorRT's builder and parser.

Written to what TensorRT 10.15 to 11.x and TensorRT for RTX have in common. Names that only the latter has are used in
functions called `rtx_...` alone. Networks are always strongly typed: precision is what the graph says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from sovits_engines.profile import profile_ranges
from sovits_engines.targets import rtx_capabilities
from sovits_runtime.backends.trt_api import RTX, TrtApi
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.progress import Progress, no_progress

NO_FUSED_KERNEL = "not supported by a dedicated kernel"
NO_FP32_PRODUCT = "FP32 GEMM is not supported"
_FLOATS = ("FLOAT", "HALF", "BF16")
_PLUMBING = {
    *("CAST", "CONCATENATION", "CONSTANT", "FILL", "GATHER", "IDENTITY"),
    *("SCATTER", "SELECT", "SHUFFLE", "SLICE", "SQUEEZE", "UNSQUEEZE"),
}


@dataclass(frozen=True)
class BuildOptions:
    """How to build.

    Attributes:
        captured: The engine runs inside a captured CUDA graph: one stream, no memory of its own.
        refittable: Another voice's weights can be put into the engine.
    """

    captured: bool = False
    refittable: bool = False

    def key_fields(self, api: TrtApi) -> list[str]:
        """What these options, and those that always hold, mean for an engine's key."""
        flags = ["STRONGLY_TYPED", "-TF32"]
        if self.captured:
            flags += ["max_aux_streams=0", *(["REQUIRE_USER_ALLOCATION"] if api.flavour == RTX else [])]
        return [*flags, "REFIT"] if self.refittable else flags


@dataclass(frozen=True)
class BuiltEngine:
    """A serialized engine.

    Attributes:
        plan: Its bytes.
        layers: Type of layer -> floating-point type it gives -> number of layers; those that only move data are left
            out.
        timings: What TensorRT measured of its kernels, for the next build; empty for RTX, which measures nothing.
    """

    plan: memoryview
    layers: Mapping[str, Mapping[str, int]]
    timings: bytes = b""


class EngineRefused(BackendError):  # noqa: N818 - reads better where it is caught
    """TensorRT refuses the graph."""


def build_engine(
    api: TrtApi,
    model: onnx.ModelProto,
    *,
    path: Path,
    spec: GraphSpec,
    capability: tuple[int, int],
    options: BuildOptions,
    timings: bytes = b"",
    progress: Progress = no_progress,
) -> BuiltEngine:
    """Parses a graph and builds its engine.

    Args:
        api: The TensorRT to use.
        model: The graph; its weights may lie in files beside `path`.
        path: Where the graph came from.
        spec: What it takes; gives the profile.
        capability: Compute capability to build for; TensorRT other than RTX builds for the current device.
        options: How to build.
        timings: Of earlier builds for this GPU by this version; others are put aside by TensorRT.
        progress: Called as the work goes on.

    Raises:
        EngineRefused: TensorRT refuses the graph; says which node and why.
    """
    trt, logger = api.module, api.log_collector()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.SerializeToString(), str(path)):
        reasons = "; ".join(f"{where}: {why}" for where, why in _complaints(parser))
        raise EngineRefused(f"graph {spec.name}: {api.title} cannot read it: {reasons}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.add_optimization_profile(_profile(builder, spec))
    config.progress_monitor = _monitor(trt, progress)
    if options.captured:
        config.max_aux_streams = 0
    if options.refittable:
        config.set_flag(trt.BuilderFlag.REFIT)
    if api.flavour == RTX:
        rtx_configure(api, config, capability, captured=options.captured)
    else:
        enterprise_use_timings(config, timings)
    layers = _layers(network)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        why = "; ".join(logger.errors) or "it gives no reason"
        if NO_FP32_PRODUCT in why:
            raise EngineRefused(
                f"graph {spec.name}: {api.title} has no FP32 matrix product for this GPU; build the bundle with --fp16"
            )
        raise EngineRefused(f"graph {spec.name}: {api.title} cannot build it: {why[:800]}")
    measured = b"" if api.flavour == RTX else enterprise_timings(config)
    return BuiltEngine(memoryview(plan), layers, measured)


def parser_complaints(api: TrtApi, model: onnx.ModelProto, path: Path) -> list[tuple[str, str]]:
    """Asks the ONNX parser alone: nodes that it refuses, and why.

    Args:
        api: The TensorRT to ask.
        model: The graph; its weights may lie in files beside `path`.
        path: Where the graph came from.
    """
    trt, logger = api.module, api.log_collector()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    return [] if parser.parse(model.SerializeToString(), str(path)) else _complaints(parser)


def _complaints(parser: Any) -> list[tuple[str, str]]:
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    complaints = [(f"{e.node_operator()} {e.node_name()}", " ".join(e.desc().split())) for e in errors]
    return complaints or [("the graph", "it gives no reason")]


def rtx_configure(api: TrtApi, config: Any, capability: tuple[int, int], *, captured: bool) -> None:
    """Sets what only TensorRT for RTX has: the GPU to build for, which need not be here, and who allocates."""
    trt = api.module
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.__members__[rtx_capabilities(api)[capability]], 0)
    if captured:
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)


def enterprise_use_timings(config: Any, timings: bytes) -> None:
    """Gives TensorRT its earlier timings; where it refuses them, an empty cache, so that it measures again."""
    for blob in (timings, b""):
        if config.set_timing_cache(config.create_timing_cache(blob), False):
            return


def enterprise_timings(config: Any) -> bytes:
    """TensorRT's timings, those of earlier builds included."""
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(memoryview(cache.serialize()))


def _profile(builder: Any, spec: GraphSpec) -> Any:
    profile = builder.create_optimization_profile()
    for name, (least, usual, largest) in profile_ranges(spec).items():
        profile.set_shape(name, least, usual, largest)
    return profile


def _layers(network: Any) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        kind, tensor = layer.type.name, layer.get_output(0)
        if tensor is not None and tensor.dtype.name in _FLOATS and kind not in _PLUMBING:
            counts.setdefault(kind, Counter())[tensor.dtype.name] += 1
    return {kind: dict(sorted(counts[kind].items())) for kind in sorted(counts)}


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Reports the newest phase, and the steps of the outermost one."""

        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}
            self._outermost = ""
            self._done = 0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._outermost = self._outermost or phase_name
            self._steps[phase_name] = num_steps
            progress(phase_name.lower(), self._done, max(self._steps.get(self._outermost, 1), 1))

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name == self._outermost:
                self._done = min(step + 1, max(self._steps.get(phase_name, 1), 1))
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
