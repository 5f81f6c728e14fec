"""Pairs that a config names: of packs, of role folders, and of GPT-SoVITS itself, which notes what it served last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sovits_exporter.folders.clips import Clip, is_sentence
from sovits_exporter.folders.configs import language_of, last_part, read_object, served_pair
from sovits_exporter.folders.names import AUDIO_SUFFIXES, GPT_SUFFIX, SOVITS_SUFFIX, weight_name
from sovits_exporter.folders.pairs import Group, Pair, Weight, is_voice_file
from sovits_exporter.folders.scan import Tree

SERVED = "tts_infer.yaml"
_OWN_CONFIGS = {SERVED, "train.yaml"}


@dataclass(frozen=True)
class NamedPair:
    """A pair that a config names, with the clips that go with it.

    Attributes:
        pair: The pair.
        clips: Recordings that lie beside the config and are called like the voice.
    """

    pair: Pair
    clips: tuple[Clip, ...] = ()


def named_pairs(tree: Tree) -> list[NamedPair]:
    """Every pair that a config of a pack or of a role names, and whose two files are there."""
    found: dict[tuple[Path, Path], NamedPair] = {}
    for named in (*_of_packs(tree), *_of_roles(tree)):
        key = named.pair.gpt.newest.path, named.pair.sovits.newest.path
        found.setdefault(key, named)
    return list(found.values())


def served_last(tree: Tree, installation: Path) -> set[str]:
    """Names of the weights that GPT-SoVITS served or chose last in an installation."""
    names = {
        last_part(value)
        for kind in read_object(installation / "weight.json").values()
        if isinstance(kind, Mapping)
        for values in kind.values()
        for value in (values if isinstance(values, list) else [values])
    }
    pair = served_pair(installation / "GPT_SoVITS" / "configs" / SERVED)
    return {*names, *(pair or ())}


def _of_packs(tree: Tree) -> Iterator[NamedPair]:
    for path in tree.named("infer_config.json"):
        config = read_object(path)
        pair = _pair(tree, path, config.get("gpt_path"), config.get("sovits_path"), None)
        if pair is not None:
            yield NamedPair(pair)
    for path in tree.named("models.json"):
        for name, said in read_object(path).items():
            if not isinstance(said, Mapping):
                continue
            pair = _pair(tree, path, said.get("gpt"), said.get("sovits"), name)
            if pair is not None:
                yield NamedPair(
                    pair, tuple(_called(tree, path.parent, name, language_of(said.get("prompt_lang"))))
                )


def _of_roles(tree: Tree) -> Iterator[NamedPair]:
    """Role folders hold a `tts_infer.yaml` each; other programs keep `configs/<role>.yaml` in an installation."""
    for path in tree.with_suffix(".yaml", ".yml"):
        in_installation = tree.installation_of(path) is not None
        if in_installation and (path.name in _OWN_CONFIGS or path.parent.name != "configs"):
            continue
        names = served_pair(path)
        if names is None:
            continue
        name = path.parent.name if path.name == SERVED else path.stem
        pair = _pair(tree, path, *names, name)
        if pair is not None:
            clips = _called(tree, path.parent, name, "") if in_installation else ()
            yield NamedPair(pair, tuple(clips))


def _pair(tree: Tree, config: Path, gpt: object, sovits: object, name: str | None) -> Pair | None:
    files = [
        _named_file(tree, config, value, suffix)
        for value, suffix in ((gpt, GPT_SUFFIX), (sovits, SOVITS_SUFFIX))
    ]
    if None in files:
        return None
    groups = [Group((Weight(path, weight_name(path)),)) for path in files if path is not None]
    return Pair(groups[0], groups[1], f"named by {config.relative_to(tree.root)}", name)


def _named_file(tree: Tree, config: Path, value: object, suffix: str) -> Path | None:
    """The file that a config means: below the config, else anywhere in the tree."""
    if not isinstance(value, str) or not value.strip():
        return None
    name = last_part(value)
    for under in (config.parent, tree.root):
        for path in tree.with_suffix(suffix, under=under):
            if path.name == name and is_voice_file(tree, path):
                return path
    return None


def _called(tree: Tree, folder: Path, name: str, language: str) -> Iterator[Clip]:
    """Recordings called `NAME_what is said`, or `NAME` with a text file beside them."""
    for path in tree.with_suffix(*AUDIO_SUFFIXES, under=folder):
        words = path.with_suffix(".txt")
        if path.stem.startswith(f"{name}_") and is_sentence(path.stem[len(name) + 1 :]):
            yield Clip(path, path.stem[len(name) + 1 :], language, "", "its name")
        elif path.stem == name and words.is_file():
            text = words.read_text(encoding="utf-8", errors="replace").strip()
            if text:
                yield Clip(path, text.splitlines()[0], language, "", words.name)
