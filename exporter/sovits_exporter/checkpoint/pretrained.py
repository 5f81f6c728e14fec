"""Reads chinese-hubert-base and chinese-roberta-wwm-ext-large from folders in the HuggingFace format.

A folder holds config.json and either model.safetensors or pytorch_model.bin; the first wins where both exist.
The .bin is a pickle, so it is read by torch.load(weights_only=True) and by nothing else.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sovits_exporter.checkpoint.unpickle import one_line
from sovits_exporter.modeling.bert import Bert, BertConfig
from sovits_exporter.modeling.eres2net import ERes2NetV2
from sovits_exporter.modeling.hubert import Hubert, HubertConfig
from sovits_exporter.modeling.mel_vocoder import mel_vocoder
from sovits_exporter.modeling.pretrained_encoder import PretrainedEncoder
from sovits_runtime.errors import CheckpointError, first_line

Kind = Literal["hubert", "bert", "speaker", "vocoder"]
FolderKind = Literal["hubert", "bert"]

CONFIG = "config.json"
SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
MAX_CONFIG_BYTES = 1 << 20
LISTED_NAMES = 3
LFS_POINTER = b"version https://git-lfs"
REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True)
class _KindInfo:
    official: str
    width: int
    build: Callable[[Mapping[str, Any]], PretrainedEncoder]


_KINDS: dict[str, _KindInfo] = {
    "hubert": _KindInfo("chinese-hubert-base", 768, lambda c: Hubert(HubertConfig.from_config(c))),
    "bert": _KindInfo("chinese-roberta-wwm-ext-large", 1024, lambda c: Bert(BertConfig.from_config(c))),
    "speaker": _KindInfo(
        "pretrained_eres2netv2w24s4ep4.ckpt", 20480, lambda c: ERes2NetV2(c["channels"], c["blocks"])
    ),
}


@dataclass(frozen=True)
class Pretrained:
    """What a folder holds, checked.

    Attributes:
        kind: `hubert`, `bert`, `speaker` or `vocoder`.
        path: The folder, or the file of the speaker network or the vocoder.
        config: Content of config.json; of the speaker network and the vocoder, their sizes.
        tensors: float32, under our module's names: prefix gone, weight norm folded, unused tensors left out.
        sha256: Digest of the bytes of config.json, where there is one, followed by those of the weight file.
    """

    kind: Kind
    path: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    sha256: str

    def module(self) -> nn.Module:
        """Builds the export-ready module around `tensors`, in inference mode; the memory is shared."""
        build = mel_vocoder if self.kind == "vocoder" else _KINDS[self.kind].build
        with torch.device("meta"):
            module = build(self.config)
        module.load_state_dict(self.tensors, assign=True)
        return module.eval().requires_grad_(False)


def read_pretrained(folder: str | Path, kind: FolderKind) -> Pretrained:
    """Reads and checks a folder in the HuggingFace format.

    Args:
        folder: Folder with config.json and model.safetensors or pytorch_model.bin.
        kind: Which of the two models it should hold.

    Raises:
        CheckpointError: Something is missing, damaged, unsafe, not finite, or of another model or size.
    """
    path = Path(folder)
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise CheckpointError(f"{path} {problem}; expected the folder of {_KINDS[kind].official}")
    try:
        return _read(path, kind)
    except CheckpointError as e:
        raise CheckpointError(f"{path}: {e}") from e


def load_hubert(folder: str | Path) -> Hubert:
    """Reads a folder of chinese-hubert-base as an export-ready module in inference mode.

    Raises:
        CheckpointError: As `read_pretrained`.
    """
    module = read_pretrained(folder, "hubert").module()
    assert isinstance(module, Hubert)
    return module


def _read(path: Path, kind: FolderKind) -> Pretrained:
    info = _KINDS[kind]
    config, config_bytes = read_config(path)
    if config.get("model_type") != kind:
        raise CheckpointError(
            f"model_type in {CONFIG} is {config.get('model_type')!r}, expected {kind!r}; name the folder of"
            f" {info.official}"
        )
    with torch.device("meta"):
        module = info.build(config)
    if module.width != info.width:
        raise CheckpointError(
            f"hidden_size in {CONFIG} is {module.width}, expected {info.width}; take {info.official}"
        )
    weights = _find_weights(path)
    digest = hashlib.sha256(config_bytes)
    with weights.open("rb") as f:
        while piece := f.read(1 << 20):
            digest.update(piece)
    tensors = {name: t.float() for name, t in module.own_tensors(_read_weights(weights)).items()}
    _check_tensors(tensors, module.state_dict(), weights.name)
    return Pretrained(kind, path, config, tensors, digest.hexdigest())


def read_config(path: Path) -> tuple[dict[str, Any], bytes]:
    """Reads config.json of a model folder: its content, and the bytes of it.

    Raises:
        CheckpointError: It is missing, too large, or no JSON object.
    """
    file = path / CONFIG
    if not file.is_file():
        raise CheckpointError(f"{CONFIG} is missing; expected a model folder in the HuggingFace format")
    if file.stat().st_size > MAX_CONFIG_BYTES:
        raise CheckpointError(f"{CONFIG} has {file.stat().st_size} bytes, expected a small JSON file")
    data = file.read_bytes()
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise CheckpointError(f"{CONFIG} is not JSON ({e}); download it again") from e
    if not isinstance(config, dict):
        raise CheckpointError(f"{CONFIG} holds a {type(config).__name__}, expected an object")
    return config, data


def _find_weights(path: Path) -> Path:
    for name in _READERS:
        if (path / name).is_file():
            return path / name
    for name in SHARDED:
        if (path / name).is_file():
            raise CheckpointError(
                f"weights in several files ({name}) are not read; save the model as one file"
            )
    raise CheckpointError(f"weights are missing, expected {' or '.join(_READERS)}")


def _read_weights(file: Path) -> dict[str, Tensor]:
    with file.open("rb") as f:
        if f.read(len(LFS_POINTER)) == LFS_POINTER:
            raise CheckpointError(
                f"{file.name} is a Git LFS pointer, not the file it stands for; run `git lfs pull`"
            )
    content = _READERS[file.name](file)
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{file.name} holds no state dict; expected names and tensors")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{file.name}: {name!r} is a {type(tensor).__name__}, expected a plain state dict of tensors"
            )
    return content


def _read_safetensors(file: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError) as e:
        raise CheckpointError(f"{file.name} is damaged ({one_line(first_line(e))}); download it again") from e


def _read_bin(file: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        # The text of torch recommends weights_only=False; only the name it stopped at is passed on.
        named = REFUSED_GLOBAL.search(str(e))
        problem = (
            f"asks for {named[1]}, which weights do not need" if named else "is damaged or no file of tensors"
        )
        raise CheckpointError(f"{file.name} {problem}; nothing of it was run, get the original file") from e
    except Exception as e:  # the unpickler of a damaged file raises whatever it stumbles over
        raise CheckpointError(f"{file.name} is damaged ({one_line(first_line(e))}); download it again") from e


_READERS: dict[str, Callable[[Path], object]] = {
    "model.safetensors": _read_safetensors,
    "pytorch_model.bin": _read_bin,
}


def _check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: str) -> None:
    if missing := [name for name in expected if name not in tensors]:
        raise CheckpointError(f"{file} lacks {_listed(missing)}; {CONFIG} and weights do not belong together")
    if extra := [name for name in tensors if name not in expected]:
        raise CheckpointError(
            f"{file} has unknown {_listed(extra)}; {CONFIG} and weights do not belong together"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{file}: {name} is {list(tensor.shape)}, {CONFIG} asks for {list(expected[name].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file}: {name} holds NaN or infinity; the file is damaged, get it again")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else ""
    return f"tensors {', '.join(names[:LISTED_NAMES])}{more}"
