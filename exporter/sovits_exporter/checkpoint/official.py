"""Official GPT `.ckpt` and SoVITS `.pth` files, read safely and checked before anything is built of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from sovits_exporter.checkpoint.config import dit_dims
from sovits_exporter.checkpoint.file_kind import check_kind
from sovits_exporter.checkpoint.inert import (
    Inert,
    Mapped,
    TensorRef,
    kind_of,
    mapping_of,
    one_line,
    plain,
)
from sovits_exporter.checkpoint.layout import gpt_layout, sovits_layout
from sovits_exporter.checkpoint.lora import is_lora, merge_lora, read_lora
from sovits_exporter.checkpoint.tensor_names import GPT_PREFIX, as_stored, official_names
from sovits_exporter.checkpoint.tensors import fold_weight_norm, read_tensors, tensor_refs
from sovits_exporter.checkpoint.torch_file import TorchFile, naming, open_torch_file
from sovits_exporter.checkpoint.version import RELEASED, RELEASED_GPT, detect_version
from sovits_runtime.bundle.files import sha256_file
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.errors import CheckpointError

T = TypeVar("T")

log = logging.getLogger(__name__)

_TRAINING_PARTS = ("enc_q.", "linear_mel.", f"{GPT_PREFIX}ar_accuracy_metric.")
_TRAINING_STATE = (
    "_codebook.inited",
    "_codebook.cluster_size",
    "_codebook.embed_avg",
    ".num_batches_tracked",
)
_MAX_CONFIG_VALUES, _MAX_CONFIG_DEPTH = 100_000, 16


@dataclass(frozen=True)
class GptCheckpoint:
    """A text-to-semantic model.

    Attributes:
        path: Where it was read from.
        sha256: Digest of that file.
        config: The training config, plain dicts, lists and values.
        tensors: float32, by their official names without `model.`.
        info: What the trainer noted: epoch and step.
    """

    path: Path
    sha256: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    info: str


@dataclass(frozen=True)
class SovitsCheckpoint:
    """A tokens-to-waveform model.

    Attributes:
        path: Where it was read from.
        sha256: Digest of that file.
        version: The detected model version.
        config: The training config, plain dicts, lists and values.
        tensors: float32, by their official names, weight norm folded (`weight` for `weight_g` and `weight_v`)
            and without what only training uses.
        info: What the trainer noted: epoch and step.
        lora_rank: Rank of a LoRA fine-tune, else None.
        base: Of a LoRA fine-tune, the complete model that it was merged into; without its tensors.
        base_digests: sha256 of the tensors of that base, by which a build knows what it need not store again.
    """

    path: Path
    sha256: str
    version: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    info: str
    lora_rank: int | None = None
    base: SovitsCheckpoint | None = None
    base_digests: frozenset[str] = frozenset()


def load_gpt(path: str | Path) -> GptCheckpoint:
    """Reads a GPT checkpoint; nothing in it is run.

    Raises:
        CheckpointError: It is unsafe, damaged, no GPT checkpoint, or its config or tensors are wrong.
    """
    path = Path(path)
    with naming(path), open_torch_file(path) as file:
        parts = _parts(file, "GPT")
        tensors = read_tensors(file, parts.weight, gpt_layout(parts.config))
        tensors = {name.removeprefix(GPT_PREFIX): tensor for name, tensor in tensors.items()}
        digest = sha256_file(path)
        if digest in RELEASED_GPT:
            log.warning("%s: is the pretrained %s, not a fine-tune", path, RELEASED_GPT[digest])
        return GptCheckpoint(path, digest, parts.config, tensors, parts.info)


def load_sovits(
    path: str | Path, *, version: str | None = None, base: str | Path | None = None
) -> SovitsCheckpoint:
    """Reads a SoVITS checkpoint; nothing in it is run.

    Args:
        path: The `.pth` file.
        version: Model version, needed only where the file does not tell (v3 and v4 hold the same
            tensors, and so do v5dev and v5turbo).
        base: The complete model that a LoRA fine-tune was trained on; it is merged into that.

    Raises:
        CheckpointError: It is unsafe, damaged, no SoVITS checkpoint, of a version that cannot be detected or is
            not `version`, or its config or tensors are not those of that version; or a LoRA fine-tune comes
            without its base, or a complete model with one.
    """
    path = Path(path)
    with naming(path), open_torch_file(path) as file:
        parts = _parts(file, "SoVITS")
        detected = _version(file, parts, version)
        if not is_lora(parts.weight):
            if base is not None:
                raise CheckpointError(
                    f"is a complete {detected} model, but a base was given; leave --base out"
                )
            tensors = _complete(file, parts, detected)
            if file.start_digest in RELEASED:
                log.warning("%s: is the pretrained %s, not a fine-tune", path, RELEASED[file.start_digest])
            return SovitsCheckpoint(path, sha256_file(path), detected, parts.config, tensors, parts.info)
        _check_adaptable(detected)
        if base is None:
            raise CheckpointError(
                f"is a LoRA fine-tune of {detected}, which needs the complete model it was trained on; "
                f"give --base s2G{detected}.pth; 'sovits-export fetch {detected}' fetches it"
            )
    complete = _load_base(Path(base), detected)
    with naming(path), open_torch_file(path) as file:
        lora = read_lora(file, parts.weight, complete.tensors, rank=parts.lora_rank)
        tensors = merge_lora(complete.tensors, lora)
        return SovitsCheckpoint(
            path,
            sha256_file(path),
            detected,
            complete.config,
            tensors,
            parts.info,
            lora.rank,
            replace(complete, tensors={}),
            frozenset(hashlib.sha256(t.numpy().tobytes()).hexdigest() for t in complete.tensors.values()),
        )


def identify_gpt(path: str | Path) -> int:
    """Tells how many phones a GPT checkpoint knows; no tensor is read.

    Raises:
        CheckpointError: It is unsafe, damaged, or no GPT checkpoint.
    """
    path = Path(path)
    with naming(path), open_torch_file(path) as file:
        config = _parts(file, "GPT").config
        gpt_layout(config)  # refuses a config without the sizes
        return int(config["model"]["phoneme_vocab_size"])


def identify_sovits(path: str | Path, *, version: str | None = None) -> tuple[str, bool]:
    """Tells the version of a SoVITS checkpoint, and whether it is a LoRA fine-tune; no tensor is read.

    Args:
        path: The `.pth` file.
        version: As in `load_sovits`.

    Raises:
        CheckpointError: It is unsafe, damaged, no SoVITS checkpoint, or of a version that cannot be detected or is not
            `version`.
    """
    path = Path(path)
    with naming(path), open_torch_file(path) as file:
        parts = _parts(file, "SoVITS")
        detected, lora = _version(file, parts, version), is_lora(parts.weight)
        if lora:
            _check_adaptable(detected)
        return detected, lora


def _check_adaptable(version: str) -> None:
    if not model_spec(version).flow:
        raise CheckpointError(
            f"is a LoRA fine-tune of {version}, expected a complete {version} model, as the official training writes; "
            "merge it into its base where it was made"
        )


def _load_base(path: Path, version: str) -> SovitsCheckpoint:
    with naming(path), open_torch_file(path) as file:
        parts = _parts(file, "SoVITS")
        if is_lora(parts.weight):
            raise CheckpointError(
                f"is itself a LoRA fine-tune, expected the complete {version} model; give --base s2G{version}.pth"
            )
        detected = _version(file, parts, None, otherwise=version)
        if detected != version:
            raise CheckpointError(
                f"is a {detected} model, expected the base of a {version} LoRA; give --base s2G{version}.pth"
            )
        tensors = _complete(file, parts, version)
        return SovitsCheckpoint(path, sha256_file(path), version, parts.config, tensors, parts.info)


def _version(file: TorchFile, parts: _Parts, requested: str | None, otherwise: str | None = None) -> str:
    shapes = {name: ref.shape for name, ref in parts.weight.items()}
    return detect_version(
        file.header,
        shapes,
        parts.config,
        requested=requested,
        otherwise=otherwise,
        start_digest=file.start_digest,
        info=parts.info,
        name=file.path.stem,
    )


def _complete(file: TorchFile, parts: _Parts, version: str) -> dict[str, Tensor]:
    dit = (
        dit_dims({name: ref.shape for name, ref in parts.weight.items()})
        if model_spec(version).flow
        else None
    )
    layout = as_stored(_used(sovits_layout(parts.config, version, dit)), parts.weight)
    return fold_weight_norm(read_tensors(file, parts.weight, layout))


def check_pair(gpt: GptCheckpoint, sovits: SovitsCheckpoint) -> None:
    """Checks that both models were trained on the same symbol table.

    Raises:
        CheckpointError: The GPT has no embedding for some phones of the SoVITS model.
    """
    rows, symbols = gpt.config["model"]["phoneme_vocab_size"], model_spec(sovits.version).n_symbols
    if rows < symbols:
        raise CheckpointError(
            f"{gpt.path}: knows {rows} phones, expected {symbols} as {sovits.path} ({sovits.version}) has; "
            "take a GPT model of the same version"
        )


@dataclass(frozen=True)
class _Parts:
    """What a file says, as far as it is used; tensors by their official names."""

    weight: dict[str, TensorRef]
    config: dict[str, Any]
    info: str
    lora_rank: int | None


def _parts(file: TorchFile, kind: str) -> _Parts:
    check_kind(file.content, kind)
    content = mapping_of(file.content) or Mapped()
    weight, config = mapping_of(content["weight"]), _plain(content["config"])
    if not isinstance(config, dict):
        raise CheckpointError(
            f"its config is a {kind_of(config)}, expected a mapping; take the original file"
        )
    if not weight:
        raise CheckpointError(
            f"its weight is no mapping of tensors, expected a {kind} model's; take the original file"
        )
    rank = plain(content.get("lora_rank"))
    return _Parts(
        _tensors(weight, kind), config, one_line(content.get("info", "")), rank if type(rank) is int else None
    )


def _tensors(weight: Mapped, kind: str) -> dict[str, TensorRef]:
    if strange := [name for name in weight if not isinstance(name, str)]:
        raise CheckpointError(f"its weight {one_line(strange[0])} is no tensor; take the original file")
    return tensor_refs(_used(official_names(weight, kind)))


def _used(by_name: Mapping[str, T]) -> dict[str, T]:
    """Drops what only training uses."""
    return {
        name: value
        for name, value in by_name.items()
        if not name.startswith(_TRAINING_PARTS) and not name.endswith(_TRAINING_STATE)
    }


def _plain(value: Any) -> Any:
    """Returns the config as nested dicts, lists and values, within limits that no honest config reaches.

    What is no plain value stays as it is: it is refused where a size is expected, and nobody reads it elsewhere.
    """
    left = [_MAX_CONFIG_VALUES]

    def convert(value: Any, depth: int) -> Any:
        left[0] -= 1
        if depth > _MAX_CONFIG_DEPTH or left[0] < 0:
            raise CheckpointError(
                "its config is nested too deeply or too large, expected a training config; take the original file"
            )
        if (items := mapping_of(value)) is not None:
            return {str(key): convert(item, depth + 1) for key, item in items.items()}
        if isinstance(value, (list, tuple)):
            return [convert(item, depth + 1) for item in value]
        return Inert(f"dict with a {value.odd} as a key") if isinstance(value, Mapped) else plain(value)

    return convert(value, 0)
