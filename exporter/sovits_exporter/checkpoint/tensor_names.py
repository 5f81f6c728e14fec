"""Brings the names of tensors into the official form, whatever wrapped the model when it was saved."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from sovits_exporter.checkpoint.inert import one_line
from sovits_exporter.checkpoint.layout import Layout, Shape
from sovits_runtime.errors import CheckpointError

T = TypeVar("T")

GPT_PREFIX = "model."
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "base_layer"}
"""Parts of names that come from DataParallel, torch.compile, FSDP and peft; no part of the model is called so."""
_SPELLINGS = (
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
    (".lora_A.weight", ".lora_A.default.weight"),
    (".lora_B.weight", ".lora_B.default.weight"),
)
"""Ends of names, as newer PyTorch and peft write them, and as the official files have them."""


def official_names(tensors: Mapping[str, T], kind: str) -> dict[str, T]:
    """Returns the tensors by their official names.

    Args:
        tensors: By the names of the file.
        kind: `GPT` or `SoVITS`.

    Raises:
        CheckpointError: Two tensors come to the same name.
    """
    renamed: dict[str, T] = {}
    for name, tensor in tensors.items():
        official = official_name(name)
        if official in renamed:
            raise CheckpointError(
                f"holds tensor {one_line(official)} twice, under different wrappers; take the original file"
            )
        renamed[official] = tensor
    if kind == "GPT" and not any(name.startswith(GPT_PREFIX) for name in renamed):
        return {f"{GPT_PREFIX}{name}": tensor for name, tensor in renamed.items()}
    return renamed


def official_name(name: str) -> str:
    """Returns the official name of a tensor, but for the prefix of a GPT."""
    parts = name.split(".")
    if not _WRAPPERS.isdisjoint(parts):
        name = ".".join(part for part in parts if part not in _WRAPPERS)
    for stored, official in _SPELLINGS:
        if name.endswith(stored):
            return f"{name.removesuffix(stored)}{official}"
    return name


def as_stored(layout: Mapping[str, Shape], names: Collection[str]) -> Layout:
    """Returns a layout as a file keeps it: each weight is whole, or under weight norm.

    Args:
        layout: The tensors that are expected, in one of both forms.
        names: Those that the file holds.
    """
    stored: Layout = {}
    for name, shape in layout.items():
        stem = name[:-2] if name.endswith((".weight_g", ".weight_v")) else name
        gain, direction = f"{stem}_g", f"{stem}_v"
        is_normed = gain in names or direction in names
        if stem == name and name.endswith(".weight") and name not in names and is_normed:
            stored |= {gain: (shape[0], *(1 for _ in shape[1:])), direction: shape}
        elif stem != name and stem in names and not is_normed:
            stored[stem] = layout[direction]
        else:
            stored[name] = shape
    return stored
