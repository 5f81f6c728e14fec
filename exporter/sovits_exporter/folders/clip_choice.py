"""The best of several clips: by level, noise, clipping, silence and length, and by whether its transcript fits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sovits_exporter.folders.clips import Clip
from sovits_runtime.audio import REFERENCE_MAX_S, REFERENCE_MIN_S
from sovits_runtime.audio.files import read_audio
from sovits_runtime.audio.quality import Part, best_part
from sovits_runtime.errors import AudioError
from sovits_runtime.text.host import likely_language

_MOST_LISTENED = 120
"""Of a training set, as many are measured, spread over all of it."""
_SYLLABLE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[A-Za-z\u00c0-\u024f]+")
_LETTERS_PER_SYLLABLE = 3.0
_SLOWEST, _FASTEST = 1.2, 11.0
"""Syllables a second of speech: beyond these a transcript is that of something else."""
_UNFIT = 25.0
"""Demerits of a transcript that cannot be right."""


@dataclass(frozen=True)
class Choice:
    """A clip that was chosen.

    Attributes:
        clip: The clip.
        part: What of it is used, and how good that is.
        language: Of what is said.
        of: How many there were to choose from.
    """

    clip: Clip
    part: Part
    language: str
    of: int


def best_clip(clips: Sequence[Clip]) -> tuple[Choice | None, list[str]]:
    """Listens to clips and chooses one.

    Returns:
        The best one, if any can be used; and what is wrong with those that cannot, a line each.
    """
    heard: list[tuple[float, str, Choice]] = []
    refused: list[str] = []
    for clip in _spread(clips):
        try:
            part = _usable(clip)
        except AudioError as error:
            refused.append(str(error))
            continue
        choice = Choice(clip, part, clip.language or likely_language(clip.text), len(clips))
        heard.append((round(part.quality.demerits + _misfit(clip, part), 1), str(clip.path), choice))
    if not heard:
        return None, refused
    return min(heard, key=lambda entry: entry[:2])[2], refused


def _spread(clips: Sequence[Clip]) -> Iterable[Clip]:
    step = max(1, -(-len(clips) // _MOST_LISTENED))
    return clips[::step]


def _usable(clip: Clip) -> Part:
    """What of a clip can serve as a reference.

    Raises:
        AudioError: It cannot be read, is silent, or has no 3 to 10 s.
    """
    samples, rate = read_audio(clip.path)
    try:
        part = best_part(samples, rate, keep_words=True)
    except AudioError as error:
        raise AudioError(f"{clip.path}: {error}") from error
    if part.quality.duration_s > REFERENCE_MAX_S:
        raise AudioError(
            f"{clip.path}: got {part.quality.duration_s:.2f} s, expected {REFERENCE_MIN_S:g} to {REFERENCE_MAX_S:g} s; "
            "cut it, with its transcript"
        )
    return part


def _misfit(clip: Clip, part: Part) -> float:
    """Demerits of a transcript that is too long or too short for its recording."""
    spoken = sum(max(1.0, len(run) / _LETTERS_PER_SYLLABLE) for run in _SYLLABLE.findall(clip.text))
    rate = spoken / max(part.quality.duration_s, 0.1)
    return 0.0 if _SLOWEST <= rate <= _FASTEST else _UNFIT
