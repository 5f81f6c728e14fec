"""Reads a bundle's graph with its weights mapped from their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from sovits_runtime.errors import BundleError


def load_model(path: Path) -> ir.Model:
    """Reads a graph; weights are mapped, not copied.

    onnx_ir itself refuses weight files with several hard links, which is how people copy large folders; a bundle's
    files are checked by their digests instead.

    Raises:
        BundleError: A weight does not lie beside the graph.
    """
    model = ir.load(path)
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = _mapped(value.const_value, path)
    return model


def _mapped(tensor: ir.ExternalTensor, path: Path) -> ir.TensorProtocol:
    location = Path(tensor.location)
    if location.name != str(location) or tensor.offset is None:
        raise BundleError(f"{path}: {tensor.name} lies in {location}, expected a file beside the graph")
    shape = tuple(tensor.shape.numpy())
    data = np.memmap(path.parent / location, tensor.dtype.numpy(), "r", tensor.offset, shape)
    return ir.Tensor(data, name=tensor.name)
