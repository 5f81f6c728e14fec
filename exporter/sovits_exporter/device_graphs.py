"""The GPT's graphs as a GPU runs them without the host between steps, written beside the portable ones."""

from __future__ import annotations

from pathlib import Path

import onnx

from sovits_engines.step_graph import device_prefill, device_step
from sovits_runtime.graph import GraphSpec

SUFFIX = ".device"
_MAKERS = {"gpt_prefill": device_prefill, "gpt_step": device_step}
DEVICE_GRAPHS = tuple(_MAKERS)


def write_device_graph(path: Path, spec: GraphSpec) -> Path:
    """Writes the device's form of a graph beside it; both read the same weights.

    Args:
        path: The `.onnx` file of one of `DEVICE_GRAPHS`.
        spec: Its spec.

    Returns:
        The new file's path.

    Raises:
        BundleError: The graph is not built as the exporter builds it.
    """
    model = _MAKERS[spec.name](onnx.load(path, load_external_data=False), spec)
    target = path.with_name(f"{path.stem}{SUFFIX}.onnx")
    onnx.save(model, target)
    onnx.checker.check_model(str(target))
    return target
