"""Reads weights that are stored beside a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.errors import BundleError


def read_weight(tensor: onnx.TensorProto, folder: Path) -> Array:
    """Reads a constant of a graph into memory; see `map_weight`."""
    return np.array(map_weight(tensor, folder))


def map_weight(tensor: onnx.TensorProto, folder: Path) -> Array:
    """A constant of a graph; what lies in a file is read when it is used.

    Args:
        tensor: The constant, or where it lies.
        folder: The graph's folder.

    Raises:
        BundleError: Its file is missing, cut, or not in the folder.
    """
    try:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            return numpy_helper.to_array(tensor)
        return _map_file(tensor, folder)
    except (OSError, ValueError, OverflowError, TypeError, KeyError) as error:
        raise BundleError(
            f"{folder}: weight {tensor.name} cannot be read ({error}); copy the bundle whole"
        ) from error


def weight_file(tensor: onnx.TensorProto) -> str:
    """Where a constant lies, relative to the graph; "" when it lies in the graph."""
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _map_file(tensor: onnx.TensorProto, folder: Path) -> Array:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    location = Path(weight_file(tensor))
    if location.anchor or ".." in location.parts:
        raise ValueError(f"it lies in {location}, not in the graph's folder")
    if dtype.hasobject:
        raise ValueError("strings do not lie in files")  # numpy would take bytes of the file for pointers
    # onnx itself refuses files with several hard links, as weights that voices share have.
    return np.memmap(folder / location, dtype, "r", int(entries.get("offset", 0)), tuple(tensor.dims))
