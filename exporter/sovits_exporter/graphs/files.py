"""From ONNX models to files that share their weights."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

INLINE_BYTES = 1024  # smaller constants stay inside the .onnx file
ALIGNMENT = 64
SUFFIX, BASE_SUFFIX = ".weights", "-base.weights"


def write_models(
    models: Sequence[ir.Model],
    folder: Path,
    weights_name: str,
    *,
    base: Collection[str] = (),
    base_tensors: Sequence[ir.TensorProtocol] = (),
) -> list[Path]:
    """Writes models side by side; equal weights are stored once in `<weights_name>.weights`.

    Args:
        models: Models with their weights in memory.
        folder: Where the `.onnx` files and the weight files go.
        weights_name: Stem of the weight file.
        base: sha256 of weights that other voices have too; these go to `<weights_name>-base.weights`.
        base_tensors: What that file begins with, whether or not these models use it.

    Returns:
        The paths of the models, then those of the weight files.
    """
    paths = [folder / f"{model.graph.name}.onnx" for model in models]
    with ExitStack() as stack:
        own = _WeightFile(folder / f"{weights_name}{SUFFIX}", stack)
        shares = bool(base or base_tensors)
        common = _WeightFile(folder / f"{weights_name}{BASE_SUFFIX}", stack) if shares else own
        for first in base_tensors:
            common.append(first, *_content(first))
        for model in models:
            for value in model.graph.initializers.values():
                tensor = value.const_value
                if tensor is not None and tensor.nbytes > INLINE_BYTES:
                    data, digest = _content(tensor)
                    file = common if digest in base or digest in common.offsets else own
                    value.const_value = file.append(tensor, data, digest)
    for model, path in zip(models, paths, strict=True):
        ir.save(model, path)
    return [*paths, own.path, *([common.path] if shares else [])]


def _content(tensor: ir.TensorProtocol) -> tuple[bytes, str]:
    data = tensor.tobytes()
    return data, hashlib.sha256(data).hexdigest()


class _WeightFile:
    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self.out: BinaryIO = stack.enter_context(path.open("wb"))
        self.offsets: dict[str, int] = {}

    def append(self, tensor: ir.TensorProtocol, data: bytes, digest: str) -> ir.ExternalTensor:
        if digest not in self.offsets:
            self.out.write(b"\0" * (-self.out.tell() % ALIGNMENT))
            self.offsets[digest] = self.out.tell()
            self.out.write(data)
        return ir.ExternalTensor(
            self.path.name,
            self.offsets[digest],
            len(data),
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=tensor.name or "",
            base_dir=str(self.path.parent),
        )
