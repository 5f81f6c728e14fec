"""From ONNX models to files that share their weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

INLINE_BYTES = 1024  # smaller constants stay inside the .onnx file
ALIGNMENT = 64


def write_models(models: Sequence[ir.Model], folder: Path, weights_name: str) -> list[Path]:
    """Writes models side by side; equal weights are stored once in `<weights_name>.weights`.

    Args:
        models: Models with their weights in memory.
        folder: Where the `.onnx` files and the weight file go.
        weights_name: Stem of the weight file.

    Returns:
        The paths written, the weight file last.
    """
    weights = folder / f"{weights_name}.weights"
    offsets: dict[str, int] = {}
    paths = [folder / f"{model.graph.name}.onnx" for model in models]
    with weights.open("wb") as out:
        for model in models:
            for value in model.graph.initializers.values():
                tensor = value.const_value
                if tensor is not None and tensor.nbytes > INLINE_BYTES:
                    value.const_value = _append(tensor, out, offsets, weights)
    for model, path in zip(models, paths, strict=True):
        ir.save(model, path)
    return [*paths, weights]


def _append(
    tensor: ir.TensorProtocol, out: object, offsets: dict[str, int], weights: Path
) -> ir.ExternalTensor:
    data = tensor.tobytes()
    key = hashlib.sha256(data).hexdigest()
    if key not in offsets:
        out.write(b"\0" * (-out.tell() % ALIGNMENT))  # type: ignore[attr-defined]
        offsets[key] = out.tell()  # type: ignore[attr-defined]
        out.write(data)  # type: ignore[attr-defined]
    return ir.ExternalTensor(
        weights.name,
        offsets[key],
        len(data),
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=tensor.name or "",
        base_dir=str(weights.parent),
    )
