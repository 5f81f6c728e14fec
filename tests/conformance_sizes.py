"""With which sizes a golden file was recorded, and official files of these sizes.

`meta` of a golden file holds the configs: `s1_config`, `s2_config`, and for v3 to v5 `dit` and `vocoder`. Where one
is not there, `dims` must be tiny or full: the sizes of the demo files. A file that tells neither is refused by name.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sovits_exporter.checkpoint.layout import Layout, gpt_layout, sovits_layout
from sovits_exporter.checkpoint.lora import lora_layout
from sovits_exporter.checkpoint.version import LORA_HEADERS
from sovits_exporter.demo import writers
from sovits_exporter.demo.configs import Config, gpt_config, sovits_config, vocoder_config
from sovits_exporter.demo.weights import fill
from sovits_exporter.modeling.sizes import DEMO_DIT, HEAD_WIDTH, OFFICIAL_DIT, DitDims
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import MODEL_SPECS

Golden = dict[str, Array]
NAMED = {"tiny": True, "full": False}


class CannotReplayError(Exception):
    """A golden file does not say enough to be replayed, or is of something that cannot be built here."""


@dataclass(frozen=True)
class Sizes:
    """What a golden file was recorded with.

    Attributes:
        version: Model version.
        seed: Of the weights.
        gpt: Training config of the GPT.
        sovits: Training config of the decoder.
        dit: Sizes of the flow matching's transformer; None without one.
        vocoder: Config of the separate vocoder; None without one.
    """

    version: str
    seed: int
    gpt: Config
    sovits: Config
    dit: DitDims | None
    vocoder: Config | None


def load_golden(file: Path) -> Golden:
    """Reads a golden file.

    Raises:
        CannotReplayError: It is not there, or not an `.npz`.
    """
    try:
        with np.load(file, allow_pickle=False) as z:
            return {k: z[k] for k in z.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CannotReplayError(f"{file.name} cannot be read ({error})") from error


def meta_of(golden: Golden) -> dict[str, Any]:
    """What a golden file says of itself.

    Raises:
        CannotReplayError: It says nothing.
    """
    if "meta" not in golden:
        raise CannotReplayError("it has no meta, which says what was recorded")
    return dict(json.loads(golden["meta"].tobytes()))


def sizes_of(meta: Mapping[str, Any]) -> Sizes:
    """The sizes that a golden file names.

    Raises:
        CannotReplayError: Its version is not known here, or it does not name all sizes.
    """
    version, dims = meta["version"], meta.get("dims")
    if version not in MODEL_SPECS:
        raise CannotReplayError(f"version {version!r} is not known here; known: {', '.join(MODEL_SPECS)}")
    tiny = NAMED.get(dims)

    def need(key: str) -> None:
        if tiny is None and meta.get(key) is None:
            raise CannotReplayError(
                f"dims {dims!r}, and its meta has no {key}; expected that, or dims tiny or full"
            )

    flow = MODEL_SPECS[version].flow
    for key in ("s1_config", "s2_config", *(("dit", "vocoder") if flow else ())):
        need(key)
    return Sizes(
        version=version,
        seed=meta["seed"],
        gpt=meta.get("s1_config") or gpt_config(version, tiny=tiny is True),
        sovits=meta.get("s2_config") or sovits_config(version, tiny=tiny is True),
        dit=_dit(meta.get("dit"), tiny=tiny is True) if flow else None,
        vocoder=(meta.get("vocoder") or golden_vocoder_config(flow.vocoder, tiny=tiny is True))
        if flow
        else None,
    )


def _dit(recorded: Mapping[str, int] | None, *, tiny: bool) -> DitDims:
    if recorded is None:
        return DEMO_DIT if tiny else OFFICIAL_DIT
    width = recorded["dim"]
    if recorded["heads"] * HEAD_WIDTH != width:
        raise CannotReplayError(
            f"dit has {recorded['heads']} heads in {width} channels, expected heads of {HEAD_WIDTH}"
        )
    inner = width * recorded["ff_mult"]
    return DitDims(width, recorded["depth"], inner, recorded["text_dim"], recorded["conv_layers"])


def golden_vocoder_config(kind: str, *, tiny: bool) -> Config:
    """The vocoder that the goldens were made with: BigVGAN's tiny one is full-size but for its channels."""
    if kind == "bigvgan" and tiny:
        return {**vocoder_config(kind, tiny=False), "upsample_initial_channel": 128}
    return vocoder_config(kind, tiny=tiny)


def write_checkpoints(folder: Path, sizes: Sizes) -> tuple[Path, Path]:
    """Writes the golden's weights as official fine-tuned files."""
    files = folder / "gpt.ckpt", folder / "sovits.pth"
    layouts = gpt_layout(sizes.gpt), _sovits_layout(sizes)
    for file, layout, config in zip(files, layouts, (sizes.gpt, sizes.sovits), strict=True):
        torch.save({"weight": _weights(layout, sizes.seed), "config": config, "info": "golden"}, file)
    return files


def write_lora(path: Path, sizes: Sizes, *, rank: int, seed: int) -> None:
    """Writes the LoRA fine-tune that was recorded, as the trainer of v3 to v5 saves it.

    Args:
        path: The file.
        sizes: Those of its base.
        rank: Of its matrices.
        seed: Of its weights.
    """
    weight = _weights(lora_layout(_sovits_layout(sizes), rank), seed)
    writers.save_sovits(path, sizes.sovits, {"weight": weight, "info": "golden", "lora_rank": rank})
    with path.open("r+b") as f:
        f.write(LORA_HEADERS[sizes.version])


def write_vocoder(path: Path, sizes: Sizes) -> None:
    """Writes the separate vocoder of v3 to v5."""
    assert sizes.vocoder is not None
    writers.write_vocoder(path, sizes.vocoder, seed=sizes.seed, report=lambda *_: None)


def _sovits_layout(sizes: Sizes) -> Layout:
    return sovits_layout(sizes.sovits, sizes.version, sizes.dit or OFFICIAL_DIT)


def _weights(layout: Layout, seed: int) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(fill(name, shape, seed)).half() for name, shape in layout.items()}


def building(what: str, done: int, total: int) -> None:
    """Says on standard error how far a build is: those of full-size files take minutes."""
    print(f"  [{100 * done // max(total, 1):>3} %] {what}", file=sys.stderr, flush=True)
