"""Plants faults into bundles."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sovits_runtime.bundle.files import file_record, json_text
from sovits_runtime.bundle.manifest import manifest_digest

Change = Callable[[np.ndarray], np.ndarray]


def plant(bundle: Path, graph: str, changes: Mapping[str, Change]) -> None:
    """Changes weights of a bundle as if it had been built so: its manifest is right again afterwards."""
    path = bundle / "graphs" / f"{graph}.onnx"
    values = ir.load(path).graph.initializers
    for name, change in changes.items():
        tensor = values[name].const_value
        assert isinstance(tensor, ir.ExternalTensor)
        dtype = tensor.dtype.numpy()
        weights = np.memmap(
            bundle / "graphs" / tensor.location, dtype, "r+", tensor.offset, tuple(tensor.shape.numpy())
        )
        weights[...] = change(np.array(weights)).astype(dtype)
        weights.flush()
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name in manifest["files"]:
        if name.endswith(".weights"):
            manifest["files"][name] = file_record(bundle / name)
    manifest["digest"] = manifest_digest(manifest)
    (bundle / "manifest.json").write_text(json_text(manifest))


def louder(factor: float) -> Change:
    return lambda numbers: numbers * np.float32(factor)


def one_wrong(numbers: np.ndarray) -> np.ndarray:
    """One weight of all is another."""
    numbers.flat[numbers.size // 2] += 4.0
    return numbers
