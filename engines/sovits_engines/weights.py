"""Weights that lie beside a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from sovits_runtime.errors import BundleError
from sovits_runtime.graph import Array


def read_weight(tensor: onnx.TensorProto, folder: Path) -> Array:
    """Reads a constant of a graph.

    Args:
        tensor: The constant, or where it lies.
        folder: The graph's folder.

    Raises:
        BundleError: Its file is missing, cut, or not a plain file.
    """
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    told = {entry.key: entry.value for entry in tensor.external_data}
    dtype, shape = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type), tuple(tensor.dims)
    location = Path(told["location"])
    try:
        if location.name != str(location):
            raise ValueError(f"it lies in {location}, not beside the graph")
        # onnx itself refuses files with several hard links, as weights that voices share have.
        return np.array(np.memmap(folder / location, dtype, "r", int(told.get("offset", 0)), shape))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{folder}: weight {tensor.name} cannot be read ({error}); copy the bundle whole"
        ) from error
