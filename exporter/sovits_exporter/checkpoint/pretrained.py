"""Reads chinese-hubert-base and chinese-roberta-wwm-ext-large from folders in the HuggingFace format.

A folder holds config.json (HFL's own archive calls it bert_config.json) and either model.safetensors or
pytorch_model.bin; the first wins where both exist. The .bin is a pickle, so it is read and never run. All names and
shapes are compared with the config before a number is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from sovits_exporter.checkpoint.inert import kind_of, mapping_of, one_line
from sovits_exporter.checkpoint.other_files import other_file
from sovits_exporter.checkpoint.tensors import tensor_refs
from sovits_exporter.checkpoint.torch_file import TorchFile, naming, open_torch_file
from sovits_exporter.modeling.bert import Bert, BertConfig
from sovits_exporter.modeling.eres2net import ERes2NetV2
from sovits_exporter.modeling.hubert import Hubert, HubertConfig
from sovits_exporter.modeling.mel_vocoder import mel_vocoder
from sovits_exporter.modeling.pretrained_encoder import PretrainedEncoder
from sovits_runtime.errors import CheckpointError, first_line, shown

Kind = Literal["hubert", "bert", "speaker", "vocoder"]
FolderKind = Literal["hubert", "bert"]

CONFIG, OLD_BERT_CONFIG = "config.json", "bert_config.json"
SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
MAX_CONFIG_BYTES = 1 << 20
LISTED_NAMES = 3
_SIGNS = {"hubert": {"conv_dim", "feat_extract_norm"}, "bert": {"vocab_size", "type_vocab_size"}}
"""Fields of a config that only this kind has, where it does not name itself."""


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
    with naming(path):
        _require_folder(path, kind)
        return _read(path, kind)


def check_pretrained(folder: str | Path, kind: FolderKind) -> None:
    """Checks everything of such a folder but the numbers, which takes long.

    Raises:
        CheckpointError: As `read_pretrained`, but for values that are not finite and bytes that are damaged.
    """
    path = Path(folder)
    with naming(path):
        _require_folder(path, kind)
        module, _, weights, _ = _described(path, kind)
        with _open_weights(weights) as held:
            _check_shapes(module, held.shapes(), weights.name)


def load_hubert(folder: str | Path) -> Hubert:
    """Reads a folder of chinese-hubert-base as an export-ready module in inference mode.

    Raises:
        CheckpointError: As `read_pretrained`.
    """
    module = read_pretrained(folder, "hubert").module()
    assert isinstance(module, Hubert)
    return module


def _require_folder(path: Path, kind: FolderKind) -> None:
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise CheckpointError(f"{problem}; expected the folder of {_KINDS[kind].official}")


def _described(path: Path, kind: FolderKind) -> tuple[PretrainedEncoder, dict[str, Any], Path, bytes]:
    """Reads the config: the module of its sizes, without numbers, its content, the weight file, the config's bytes."""
    info = _KINDS[kind]
    config, config_bytes = read_config(path, *([OLD_BERT_CONFIG] if kind == "bert" else []))
    named = config.get("model_type")
    if named != kind and not (named is None and _looks_like(kind, config)):
        raise CheckpointError(
            f"model_type in {CONFIG} is {shown(named)}, expected {kind!r}; name the folder of {info.official}"
        )
    with torch.device("meta"):
        module = info.build(config)
    if module.width != info.width:
        raise CheckpointError(
            f"hidden_size in {CONFIG} is {module.width}, expected {info.width}; take {info.official}"
        )
    return module, config, _find_weights(path), config_bytes


def _read(path: Path, kind: FolderKind) -> Pretrained:
    module, config, weights, config_bytes = _described(path, kind)
    digest = hashlib.sha256(config_bytes)
    with weights.open("rb") as f:
        while piece := f.read(1 << 20):
            digest.update(piece)
    with _open_weights(weights) as held:
        _check_shapes(module, held.shapes(), weights.name)
        stored = module.own_tensors(held.tensors())
    tensors: dict[str, Tensor] = {}
    for name, t in stored.items():
        if not t.is_floating_point():
            raise CheckpointError(
                f"{weights.name}: {name} holds {t.dtype}, expected floats; take {_KINDS[kind].official}"
            )
        tensors[name] = tensor = t.float()
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{weights.name}: {name} holds NaN or infinity; the file is damaged, get it again"
            )
    return Pretrained(kind, path, config, tensors, digest.hexdigest())


def _looks_like(kind: str, config: Mapping[str, Any]) -> bool:
    """Whether a config that does not name its kind is of this one by its other fields."""
    return _SIGNS[kind] <= config.keys() and not any(
        signs <= config.keys() for other, signs in _SIGNS.items() if other != kind
    )


def read_config(path: Path, *others: str) -> tuple[dict[str, Any], bytes]:
    """Reads config.json of a model folder: its content, and the bytes of it.

    Args:
        path: The folder.
        others: Names that the file may have instead.

    Raises:
        CheckpointError: It is missing, too large, or no JSON object.
    """
    file = next((path / name for name in (CONFIG, *others) if (path / name).is_file()), None)
    if file is None:
        raise CheckpointError(f"{CONFIG} is missing; expected a model folder in the HuggingFace format")
    size = file.stat().st_size
    if size > MAX_CONFIG_BYTES:
        raise CheckpointError(f"{file.name} has {size} bytes, expected a small JSON file; download it again")
    data = file.read_bytes()
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as e:
        if (what := other_file(file, data[:512], size)) and not data.lstrip().startswith(b"{"):
            raise CheckpointError(f"{file.name} {what}") from e
        raise CheckpointError(f"{file.name} is not JSON ({one_line(e)}); download it again") from e
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{file.name} holds a {type(config).__name__}, expected an object; download it again"
        )
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
    raise CheckpointError(f"weights are missing, expected {' or '.join(_READERS)}; fetch the whole folder")


class _Weights(Protocol):
    """A file of tensors, open."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of all tensors by name."""

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, as they are stored."""


class _Safetensors:
    def __init__(self, file: Path) -> None:
        self._file = file
        with self._reading() as opened:
            self._shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._file, framework="pt") as opened:
                yield opened
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as e:
            raise CheckpointError(f"is damaged ({one_line(first_line(e))}); download it again") from e

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._shapes

    def tensors(self) -> dict[str, Tensor]:
        with self._reading() as opened:
            return {name: opened.get_tensor(name) for name in self._shapes}


class _TorchWeights:
    def __init__(self, file: TorchFile) -> None:
        content = mapping_of(file.content)
        if not content:
            raise CheckpointError(f"holds a {kind_of(file.content)}, expected a plain state dict of tensors")
        if strange := [name for name in content if not isinstance(name, str)]:
            raise CheckpointError(f"holds {one_line(strange[0])}, expected a plain state dict of tensors")
        self._file, self._refs = file, tensor_refs(content)

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: ref.shape for name, ref in self._refs.items()}

    def tensors(self) -> dict[str, Tensor]:
        return {name: self._file.read(ref) for name, ref in self._refs.items()}


@contextmanager
def _open_weights(file: Path) -> Iterator[_Weights]:
    """Opens a file of tensors.

    Raises:
        CheckpointError: It is damaged, unsafe, or no plain state dict. The message begins with the file's name.
    """
    try:
        yield from _READERS[file.name](file)
    except CheckpointError as e:
        raise CheckpointError(str(e) if str(e).startswith(file.name) else f"{file.name} {e}") from e


def _open_safetensors(file: Path) -> Iterator[_Weights]:
    with file.open("rb") as f:
        start = f.read(512)
    if start[8:9] != b"{" and (what := other_file(file, start, file.stat().st_size)):
        raise CheckpointError(what)
    yield _Safetensors(file)


def _open_bin(file: Path) -> Iterator[_Weights]:
    with open_torch_file(file) as opened:
        yield _TorchWeights(opened)


_READERS: dict[str, Callable[[Path], Iterator[_Weights]]] = {
    "model.safetensors": _open_safetensors,
    "pytorch_model.bin": _open_bin,
}


def _check_shapes(module: PretrainedEncoder, shapes: Mapping[str, tuple[int, ...]], file: str) -> None:
    """Compares all names and shapes with what the config asks for; nothing is read for it."""
    with torch.device("meta"):
        tensors = module.own_tensors({name: torch.empty(shape) for name, shape in shapes.items()})
    expected = module.state_dict()
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


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else ""
    return f"tensors {', '.join(map(one_line, names[:LISTED_NAMES]))}{more}"
