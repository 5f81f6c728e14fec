"""Weights that lie beside a graph."""

from __future__ import annotations

from pathlib import Path

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
    try:
        return numpy_helper.to_array(tensor, str(folder))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise BundleError(
            f"{folder}: weight {tensor.name} cannot be read ({error}); copy the bundle whole"
        ) from error
