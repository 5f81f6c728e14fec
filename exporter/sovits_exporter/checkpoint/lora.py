"""LoRA fine-tunes of v3 to v5: some parts whole, low-rank pairs for the transformer's attention, the rest in the base.

Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS.init_vits_weights; the factor is 1, as alpha equals the rank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from sovits_exporter.checkpoint.inert import TensorRef
from sovits_exporter.checkpoint.layout import Layout, Shape
from sovits_exporter.checkpoint.tensor_names import as_stored
from sovits_exporter.checkpoint.tensors import fold_weight_norm, read_tensors
from sovits_exporter.checkpoint.torch_file import TorchFile
from sovits_runtime.errors import CheckpointError, shown

MAX_RANK = 4096
_WRAPPED, _PLAIN = "cfm.base_model.model.", "cfm."
_DOWN, _UP = ".lora_A.default.weight", ".lora_B.default.weight"
_ADAPTED = re.compile(r"\.attn\.to_(q|k|v|out\.0)\.weight$")
_WHOLE = ("ref_enc.", "bridge.", "wns1.", "quantizer.")
_INV_FREQ = "cfm.estimator.rotary_embed.inv_freq"


@dataclass(frozen=True)
class Lora:
    """What a fine-tune changes.

    Attributes:
        rank: Rank of its pairs.
        whole: Tensors that take the place of the base's, by the base's names.
        pairs: By the base's names: down [rank, in] and up [out, rank].
    """

    rank: int
    whole: dict[str, Tensor]
    pairs: dict[str, tuple[Tensor, Tensor]]


def is_lora(names: Iterable[str]) -> bool:
    """Whether these are the tensors of a LoRA fine-tune."""
    return any(name.endswith(_DOWN) or name.startswith(_WRAPPED) for name in names)


def lora_layout(base: Mapping[str, Shape], rank: int) -> Layout:
    """Returns the tensors that the trainer saves for a base of these tensors, by their official names."""
    layout: Layout = {}
    for name, shape in base.items():
        wrapped = _wrapped(name)
        if name.startswith((*_WHOLE, "linear_mel.")) or name == _INV_FREQ:
            layout[wrapped] = tuple(shape)
        elif _ADAPTED.search(name):
            stem = wrapped.removesuffix(".weight")
            layout |= {f"{stem}{_DOWN}": (rank, shape[1]), f"{stem}{_UP}": (shape[0], rank)}
    return layout


def read_lora(
    file: TorchFile, refs: Mapping[str, TensorRef], base: Mapping[str, Tensor], *, rank: int | None
) -> Lora:
    """Reads a fine-tune and checks it against its base.

    Args:
        refs: Its tensors, without those that only training uses.
        base: Tensors of the base, weight norm folded.
        rank: The rank that the file states, if any.

    Raises:
        CheckpointError: Tensors are missing, have other shapes than the base asks for, or are not finite.
    """
    adapted = [name for name in base if _ADAPTED.search(name)]
    stems = {name: _wrapped(name).removesuffix(".weight") for name in adapted}
    if rank is None:
        first = refs.get(f"{stems[adapted[0]]}{_DOWN}")
        rank = first.shape[0] if first is not None and first.shape else 0
    if not 1 <= rank <= MAX_RANK:
        raise CheckpointError(
            f"states the LoRA rank {shown(rank)}, expected 1 to {MAX_RANK}; take the original file"
        )
    layout: dict[str, tuple[int, ...]] = {}
    for name, stem in stems.items():
        rows, columns = base[name].shape
        layout |= {f"{stem}{_DOWN}": (rank, columns), f"{stem}{_UP}": (rows, rank)}
    whole = _whole_layout(refs, base)
    tensors = read_tensors(file, refs, layout | whole)
    pairs = {name: (tensors[f"{stem}{_DOWN}"], tensors[f"{stem}{_UP}"]) for name, stem in stems.items()}
    folded = fold_weight_norm({name: tensors[name] for name in whole})
    return Lora(rank, {_unwrapped(name): tensor for name, tensor in folded.items()}, pairs)


def merge_lora(base: Mapping[str, Tensor], lora: Lora) -> dict[str, Tensor]:
    """Returns the tensors of the complete model that the fine-tune stands for."""
    merged = {**base, **lora.whole}
    for name, (down, up) in lora.pairs.items():
        merged[name] = merged[name] + up @ down
    return merged


def _whole_layout(refs: Mapping[str, TensorRef], base: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """What must be there whole, and what else of the base the file holds, with the base's shapes."""
    layout: dict[str, tuple[int, ...]] = {}
    for name, tensor in base.items():
        wrapped = _wrapped(name)
        held = (wrapped, f"{wrapped}_g", f"{wrapped}_v")
        if name.startswith(_WHOLE) or name == _INV_FREQ or any(part in refs for part in held):
            layout[wrapped] = tuple(tensor.shape)
    return as_stored(layout, refs)


def _wrapped(name: str) -> str:
    """The name under which peft saves a tensor of the base."""
    return f"{_WRAPPED}{name.removeprefix(_PLAIN)}" if name.startswith(_PLAIN) else name


def _unwrapped(name: str) -> str:
    return f"{_PLAIN}{name.removeprefix(_WRAPPED)}" if name.startswith(_WRAPPED) else name
