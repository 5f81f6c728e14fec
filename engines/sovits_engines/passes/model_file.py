"""Reads a bundle's graph with its weights mapped from their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from sovits_runtime.errors import BundleError


def load_model(path: Path) -> ir.Model:
    """Reads a graph; weights are mapped, not copied.

    Raises:
        BundleError: A weight does not lie beside the graph.
    """
    model = ir.load(path)
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = map_tensor(value.const_value, path.parent)
    return model


def map_tensor(tensor: ir.ExternalTensor, folder: Path) -> ir.TensorProtocol:
    """A weight whose numbers are mapped from its file.

    onnx_ir itself refuses weight files with several hard links, which is how people copy large folders; a bundle's
    files are checked by their digests instead.

    Args:
        tensor: Where the weight lies.
        folder: The graph's folder.

    Raises:
        BundleError: It does not lie beside the graph.
    """
    location = Path(tensor.location)
    if location.name != str(location) or tensor.offset is None:
        raise BundleError(f"{folder}: {tensor.name} lies in {location}, expected a file beside the graph")
    shape = tuple(tensor.shape.numpy())
    data = np.memmap(folder / location, tensor.dtype.numpy(), "r", tensor.offset, shape)
    return ir.Tensor(data, name=tensor.name)
