"""The tensors of a checkpoint: compared with what is expected, read as float32, weight norm folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from sovits_exporter.checkpoint.inert import (
    Inert,
    TensorRef,
    is_special_tensor,
    one_line,
    special_tensor_problem,
)
from sovits_exporter.checkpoint.layout import Shape
from sovits_exporter.checkpoint.torch_file import TorchFile
from sovits_runtime.errors import CheckpointError


class Shaped(Protocol):
    """Anything with a shape: a tensor, an array, a reference to one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""


def tensor_refs(values: Mapping[str, object]) -> dict[str, TensorRef]:
    """Returns the tensors that are used, after each has been found to be a plain one.

    Args:
        values: What a file holds under names of tensors, without what only training uses.

    Raises:
        CheckpointError: One is no tensor, or of a kind that cannot be read; or they show stored numbers many times,
            which would fill the memory from a small file.
    """
    refs: dict[str, TensorRef] = {}
    for name, value in values.items():
        if isinstance(value, Inert) and is_special_tensor(value):
            raise CheckpointError(f"tensor {one_line(name)} {special_tensor_problem(value)}")
        if not isinstance(value, TensorRef):
            raise CheckpointError(f"its weight {one_line(name)} is no tensor; take the original file")
        refs[name] = value
    in_sight = sum(ref.numel for ref in refs.values())
    stored = sum({ref.storage.key: ref.storage.numel for ref in refs.values()}.values())
    if in_sight > 2 * stored:
        raise CheckpointError(
            f"shows {stored} stored numbers as {in_sight}, expected each once; take the original file"
        )
    return refs


def read_tensors(
    file: TorchFile, refs: Mapping[str, TensorRef], expected: Mapping[str, Shape]
) -> dict[str, Tensor]:
    """Reads the expected tensors as float32, after all names and shapes have been found right.

    Raises:
        CheckpointError: Some are missing, unknown, have another shape, hold no floats, or values that are not finite.
    """
    check_tensors(refs, expected)
    return {name: _read(file, name, refs[name]) for name in expected}


def fold_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replaces `X.weight_g` and `X.weight_v` by `X.weight` = v * g / |v|, norm over all axes but the first.

    Source: torch.nn.utils.weight_norm with dim 0.

    Raises:
        CheckpointError: Half of a pair is missing or has the wrong shape, or a row of `weight_v` is zero.
    """
    folded: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight_v"):
            stem = name.removesuffix("_v")
            folded[stem] = _folded(stem, tensors.get(f"{stem}_g"), tensor)
        elif not name.endswith(".weight_g"):
            folded[name] = tensor
        elif f"{name.removesuffix('_g')}_v" not in tensors:
            raise CheckpointError(
                f"tensor {one_line(name)} lacks its partner weight_v; take the complete file"
            )
    return folded


def _folded(stem: str, gain: Tensor | None, direction: Tensor) -> Tensor:
    rows = (len(direction), *(1 for _ in direction.shape[1:]))
    if gain is None or tuple(gain.shape) != rows:
        problem = "is missing" if gain is None else f"has shape {list(gain.shape)}"
        raise CheckpointError(
            f"tensor {one_line(stem)}_g {problem}, expected {list(rows)}; take the complete file"
        )
    norm = torch.linalg.vector_norm(direction.flatten(1), dim=1).reshape(rows)
    if not bool((norm > 0).all()):
        raise CheckpointError(
            f"tensor {one_line(stem)}_v has a row of zeros, expected a direction; take another file"
        )
    folded: Tensor = direction * (gain / norm)
    return folded


def check_tensors(tensors: Mapping[str, Shaped], expected: Mapping[str, Shape]) -> None:
    """Checks names and shapes. What the caller knows to serve training only, he leaves out before.

    Raises:
        CheckpointError: Some are missing, have another shape, or are unknown; the message names the first few.
    """
    missing = [name for name in expected if name not in tensors]
    if missing:
        raise CheckpointError(
            f"lacks {_listed(missing)}: has {len(expected) - len(missing)} of the {len(expected)} tensors "
            "expected; is the file of another version, or cut down?"
        )
    wrong = [
        f"{name} has shape {list(tensors[name].shape)}, expected {list(shape)}"
        for name, shape in expected.items()
        if tuple(tensors[name].shape) != tuple(shape)
    ]
    if wrong:
        raise CheckpointError(f"tensor {_listed(wrong)}; is the file of another version, or edited?")
    unknown = [one_line(name) for name in tensors if name not in expected]
    if unknown:
        raise CheckpointError(
            f"holds {_listed(unknown)}, which this release does not know, expected {len(expected)} tensors of the "
            "official model; it would speak otherwise without them, take a file that the official training wrote"
        )


def _listed(items: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more


def _read(file: TorchFile, name: str, ref: TensorRef) -> Tensor:
    stored = file.read(ref)
    kind = str(stored.dtype).removeprefix("torch.")
    if not stored.is_floating_point():
        raise CheckpointError(
            f"tensor {name} holds {kind}, expected float16 or float32; take the original file"
        )
    tensor = stored.to(torch.float32)
    bad = tensor.numel() - int(torch.isfinite(tensor).sum())
    if bad:
        overflowed = stored.dtype == torch.float16 and not bool(torch.isnan(tensor).any())
        why = "half precision overflowed when it was saved" if overflowed else "the training diverged"
        raise CheckpointError(
            f"tensor {name} ({kind}) holds {bad} infinite or NaN values, expected none: {why}; "
            "take another epoch"
        )
    return tensor
