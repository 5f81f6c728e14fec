"""What a folder or an archive holds that a voice can be built of: the whole search, and its result as data.

`find_voices` decides nothing that it does not say: every choice has its reason, and what is missing its remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sovits_exporter.building.pretrained_tree import BASES, PretrainedFiles, fetch_line, find_pretrained
from sovits_exporter.building.request import BuildRequest
from sovits_exporter.checkpoint.official import identify_gpt, identify_sovits
from sovits_exporter.folders.clip_choice import Choice, best_clip
from sovits_exporter.folders.clips import Clip, by_emotion, listed_clips, pack_clips, training_clips
from sovits_exporter.folders.named_pairs import NamedPair, named_pairs
from sovits_exporter.folders.names import GPT_SUFFIX, SOVITS_SUFFIX, WeightName, root_version, weight_name
from sovits_exporter.folders.pairs import Group, Pair, Weight, find_pairs
from sovits_exporter.folders.scan import Tree
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.bundle.stored_references import DEFAULT
from sovits_runtime.errors import CheckpointError
from sovits_runtime.machine.data_folder import fetched_pretrained

_MOST_EMOTIONS = 24
_HINT_DEPTH = 5
"""How many folders around a file may state its version."""


@dataclass(frozen=True, kw_only=True)
class FoundVoice:
    """A voice that can be built, or nearly.

    Attributes:
        name: What it is called.
        pair: Its GPT and SoVITS.
        home: The folder that is its own, or the installation that it lies in.
        version: Its model version; "" where the file cannot be read.
        is_lora: Whether it is a LoRA fine-tune.
        version_told_by: How the version was found.
        parts: What the version needs besides, by field of `BuildRequest`.
        references: Name -> the clip chosen for it; the first speaks when none is named.
        notes: What is worth knowing.
        missing: What keeps it from being built, with the remedy, a line each.
    """

    name: str
    pair: Pair
    home: Path
    version: str = ""
    is_lora: bool = False
    version_told_by: str = ""
    parts: Mapping[str, Path]
    references: Mapping[str, Choice]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What the user says of a search.

    Attributes:
        pretrained: The folder of pretrained models.
        version: Of every voice.
        wants_references: Whether to look for reference clips.
        given: Fields of `BuildRequest` that the user gave; they are not looked for.
        gpt: The GPT to take, whatever lies in the folder.
        sovits: The SoVITS to take.
    """

    pretrained: Path | None = None
    version: str | None = None
    wants_references: bool = True
    given: Mapping[str, Path]
    gpt: Path | None = None
    sovits: Path | None = None


def find_voices(tree: Tree, options: SearchOptions) -> tuple[list[FoundVoice], list[Group]]:
    """Searches a folder.

    Args:
        tree: What lies in it.
        options: What the user says.

    Returns:
        The voices in the order of their names, and weights that nothing goes with.

    Raises:
        CheckpointError: A file that the user gave is not there, or goes with several voices.
    """
    named = named_pairs(tree)
    pairs, unpaired = find_pairs(tree, [entry.pair for entry in named])
    if options.gpt or options.sovits:
        pairs, unpaired = _as_given(pairs, unpaired, options), []
    extra = {id(entry.pair): entry for entry in named}
    search = _Search(tree, options, pairs)
    voices = [search.voice(pair, extra.get(id(pair))) for pair in pairs]
    return sorted(_named_apart(voices), key=lambda voice: voice.name), unpaired


def _as_given(pairs: Sequence[Pair], unpaired: Sequence[Group], options: SearchOptions) -> list[Pair]:
    """The pair of the files that the user gave; the one that was not given is looked for."""
    groups: dict[str, list[Group]] = {"gpt": [], "sovits": []}
    for kind, suffix in (("gpt", GPT_SUFFIX), ("sovits", SOVITS_SUFFIX)):
        path: Path | None = getattr(options, kind)
        known = [getattr(pair, kind) for pair in pairs] + [
            group for group in unpaired if group.newest.path.suffix.lower() == suffix
        ]
        groups[kind] = known if path is None else [Group((Weight(path, weight_name(path)),))]
    if options.gpt is None:
        key = groups["sovits"][0].key
        groups["gpt"] = [group for group in groups["gpt"] if group.key == key] or groups["gpt"]
    for kind, found in groups.items():
        if len({group.newest.path for group in found}) != 1:
            raise CheckpointError(
                f"--{'sovits' if kind == 'gpt' else 'gpt'} goes with {len(found)} files here; give --{kind} too"
            )
    return [Pair(groups["gpt"][0], groups["sovits"][0], "as given")]


def _named_apart(voices: Sequence[FoundVoice]) -> list[FoundVoice]:
    """Gives voices of one name their version, and then a number."""
    names = [voice.name for voice in voices]
    told = [
        replace(v, name=f"{v.name}-{v.version}") if names.count(v.name) > 1 and v.version else v
        for v in voices
    ]
    seen: dict[str, int] = {}
    result = []
    for voice in told:
        count = seen[voice.name] = seen.get(voice.name, 0) + 1
        result.append(replace(voice, name=f"{voice.name}-{count}") if count > 1 else voice)
    return result


class _Search:
    """Completes the pairs of one tree."""

    def __init__(self, tree: Tree, options: SearchOptions, pairs: Sequence[Pair]) -> None:
        self.tree = tree
        self.options = options
        self.pairs = pairs

    def voice(self, pair: Pair, named: NamedPair | None) -> FoundVoice:
        """Finds out all about a pair."""
        found = FoundVoice(name=self._name(pair), pair=pair, home=self._home(pair), parts={}, references={})
        try:
            found = self._identified(found)
        except CheckpointError as error:
            return replace(found, missing=(str(error),))
        found = self._with_parts(found)
        return self._with_references(found, named) if self.options.wants_references else found

    def _name(self, pair: Pair) -> str:
        """What to call it: as a config does, like its experiment, or like its folder where its files have no name."""
        sovits = pair.sovits.newest.name
        if pair.name or not sovits.is_generic:
            return pair.name or sovits.experiment
        around = (folder.name for folder in (pair.home.absolute(), *pair.home.absolute().parents))
        return next((name for name in around if name and not WeightName(name).is_generic), sovits.experiment)

    def _home(self, pair: Pair) -> Path:
        return self.tree.installation_of(pair.sovits.newest.path) or pair.home

    def _identified(self, voice: FoundVoice) -> FoundVoice:
        """Adds the version, by the file's content; where that leaves it open, by the folder's name.

        Raises:
            CheckpointError: One of the files cannot be used.
        """
        sovits, gpt = voice.pair.sovits.newest.path, voice.pair.gpt.newest.path
        hint, told_by = self._hint(sovits), "its content"
        try:
            version, is_lora = identify_sovits(sovits, version=self.options.version)
        except CheckpointError:
            if hint is None or self.options.version is not None:
                raise
            version, is_lora = self._by_hint(sovits, hint)
            told_by = f"its folder ({hint}); its content leaves it open"
        rows, symbols = identify_gpt(gpt), model_spec(version).n_symbols
        if rows < symbols:
            raise CheckpointError(
                f"{gpt}: knows {rows} phones, expected {symbols} as {sovits.name} ({version}) has; give the GPT of the "
                "same version with --gpt"
            )
        notes: tuple[str, ...] = ()
        if voice.pair.sovits.newest.root not in (None, version):
            notes = (f"lies in a folder of {hint}, and is a {version} model",)
        return replace(voice, version=version, is_lora=is_lora, version_told_by=told_by, notes=notes)

    def _by_hint(self, sovits: Path, hint: str) -> tuple[str, bool]:
        """Takes the version of a folder's name; where that cannot be, says what the content leaves open."""
        try:
            return identify_sovits(sovits, version=hint)
        except CheckpointError:
            return identify_sovits(sovits)

    def _hint(self, path: Path) -> str | None:
        """The version that the nearest folder around a file states in its name."""
        around = path.absolute().parts[-_HINT_DEPTH:-1]
        return next((version for part in reversed(around) if (version := root_version(part))), None)

    def _with_parts(self, voice: FoundVoice) -> FoundVoice:
        request = BuildRequest(
            gpt=voice.pair.gpt.newest.path,
            sovits=voice.pair.sovits.newest.path,
            output=Path("voice"),
            version=voice.version,
        )
        given: dict[str, Any] = dict(self.options.given)
        if voice.is_lora and "base" not in given and (base := self._base(voice.version)):
            given["base"] = base
        folder = self._pretrained(voice)
        try:
            if folder is None:
                raise CheckpointError(
                    f"no folder of pretrained models was found, which a {voice.version} voice needs; give --pretrained "
                    "FOLDER, GPT-SoVITS's GPT_SoVITS/pretrained_models, or fetch what it needs: "
                    f"{fetch_line(voice.version)}"
                )
            found: PretrainedFiles = find_pretrained(folder, replace(request, **given))
        except CheckpointError as error:
            return replace(voice, parts=given, missing=(*voice.missing, str(error)))
        return replace(voice, parts={**given, **found.paths}, notes=(*voice.notes, *found.missing))

    def _base(self, version: str) -> Path | None:
        """The base of a LoRA where it lies in the pack itself."""
        names = {Path(place).name.lower() for place in BASES[version].places} if version in BASES else set()
        pretrained = self.tree.with_suffix(".pth")
        return next((path for path in pretrained if path.name.lower() in names), None)

    def _pretrained(self, voice: FoundVoice) -> Path | None:
        """The folder of pretrained models: the user's, the installation's, any in the tree, or what was fetched."""
        if self.options.pretrained is not None:
            return self.options.pretrained
        places = [voice.home, *voice.home.parents]
        inside = [place / "GPT_SoVITS" / "pretrained_models" for place in places]
        beside = [folder for folder in self.tree.folders if folder.name == "pretrained_models"]
        holding = [path for path in self.tree.folders if (path / "chinese-hubert-base").is_dir()]
        return next(
            (place for place in (*inside, *beside, *holding, fetched_pretrained()) if place.is_dir()), None
        )

    def _with_references(self, voice: FoundVoice, named: NamedPair | None) -> FoundVoice:
        clips = self._clips(voice, named)
        chosen: dict[str, Choice] = {}
        refused: list[str] = []
        for emotion, group in list(by_emotion(clips).items())[:_MOST_EMOTIONS]:
            best, problems = best_clip(group)
            refused += problems
            if best is not None:
                chosen[emotion or DEFAULT] = best
        ordered = dict(sorted(chosen.items(), key=lambda entry: entry[0] != DEFAULT))
        if ordered:
            return replace(voice, references=ordered)
        return replace(voice, notes=(*voice.notes, _no_reference(clips, refused)))

    def _clips(self, voice: FoundVoice, named: NamedPair | None) -> Sequence[Clip]:
        experiment = voice.pair.sovits.newest.name.experiment
        if named is not None and named.clips:
            return named.clips
        installation = self.tree.installation_of(voice.pair.sovits.newest.path)
        if installation is not None and voice.home == installation:
            return training_clips(installation, experiment) or listed_clips(installation, experiment)
        neighbours = [
            pair for pair in self.pairs if pair is not voice.pair and pair.home.is_relative_to(voice.home)
        ]
        clips = pack_clips(self.tree, voice.home, experiment, alone=not neighbours)
        if not clips and voice.name != experiment:
            clips = pack_clips(self.tree, voice.home, voice.name, alone=not neighbours)
        return clips


def _no_reference(clips: Sequence[Clip], refused: Sequence[str]) -> str:
    remedy = "give one with --ref FILE --ref-text TEXT, or speak with --ref each time"
    if refused:
        return f"none of {len(clips)} recordings can be its reference ({refused[0]}); {remedy}"
    return f"no recording with its transcript was found; {remedy}"
