"""TensorRT engines as `Engine`: deserialized once, run through contexts whose memory is ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovits_runtime.backends.trt_api import RTX, TrtApi
from sovits_runtime.bundle.engine_store import EngineRecord, read_plan
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.gpu.device import DeviceArray, Stream
from sovits_runtime.gpu.kernel_cache import keep_code, read_code


class TrtRuntime:
    """TensorRT's runtime, and for the RTX flavour the kernels it compiled before.

    Args:
        api: The flavour to run.
        kernels: File that RTX keeps compiled kernels in, so that only the first start compiles them.
    """

    def __init__(self, api: TrtApi, kernels: Path | None = None) -> None:
        self.api = api
        self.logger = api.log_collector()
        self.runtime = api.runtime(self.logger)
        self._kernels = kernels if api.flavour == RTX else None
        self._kernel_cache: Any = None

    def load(self, record: EngineRecord) -> TrtEngine:
        """Loads an engine whose plan is whole.

        Raises:
            BackendError: The plan is damaged, or TensorRT refuses it on this machine.
        """
        engine = self.runtime.deserialize_cuda_engine(read_plan(record))
        if engine is None:
            raise BackendError(
                f"{record.plan}: {self.api.title} cannot load it here: {self.why()}; build the engine again"
            )
        names = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
        expected = {*record.spec.input_names, *record.spec.output_names}
        if names != expected:
            raise BackendError(
                f"{record.plan}: the engine has {sorted(names ^ expected)[:4]} more or less than its record says; "
                "build the engine again"
            )
        return TrtEngine(self, engine, record)

    def why(self) -> str:
        """What TensorRT complained of last."""
        return str(self.logger.errors[-1]) if self.logger.errors else "it gives no reason"

    def context(self, engine: Any) -> Any:
        """Makes an execution context without memory of its own."""
        strategy = self.api.module.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._kernels is None:
            return engine.create_execution_context(strategy)
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        self.rtx_use_kernels(config)
        return engine.create_execution_context(config)

    def rtx_use_kernels(self, config: Any) -> None:
        """Gives compiled kernels of earlier starts to RTX, as far as it takes them."""
        assert self._kernels is not None
        if self._kernel_cache is None:
            self._kernel_cache = config.create_runtime_cache()
            if code := read_code(self._kernels):
                self._kernel_cache.deserialize(code)  # False: made elsewhere; compiled anew
        config.set_runtime_cache(self._kernel_cache)

    def save_kernels(self) -> None:
        """Writes the kernels that RTX compiled; a place that cannot be written costs the next start its time."""
        if self._kernels is not None and self._kernel_cache is not None:
            keep_code(self._kernels, memoryview(self._kernel_cache.serialize()))


class TrtEngine:
    """One deserialized engine; see `sovits_runtime.gpu.device.Engine`.

    Attributes:
        weight_bytes: Device memory that its weights take; no other engine shares them.
    """

    def __init__(self, runtime: TrtRuntime, engine: Any, record: EngineRecord) -> None:
        self.spec: GraphSpec = record.spec
        self.provider = runtime.api.title
        self.weight_bytes = record.bytes  # a plan is its weights and little else
        self.scratch_bytes = int(engine.device_memory_size_v2)
        self.runtime = runtime
        self.engine = engine

    def context(self, scratch: DeviceArray) -> TrtContext:
        """Makes a context; see `Engine.context`."""
        raw = self.runtime.context(self.engine)
        if raw is None:
            raise BackendError(
                f"graph {self.spec.name}: {self.provider} makes no context: {self.runtime.why()}"
            )
        raw.set_device_memory(scratch.address, scratch.nbytes)
        return TrtContext(self, raw)


class TrtContext:
    """One execution context; see `sovits_runtime.gpu.device.Context`."""

    def __init__(self, engine: TrtEngine, raw: Any) -> None:
        self._engine = engine
        self._raw = raw
        self._inputs = frozenset(engine.spec.input_names)

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """Sets places and shapes; see `Context.bind`."""
        for name, array in arrays.items():
            if name in self._inputs:
                self._shape(name, array.shape)
            if not self._raw.set_tensor_address(name, array.address):
                raise BackendError(
                    f"graph {self._engine.spec.name}: {self._engine.provider} takes no address for {name}: "
                    f"{self._engine.runtime.why()}"
                )

    def output_shapes(self, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Returns the outputs' shapes; see `ShapedContext.output_shapes`."""
        for name, shape in inputs.items():
            self._shape(name, shape)
        shapes = {n: tuple(self._raw.get_tensor_shape(n)) for n in self._engine.spec.output_names}
        unknown = [name for name, shape in shapes.items() if min(shape, default=0) < 0]
        if unknown:
            raise ShapeError(
                f"graph {self._engine.spec.name}: sizes of {unknown} depend on values, which this runtime does not do; "
                "build the bundle again"
            )
        return shapes

    def enqueue(self, stream: Stream) -> None:
        """Gives one run to the stream; see `Context.enqueue`."""
        if not self._raw.execute_async_v3(stream.handle):
            raise BackendError(
                f"graph {self._engine.spec.name}: {self._engine.provider} refuses to run: {self._engine.runtime.why()}"
            )

    def _shape(self, name: str, shape: tuple[int, ...]) -> None:
        if not self._raw.set_input_shape(name, shape):
            raise ShapeError(
                f"graph {self._engine.spec.name}: the engine takes no {name} of {list(shape)}: "
                f"{self._engine.runtime.why()}"
            )
