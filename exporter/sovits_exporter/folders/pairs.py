"""Which GPT goes with which SoVITS: by what a config says, else by experiment, else because they are alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sovits_exporter.folders.names import (
    GPT_SUFFIX,
    SOVITS_SUFFIX,
    WeightName,
    is_weight_root,
    root_version,
    weight_name,
)
from sovits_exporter.folders.scan import PRETRAINED, Tree

_NOT_VOICES = {PRETRAINED, "tools", "logs", "BigVGAN"}
"""Folders of an installation whose weights are no voices."""
_PRETRAINED_NAMES = ("s1v3", "s1bert25hz", "s2g", "s2d", "s2v", "vocoder", "pretrained_eres2net", "bigvgan")
_TRAINING = re.compile(r"[GD]_\d+\.pth", re.IGNORECASE)
"""Names that training gives to the states that it resumes from."""


@dataclass(frozen=True)
class Weight:
    """A `.ckpt` or `.pth`.

    Attributes:
        path: Where it lies.
        name: What its name says.
    """

    path: Path
    name: WeightName

    @property
    def root(self) -> str | None:
        """The version that the weight root states in which it lies."""
        return root_version(self.path.parent.name) if is_weight_root(self.path.parent.name) else None

    @property
    def age(self) -> tuple[int, int, float]:
        """Epoch, step and time: the largest is the newest."""
        return self.name.epoch, self.name.step, self.path.stat().st_mtime


@dataclass(frozen=True)
class Group:
    """The weights of one experiment in one folder, newest first.

    Attributes:
        weights: All of them.
    """

    weights: tuple[Weight, ...]

    @property
    def newest(self) -> Weight:
        """The one with the highest epoch, as a number."""
        return self.weights[0]

    @property
    def key(self) -> str:
        """Of its experiment."""
        return self.newest.name.key

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.newest.path.parent

    @property
    def home(self) -> Path:
        """The folder that a pair's files lie in together: of a weight root, the folder around it."""
        return self.folder.parent if is_weight_root(self.folder.name) else self.folder


@dataclass(frozen=True)
class Pair:
    """A GPT and a SoVITS that go together.

    Attributes:
        gpt: The GPT's group; its newest is taken.
        sovits: The SoVITS's group; its newest is taken.
        why: Why these two go together.
        name: What a config calls the voice.
    """

    gpt: Group
    sovits: Group
    why: str
    name: str | None = None

    @property
    def home(self) -> Path:
        """The nearest folder around both."""
        return common_folder(self.gpt.home, self.sovits.home)


def weight_groups(tree: Tree, suffix: str) -> list[Group]:
    """The trained weights of a kind, one group an experiment and folder; pretrained models are left out."""
    groups: dict[tuple[Path, str], list[Weight]] = {}
    for path in tree.with_suffix(suffix):
        if not is_voice_file(tree, path):
            continue
        weight = Weight(path, weight_name(path))
        groups.setdefault((path.parent, weight.name.key), []).append(weight)
    newest_first = (sorted(group, key=lambda weight: weight.age, reverse=True) for group in groups.values())
    return [Group(tuple(group)) for group in newest_first]


def is_voice_file(tree: Tree, path: Path) -> bool:
    """Whether a weight file lies where trained voices lie, and is not called like a pretrained model."""
    inside = path.relative_to(tree.root).parts[:-1]
    if PRETRAINED in inside or is_training_state(path) or path.name.lower().startswith(_PRETRAINED_NAMES):
        return False
    installation = tree.installation_of(path)
    if installation is None:
        return True
    place = path.relative_to(installation).parts[:-1]
    return not place or not (place[0] in _NOT_VOICES or place[0] == "GPT_SoVITS")


def is_training_state(path: Path) -> bool:
    """Whether a file's name is that of a state to resume training from."""
    return _TRAINING.fullmatch(path.name) is not None


def find_pairs(tree: Tree, named: Iterable[Pair] = ()) -> tuple[list[Pair], list[Group]]:
    """Pairs the weights of a folder.

    Args:
        tree: What lies in it.
        named: Pairs that configs name; they come first, and their files are not paired again.

    Returns:
        The pairs, and the groups of either kind that nothing goes with.
    """
    pairs = list(named)
    taken = {group.folder / group.key for pair in pairs for group in (pair.gpt, pair.sovits)}
    gpts, all_sovits = weight_groups(tree, GPT_SUFFIX), weight_groups(tree, SOVITS_SUFFIX)
    left = []
    for sovits in all_sovits:
        if sovits.folder / sovits.key in taken:
            continue
        found = _partner(tree, sovits, gpts, all_sovits)
        if found is None:
            left.append(sovits)
        else:
            pairs.append(found)
    used = {group.folder / group.key for pair in pairs for group in (pair.gpt, pair.sovits)}
    return pairs, left + [gpt for gpt in gpts if gpt.folder / gpt.key not in used]


def _partner(tree: Tree, sovits: Group, gpts: Sequence[Group], others: Sequence[Group]) -> Pair | None:
    """Looks for the GPT of a SoVITS in ever larger folders around it."""
    for around in (sovits.home, *sovits.home.parents):
        if not around.is_relative_to(tree.root):
            return None
        near = [gpt for gpt in gpts if gpt.home.is_relative_to(around)]
        if same := [gpt for gpt in near if gpt.key == sovits.key]:
            return _same_experiment(sovits, same)
        rivals = [group for group in others if group.home.is_relative_to(around)]
        alone = len(near) == 1 and len(rivals) == 1
        if alone and around not in tree.installations:
            return Pair(near[0], sovits, "the only two in their folder")
    return None


def _same_experiment(sovits: Group, gpts: Sequence[Group]) -> Pair:
    """Of GPTs of the same experiment, the one in the root of the same version, else the newest."""
    version = sovits.newest.root
    in_root = [gpt for gpt in gpts if gpt.newest.root == version]
    gpt = max(in_root or gpts, key=lambda group: group.newest.age)
    why = "the same experiment"
    if not in_root and version is not None:
        why += f"; none in a root of {version}, so the newest of another"
    return Pair(gpt, sovits, why)


def common_folder(first: Path, second: Path) -> Path:
    """The nearest folder around two."""
    return next(folder for folder in (first, *first.parents) if second.is_relative_to(folder))
