"""What the names of GPT-SoVITS's files and folders say.

Source: GPT-SoVITS, config.py and process_ckpt.py, for the names of weights and of their folders.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from sovits_runtime.bundle.model_spec import MODEL_SPECS

AUDIO_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a")
TEXT_SUFFIXES = (".txt", ".lab", ".json", ".yaml", ".yml", ".list", ".tsv")
GPT_SUFFIX, SOVITS_SUFFIX = ".ckpt", ".pth"
WEIGHT_SUFFIXES = (GPT_SUFFIX, SOVITS_SUFFIX)
_GPT = re.compile(r"(?P<name>.+)[-_]e(?P<epoch>\d+)(?:[-_]s\d+)?", re.IGNORECASE | re.DOTALL)
_SOVITS = re.compile(
    r"(?P<name>.+)[-_]e(?P<epoch>\d+)(?:_s(?P<step>\d+))?(?:_l(?P<rank>\d+))?", re.IGNORECASE | re.DOTALL
)
_COPY = re.compile(r"(?: ?\(\d+\)| - (?:Copy|副本)(?: \(\d+\))?)$")
_ROOT = re.compile(r"(?:GPT|SoVITS)_weights(?:_(?P<version>\w+))?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_GENERIC = {"gpt", "sovits", "model", "final", "voice", "checkpoint", "s1", "s2", "t2s", "vits"}
_VERSIONS = {version.lower(): version for version in MODEL_SPECS}


@dataclass(frozen=True)
class WeightName:
    """What the name of a weight file says.

    Attributes:
        experiment: Name of the experiment that it was trained in; where the name follows no habit, all of it.
        epoch: Of training; -1 where it is not said.
        step: Of training; -1 where it is not said.
        rank: Of a LoRA fine-tune.
    """

    experiment: str
    epoch: int = -1
    step: int = -1
    rank: int | None = None

    @property
    def key(self) -> str:
        """By which GPT and SoVITS of one experiment are known; systems differ in case and in how they write accents."""
        return unicodedata.normalize("NFC", self.experiment).casefold()

    @property
    def is_generic(self) -> bool:
        """Whether it says what the file is, and not whose voice."""
        return self.key in _GENERIC


def weight_name(path: Path) -> WeightName:
    """Reads the name of a `.ckpt` or `.pth`."""
    stem = _COPY.sub("", path.stem)
    is_gpt = path.suffix.lower() == GPT_SUFFIX
    found = (_GPT if is_gpt else _SOVITS).fullmatch(stem)
    if found is None:
        return WeightName(stem)
    parts = found.groupdict()
    step, rank = parts.get("step"), parts.get("rank")
    return WeightName(
        parts["name"], int(parts["epoch"]), int(step) if step else -1, int(rank) if rank else None
    )


def is_weight_root(folder: str) -> bool:
    """Whether a folder's name is that of a weight root, such as `SoVITS_weights_v4`."""
    return _ROOT.fullmatch(folder) is not None


def root_version(folder: str) -> str | None:
    """The version that the name of a weight root, or of a pack's folder, states; `GPT_weights` is that of v1."""
    found = _ROOT.fullmatch(folder)
    if found is None:
        return _VERSIONS.get(folder.lower())
    return _VERSIONS.get((found["version"] or "v1").lower())


def folder_name(name: str) -> str:
    """A name under which a bundle can be written on any system; its script and its spaces stay."""
    clean = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).strip().rstrip(".")
    return clean or "voice"
