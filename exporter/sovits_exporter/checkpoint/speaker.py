"""Reads the speaker network's file, `pretrained_eres2netv2w24s4ep4.ckpt`: a plain state dict, read inertly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sovits_exporter.checkpoint.inert import TensorRef, kind_of, mapping_of, one_line
from sovits_exporter.checkpoint.layout import Layout
from sovits_exporter.checkpoint.pretrained import Pretrained
from sovits_exporter.checkpoint.tensors import read_tensors, tensor_refs
from sovits_exporter.checkpoint.torch_file import TorchFile, naming, open_torch_file
from sovits_exporter.modeling.eres2net import BANDS, EXPANSION, UNUSED, ERes2NetV2
from sovits_runtime.bundle.files import sha256_file
from sovits_runtime.errors import CheckpointError

OFFICIAL = "pretrained_eres2netv2w24s4ep4.ckpt"
LAYERS, HEAD_WIDTH = 4, 192
_STEM = "conv1.weight"
_CHANNELS, _MAX_BLOCKS = 64, 64  # the channels give the embedding the width that SoVITS takes


def read_speaker(path: str | Path) -> Pretrained:
    """Reads and checks the file; nothing in it is run.

    Raises:
        CheckpointError: It is missing, damaged, unsafe, not finite, or another network than ERes2NetV2 as GPT-SoVITS
            uses it.
    """
    path = Path(path)
    with naming(path), open_torch_file(path) as file:
        refs = tensor_refs(_state(file))
        config = _sizes(refs)
        tensors = read_tensors(file, refs, speaker_layout(config))
        return Pretrained("speaker", path, config, tensors, sha256_file(path))


def speaker_layout(config: Mapping[str, Any]) -> Layout:
    """Returns the tensors that inference reads, by their official names."""
    with torch.device("meta"):
        module = ERes2NetV2(config["channels"], config["blocks"])
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def speaker_file_layout(config: Mapping[str, Any]) -> Layout:
    """Returns all tensors of the file, those of training and the 192-wide head included."""
    layout: Layout = {}
    for name, shape in speaker_layout(config).items():
        layout[name] = shape
        if name.endswith(".running_var"):
            layout[name.replace("running_var", "num_batches_tracked")] = ()
    pooled = 2 * 8 * config["channels"] * EXPANSION * BANDS // 8  # mean and deviation of every row
    return layout | {"seg_1.weight": (HEAD_WIDTH, pooled), "seg_1.bias": (HEAD_WIDTH,)}


def _state(file: TorchFile) -> dict[str, object]:
    content = mapping_of(file.content)
    if content is None or _STEM not in content or not all(isinstance(name, str) for name in content):
        held = one_line(list(content)[:3]) if content else f"a {kind_of(file.content)}"
        raise CheckpointError(f"holds {held}, expected the state dict of ERes2NetV2; take {OFFICIAL}")
    return {name: value for name, value in content.items() if not UNUSED.search(name)}


def _sizes(refs: Mapping[str, TensorRef]) -> dict[str, Any]:
    channels = (*refs[_STEM].shape, 0)[0]
    blocks = [len({name.split(".")[1] for name in refs if name.startswith(f"layer{i}.")}) for i in _layers()]
    if channels != _CHANNELS or not all(0 < n <= _MAX_BLOCKS for n in blocks):
        raise CheckpointError(
            f"has {channels} channels and {blocks} blocks, expected those of ERes2NetV2 (64 and [3, 4, 6, 3]); "
            f"take {OFFICIAL}"
        )
    return {"channels": channels, "blocks": blocks}


def _layers() -> range:
    return range(1, LAYERS + 1)
