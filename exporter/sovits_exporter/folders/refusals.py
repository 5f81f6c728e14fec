"""Says what lies in a folder in which no voice was found, and what would make one of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sovits_exporter.checkpoint.official import identify_gpt, identify_sovits
from sovits_exporter.folders.archives import FOREIGN_SUFFIXES, IS_SPEAKER_PACKAGE, SPEAKER_PACKAGE
from sovits_exporter.folders.names import GPT_SUFFIX, SOVITS_SUFFIX, WEIGHT_SUFFIXES
from sovits_exporter.folders.pairs import Group, is_training_state, is_voice_file
from sovits_exporter.folders.scan import Tree
from sovits_runtime.errors import CheckpointError

_MOST_LINES = 12
_GENIE = "t2s_encoder.onnx"


def problems_of(tree: Tree, unpaired: Sequence[Group]) -> list[str]:
    """What lies there that is no voice yet, a line each, the most telling first."""
    lines = [*_unpaired(unpaired), *_odd(tree)]
    if not lines:
        lines = [*_training_states(tree), *_pretrained(tree), *_other_tools(tree)]
    return lines[:_MOST_LINES]


def _unpaired(groups: Sequence[Group]) -> Iterator[str]:
    for group in groups:
        path, experiment = group.newest.path, group.newest.name.experiment
        is_gpt = path.suffix.lower() == GPT_SUFFIX
        try:
            identify_gpt(path) if is_gpt else identify_sovits(path)
        except CheckpointError as error:
            yield str(error)
            continue
        other, name = ("SoVITS", f"{experiment}_e*_s*.pth") if is_gpt else ("GPT", f"{experiment}-e*.ckpt")
        option = "--sovits" if is_gpt else "--gpt"
        yield f"{path}: no {other} goes with it; put {name} beside it, or name the file with {option}"


def _odd(tree: Tree) -> Iterator[str]:
    for path in tree.odd:
        if path.name.lower().endswith(SPEAKER_PACKAGE):
            yield f"{path}: {IS_SPEAKER_PACKAGE}"
        elif path.name.lower().endswith(FOREIGN_SUFFIXES):
            yield f"{path}: cannot be unpacked here; unpack it, and give the folder"
        elif any(suffix in path.name.lower() for suffix in WEIGHT_SUFFIXES):
            size = path.stat().st_size
            yield f"{path}: is a download that was not finished ({size} bytes so far); download it again"


def _training_states(tree: Tree) -> Iterator[str]:
    for path in tree.with_suffix(SOVITS_SUFFIX):
        if is_training_state(path):
            yield (
                f"{path}: is a state to resume training from; its result lies in a SoVITS_weights folder once an epoch "
                "was saved"
            )


def _pretrained(tree: Tree) -> Iterator[str]:
    found = [path for path in tree.with_suffix(*WEIGHT_SUFFIXES) if not is_voice_file(tree, path)]
    found = [path for path in found if not is_training_state(path)]
    if found:
        yield (
            f"{found[0]}: is one of {len(found)} pretrained models, and no trained voice lies beside them; to build "
            "the pretrained voice itself, name its two files with --gpt and --sovits"
        )


def _other_tools(tree: Tree) -> Iterator[str]:
    for suffix, what in (
        (".onnx", "ONNX graphs"),
        (".gguf", "GGUF files"),
        (".safetensors", "safetensors files"),
    ):
        found: Path | None = next(iter(sorted(tree.root.rglob(f"*{suffix}"))), None)
        if found is not None:
            yield f"{found}: {tree.root} holds {what} of another tool; take the .ckpt and .pth that they were made of"
