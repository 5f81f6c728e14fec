"""Recordings that can be a voice's reference, with what is said in them: every way in which packs say that.

X.wav + X.txt, X.lab or X.json            the transcript beside the recording
<what is said>.wav                        the file's name is the transcript
【happy】<what is said>.wav                with an emotion
infer_config.json, voice.json             a config names recordings, transcripts and emotions; there the
                                          emotion may stand before the transcript: happy—<what is said>.wav
prompt_wav.json + prompt_wav/             of a Genie voice
*.list                                    annotation lists: wav|speaker|LANG|text
logs/<experiment>/                        the training clips, with 2-name2text.txt
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sovits_exporter.folders.configs import (
    language_of,
    last_part,
    names_to_text,
    read_list,
    read_object,
    read_words,
)
from sovits_exporter.folders.names import AUDIO_SUFFIXES
from sovits_exporter.folders.scan import CLIPS, NAMES_TO_TEXT, Tree

_BRACKETED = re.compile(r"[【\[](?P<emotion>[^】\]]{1,32})[】\]]\s*(?P<text>.*)", re.DOTALL)
_DASHES = " —–-_"
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+(?:'[a-z]+)?")
_FEWEST_CHARACTERS, _FEWEST_WORDS = 4, 4
NEUTRAL = {"默认", "default", "normal", "neutral", "平静", "中立", ""}
"""Names of the emotion that speaks when none is named."""


@dataclass(frozen=True)
class Clip:
    """A recording and what is said in it.

    Attributes:
        path: The recording.
        text: What is said.
        language: Of the text; "" where nothing says it, so that its script decides.
        emotion: What it is called in its pack; "" for no name.
        told_by: What says what is said.
    """

    path: Path
    text: str
    language: str = ""
    emotion: str = ""
    told_by: str = ""


def pack_clips(tree: Tree, home: Path, experiment: str, *, alone: bool) -> list[Clip]:
    """The clips of a voice in its pack.

    Args:
        tree: What lies in the pack.
        home: The folder that holds the voice's weights.
        experiment: Name of its experiment.
        alone: Whether it is the only voice there; else only what is called like it counts.
    """
    found: dict[Path, Clip] = {}
    recordings = [path for path in tree.with_suffix(*AUDIO_SUFFIXES, under=home)]
    if not alone:
        recordings = [path for path in recordings if _belongs(path, experiment)]
    for clip in (*_configured(tree, home), *_annotated(tree, home, recordings)):
        if alone or clip.path in recordings:
            found.setdefault(clip.path, clip)
    for path in recordings:
        if path not in found and (own := _by_itself(path, home, experiment)) is not None:
            found[path] = own
    return list(found.values())


def training_clips(installation: Path, experiment: str) -> list[Clip]:
    """The clips that an experiment was trained on, in an installed GPT-SoVITS."""
    folder = installation / "logs" / experiment
    said = names_to_text(folder / NAMES_TO_TEXT)
    lists = {line.wav: line for path in _lists(installation) for line in read_list(path)}
    clips = []
    for name, text in said.items():
        path = folder / CLIPS / last_part(name)
        line = lists.get(last_part(name))
        if path.is_file():
            clips.append(
                Clip(
                    path, line.text if line else text, line.language if line else "", "", f"logs/{experiment}"
                )
            )
    return clips


def listed_clips(installation: Path, experiment: str) -> list[Clip]:
    """Clips of annotation lists in an installed GPT-SoVITS whose speaker, or name, is that of an experiment."""
    clips = []
    for path in _lists(installation):
        for line in read_list(path):
            if experiment.casefold() not in (line.speaker.casefold(), path.stem.casefold()):
                continue
            places = (installation / "output" / "slicer_opt", path.parent)
            wav = next((place / line.wav for place in places if (place / line.wav).is_file()), None)
            if wav is not None:
                clips.append(Clip(wav, line.text, line.language, "", path.name))
    return clips


def _lists(installation: Path) -> list[Path]:
    folder = installation / "output" / "asr_opt"
    return sorted(folder.glob("*.list")) if folder.is_dir() else []


def _belongs(path: Path, experiment: str) -> bool:
    stem, name = path.stem.casefold(), experiment.casefold()
    return stem == name or stem.startswith((f"{name}_", f"{name}-"))


def _by_itself(path: Path, home: Path, experiment: str) -> Clip | None:
    """The clip of a recording that has its transcript beside it, or as its name."""
    language = next((found for part in path.relative_to(home).parts[:-1] if (found := language_of(part))), "")
    emotion, stem = _emotion_and_text(path.stem)
    for beside in (
        path.with_name(name + suffix) for suffix in (".txt", ".lab") for name in {path.stem, stem}
    ):
        words = read_words(beside) if beside.is_file() else None
        if words and words.strip():
            return Clip(path, words.strip().splitlines()[0].strip(), language, emotion, beside.name)
    noted = read_object(path.with_suffix(".json")) if path.with_suffix(".json").is_file() else {}
    words = noted.get("text")
    if isinstance(words, str) and words.strip():
        return Clip(path, words.strip(), language_of(noted.get("language", "")), emotion, f"{path.stem}.json")
    if stem.casefold().startswith(f"{experiment.casefold()}_"):
        stem = stem[len(experiment) + 1 :]
    if is_sentence(stem):
        return Clip(path, stem, language, emotion, "its name")
    return None


def _emotion_and_text(stem: str) -> tuple[str, str]:
    if found := _BRACKETED.fullmatch(stem):
        return found["emotion"].strip(), found["text"].strip()
    return "", stem.strip()


def is_sentence(words: str) -> bool:
    """Whether the name of a recording reads like something that is said, and not like a file's name."""
    if len(_CJK.findall(words)) >= _FEWEST_CHARACTERS:
        return True
    return " " in words.strip() and len(_WORD.findall(words)) >= _FEWEST_WORDS


def _annotated(tree: Tree, home: Path, recordings: Iterable[Path]) -> Iterator[Clip]:
    by_name: dict[str, Path] = {}
    for path in recordings:
        by_name.setdefault(path.name, path)
    for path in tree.with_suffix(".list", under=home):
        for line in read_list(path):
            if wav := by_name.get(line.wav):
                yield Clip(wav, line.text, line.language, "", path.name)


def _configured(tree: Tree, home: Path) -> Iterator[Clip]:
    """Clips that a config names, with the emotions that it gives them."""
    for path in tree.named("infer_config.json", under=home):
        emotions = read_object(path).get("emotion_list")
        for name, said in emotions.items() if isinstance(emotions, dict) else ():
            if isinstance(said, dict):
                yield from _told(
                    path,
                    said.get("ref_wav_path"),
                    said.get("prompt_text"),
                    said.get("prompt_language"),
                    str(name),
                )
    for path in tree.named("voice.json", under=home):
        said = read_object(path)
        yield from _told(path, said.get("reference_audio"), said.get("reference_text"), said.get("language"))
    for path in tree.named("prompt_wav.json", under=home):
        for name, said in read_object(path).items():
            if isinstance(said, dict):
                clips = _told(path, said.get("wav"), said.get("text"), "", str(name))
                folder = path.parent / "prompt_wav"
                yield from (_or_in(clip, folder) for clip in clips)


def _or_in(clip: Clip, folder: Path) -> Clip:
    inside = folder / clip.path.name
    return replace(clip, path=inside) if inside.is_file() else clip


def _told(config: Path, wav: object, text: object, language: object, emotion: str = "") -> Iterator[Clip]:
    """The clip that a config names, where its file is there: below the config, whatever path another computer wrote."""
    if not isinstance(wav, str) or not wav.strip():
        return
    name = last_part(wav)
    places = [
        config.parent / Path(wav.replace("\\", "/")),
        config.parent / name,
        config.parent / "prompt_wav" / name,
    ]
    found = next((place for place in places if _inside(place, config.parent) and place.is_file()), None)
    words = text if isinstance(text, str) and text.strip() else _without(emotion, Path(name).stem)
    if found is not None and words.strip():
        yield Clip(found, words.strip(), language_of(language), emotion.strip(), config.name)


def _without(emotion: str, stem: str) -> str:
    """The transcript in a file's name, less the emotion before it."""
    text = _emotion_and_text(stem)[1]
    return text[len(emotion) :].lstrip(_DASHES) if emotion and text.startswith(emotion) else text


def _inside(place: Path, folder: Path) -> bool:
    """Whether a path of a config stays in its pack; one that leads out would put a stranger's choice into a bundle."""
    return place.resolve().is_relative_to(folder.resolve())


def by_emotion(clips: Iterable[Clip]) -> Mapping[str, list[Clip]]:
    """The clips of each emotion; those of none, or of a neutral one, under ""."""
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        found.setdefault("" if clip.emotion.lower() in NEUTRAL else clip.emotion, []).append(clip)
    return found
