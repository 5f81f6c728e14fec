"""Graphs on ONNX Runtime: the backend that works on every CPU, and on NVIDIA GPUs without anything to build."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.session import CPU_CACHE_QUANTUM, SessionOptions, caches_in_memory
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.machine.cuda_lines import installed_line
from sovits_runtime.machine.onnx_runtime import (
    CPU_EXTRA,
    CPU_PROVIDER,
    SCATTER_ONNXRUNTIME,
    install_anew,
    installed_onnxruntimes,
    load_onnxruntime,
    open_model,
    ort_errors,
    session_options,
)

logger = logging.getLogger(__name__)

PROVIDERS = {"cpu": CPU_PROVIDER, "cuda": "CUDAExecutionProvider", "webgpu": "WebGpuExecutionProvider"}
NAMES = {"cuda": "CUDA", "webgpu": "WebGPU"}
WEBGPU = "pip install onnxruntime-webgpu"
CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",  # the default times every algorithm anew for every length of sentence
    "use_tf32": "0",  # a graph in FP32 is run in FP32
}
TF32 = {"use_tf32": "1"}
"""For graphs in FP16: without it, ONNX Runtime keeps every convolution from tensor cores, whatever its type. What
stayed in FP32 did so for its range, which TF32 has; its digits are those of FP16."""
EXACT_WEIGHTS = ("session.use_device_allocator_for_initializers", "1")
"""Weights on a GPU take what they are, outside the arena, which grows by powers of two."""
RECORD_PLACES = ("session.record_ep_graph_assignment_info", "1")
SIZE_OPERATORS = {
    "Shape", "Size", "Gather", "Slice", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Expand", "Cast", "Identity",
    "Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Clip", "Floor", "Ceil", "Range", "ConstantOfShape", "ReduceProd",
    "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Not", "Where",
}  # fmt: skip
"""On a GPU, ONNX Runtime computes sizes of tensors on the host, where they are needed. These operators do that, and all
of them have kernels for numbers on the GPU as well."""
SHRINK = ("memory.enable_memory_arena_shrinkage", "cpu:0")
SMALLEST_EXTERNAL = 1024
"""Bytes from which weights of an optimized graph lie in the file that is mapped into memory."""


def open_session(path: Path, spec: GraphSpec, options: SessionOptions) -> OrtSession:
    """Opens a graph on the one provider that `options.device` names.

    Args:
        path: The `.onnx` file.
        spec: Inputs and outputs of the graph.
        options: Device, threads, memory.

    Raises:
        BackendError: ONNX Runtime is not installed, or cannot run the graph on the device.
    """
    if options.device not in PROVIDERS:
        raise BackendError(
            f"device {options.device!r} is unknown; ONNX Runtime runs on: {', '.join(PROVIDERS)}"
        )
    ort = import_onnxruntime(options.device)
    settings = ort_options(ort, options)
    return OrtSession(ort, open_raw(ort, path, options, settings, cuda_options(options)), spec, options)


def open_raw(ort: Any, path: Path, options: SessionOptions, settings: Any, cuda: Mapping[str, str]) -> Any:
    """Opens a graph as a session of ONNX Runtime's own, on the requested provider and no other.

    Args:
        ort: The module `onnxruntime`.
        path: The `.onnx` file.
        options: `device` says which provider.
        settings: Session options of ONNX Runtime.
        cuda: Options of the CUDA provider.

    Raises:
        BackendError: The provider is not there or does not start, or the graph cannot be opened.
    """
    device, provider = options.device, PROVIDERS[options.device]
    if provider not in ort.get_available_providers():
        raise BackendError(
            f"device {device!r} needs ONNX Runtime's {provider}, but the installed onnxruntime "
            f"{ort.__version__} offers {ort.get_available_providers()}; "
            f"{install_anew(installed_onnxruntimes(), _install(device))}, or use device 'cpu'"
        )
    entry = (provider, dict(cuda)) if device == "cuda" else provider
    session = open_model(
        ort,
        path,
        options=settings,
        what=f"{path}: ONNX Runtime {ort.__version__} cannot open it",
        providers=(entry,),
    )
    if provider not in session.get_providers():
        raise BackendError(
            f"{path}: asked for {provider}, ONNX Runtime fell back to {session.get_providers()}; check the CUDA and "
            "cuDNN installation with 'sovits-export doctor' or use device 'cpu'"
        )
    moved = operators_on_cpu(session) if device != "cpu" else ""
    if moved:
        message = (
            f"ONNX Runtime {ort.__version__} has no {NAMES[device]} kernel for {moved} and runs it on the CPU"
        )
        if options.strict:
            raise BackendError(f"{path}: {message}; without strict it may")
        logger.warning("%s: %s", path, message)
    return session


def operators_on_cpu(session: Any, *, sizes: bool = False) -> str:
    """Names the operators of a session on a GPU that ONNX Runtime put on the CPU.

    Args:
        session: A session of ONNX Runtime, opened with `RECORD_PLACES`.
        sizes: Also those that may compute sizes.
    """
    counts = Counter(
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == PROVIDERS["cpu"]
        for node in part.get_nodes()
    )
    return ", ".join(
        f"{count} {op}" for op, count in sorted(counts.items()) if sizes or op not in SIZE_OPERATORS
    )


def write_optimized(path: Path, target: Path) -> None:
    """Writes a graph as it runs on this processor: optimized, and with weights in the layout of its kernels.

    Args:
        path: The `.onnx` file.
        target: The file to write; its weights come beside it. Opened with `SessionOptions.optimized`.

    Raises:
        BackendError: ONNX Runtime is not installed, or cannot open or write the graph.
    """
    ort = import_onnxruntime("cpu")
    options = ort_options(ort, SessionOptions(threads=1))
    options.optimized_model_filepath = str(target)
    for name, value in (
        ("session.optimized_model_external_initializers_file_name", f"{target.stem}.weights"),
        ("session.optimized_model_external_initializers_min_size_in_bytes", str(SMALLEST_EXTERNAL)),
        ("session.save_external_prepacked_constant_initializers", "1"),
    ):
        options.add_session_config_entry(name, value)
    what = f"{path}: ONNX Runtime {ort.__version__} cannot write it optimized"
    open_model(ort, path, options=options, what=what)


def _install(device: str) -> str:
    """The pip line that brings ONNX Runtime for a device."""
    return installed_line().extra("cuda") if device == "cuda" else {"webgpu": WEBGPU}.get(device, CPU_EXTRA)


def import_onnxruntime(device: str) -> Any:
    """Gets ONNX Runtime, with the libraries of the device; see `machine.onnx_runtime.load_onnxruntime`."""
    if device != "cuda":
        return load_onnxruntime(_install(device))
    ort = load_onnxruntime(_install(device), least=SCATTER_ONNXRUNTIME)
    _load_cuda(ort)
    return ort


@functools.cache
def _load_cuda(ort: Any) -> None:
    """Loads CUDA's libraries from the packages that pip installs, where ONNX Runtime does not look by itself."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # it prints what it misses, where our callers may print JSON
        ort.preload_dlls(directory="")
    for line in printed.getvalue().splitlines():
        logger.info("ONNX Runtime: %s", line)


def ort_options(ort: Any, options: SessionOptions) -> Any:
    """Session options of ONNX Runtime for ours."""
    # On a GPU, only sizes are computed on the host.
    result = session_options(ort, threads=options.threads if options.device == "cpu" else 1)
    if not options.prepack:
        result.add_session_config_entry("session.disable_prepacking", "1")
    if options.optimized:
        result.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if options.device != "cpu":
        result.add_session_config_entry(*RECORD_PLACES)
        result.add_session_config_entry(*EXACT_WEIGHTS)
    return result


def cuda_options(options: SessionOptions) -> dict[str, str]:
    """Options of the CUDA provider for ours."""
    return CUDA_OPTIONS | (TF32 if options.tf32 else {})


class OrtSession:
    """One graph in ONNX Runtime.

    Args:
        session: Its session.
        spec: Inputs and outputs of the graph.
        options: The options that it was opened with.
    """

    def __init__(self, ort: Any, session: Any, spec: GraphSpec, options: SessionOptions) -> None:
        self.spec = spec
        self.provider = PROVIDERS[options.device]
        self.cache_quantum = CPU_CACHE_QUANTUM
        self._device = options.device
        self._ort = ort
        self._session = session
        self._run_options = None
        if options.device == "cpu" and not options.keep_buffers:
            self._run_options = ort.RunOptions()
            self._run_options.add_run_config_entry(*SHRINK)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph on NumPy arrays; see `Session.run`."""
        self.spec.check(feeds)
        with ort_errors(f"graph {self.spec.name}: ONNX Runtime failed"):
            outputs = self._session.run(list(self.spec.output_names), dict(feeds), self._run_options)
        return dict(zip(self.spec.output_names, outputs, strict=True))

    def grown_caches(self, capacity: int, *, old: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """Makes all caches; see `BindableSession.grown_caches`."""
        return caches_in_memory(self.spec, capacity, old=old, rows=rows)

    def bind(self, arrays: Mapping[str, Array]) -> OrtBinding:
        """Binds every input and output to an array; see `BindableSession.bind`.

        Raises:
            BackendError: The graph is not on the CPU; ONNX Runtime would read the arrays once and never again.
        """
        if self._device != "cpu":
            raise BackendError(
                f"graph {self.spec.name}: arrays can be bound on the CPU, it is on {self._device}"
            )
        self.spec.check_bound(arrays)
        self.spec.check({name: arrays[name] for name in self.spec.input_names})
        return OrtBinding(self._ort, self._session, self.spec, arrays, self._run_options)


class OrtBinding:
    """A graph bound to NumPy arrays, which it reads and writes without copying."""

    def __init__(
        self, ort: Any, session: Any, spec: GraphSpec, arrays: Mapping[str, Array], run_options: Any
    ) -> None:
        self._session = session
        self._run_options = run_options
        self._name = spec.name
        self._binding = session.io_binding()
        # An OrtValue borrows the array's memory and keeps the array alive; one value an array, so that aliased
        # names are seen to be the same buffer.
        values: dict[int, Any] = {}
        for name in (*spec.input_names, *spec.output_names):
            array = arrays[name]
            if not array.flags.c_contiguous:
                raise ShapeError(f"graph {spec.name}: the array bound to {name} is not contiguous")
            if id(array) not in values:
                values[id(array)] = ort.OrtValue.ortvalue_from_numpy(array)
        self._values = values
        for name in spec.input_names:
            self._binding.bind_ortvalue_input(name, values[id(arrays[name])])
        for name in spec.output_names:
            self._binding.bind_ortvalue_output(name, values[id(arrays[name])])

    def run(self) -> None:
        """Runs the graph once; see `Binding.run`."""
        with ort_errors(f"graph {self._name}: ONNX Runtime failed"):
            self._session.run_with_iobinding(self._binding, self._run_options)
