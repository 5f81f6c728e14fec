"""Shows what `build --from` found: what a voice is made of, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sovits_runtime.errors import printable

if TYPE_CHECKING:
    from sovits_exporter.building.request import ReferenceRequest
    from sovits_exporter.folders.clip_choice import Choice
    from sovits_exporter.folders.pairs import Group
    from sovits_exporter.folders.voices import FoundVoice


def show_voice(voice: FoundVoice, given: Sequence[ReferenceRequest], *, missing: bool) -> None:
    """Prints what a voice is made of, and why.

    Args:
        voice: The voice.
        given: Recordings that the user gave in place of found ones.
        missing: Whether to print what keeps it from being built; else that will be an error.
    """
    kind = f"{voice.version}{' LoRA' if voice.is_lora else ''}" if voice.version else "cannot be read"
    click.echo(f"voice {printable(voice.name)} ({kind})")
    rows = [("GPT", *_weight_row(voice, "gpt")), ("SoVITS", *_weight_row(voice, "sovits"))]
    rows += [(part, str(path), "") for part, path in voice.parts.items()]
    rows += [("reference", *_reference_row(name, choice)) for name, choice in voice.references.items()]
    rows += [("reference", str(r.recording), "as given") for r in given]
    if folder := g2pw_folder(voice):
        rows.append(("G2PW", str(folder), _why_g2pw()))
    for what, path, why in rows:
        click.echo(f"  {what:<9} {printable(path)}" + (f"\n            {printable(why)}" if why else ""))
    for note in voice.notes:
        click.secho(f"  note: {printable(note)}", fg="yellow", err=True)
    for line in voice.missing if missing else ():
        click.secho(f"  missing: {printable(line)}", fg="red", err=True)


def _weight_row(voice: FoundVoice, kind: str) -> tuple[str, str]:
    group: Group = getattr(voice.pair, kind)
    epoch, count = group.newest.name.epoch, len(group.weights)
    newest = f"epoch {epoch}" if epoch >= 0 else "no epoch in its name"
    why = f"{newest}, the newest of {count}" if count > 1 else newest
    if kind == "gpt":
        return str(group.newest.path), f"{why}; with this SoVITS: {voice.pair.why}"
    told = f"; {voice.version} by {voice.version_told_by}" if voice.version else ""
    return str(group.newest.path), why + told


def _reference_row(name: str, choice: Choice) -> tuple[str, str]:
    clip, quality = choice.clip, choice.part.quality
    best = f", the best of {choice.of}" if choice.of > 1 else ""
    notes = "".join(f", {note}" for note in choice.part.notes)
    why = (
        f"{name}: {quality.duration_s:.1f} s, speech {quality.above_noise_db:.0f} dB above noise{best}{notes}; says, "
        f"by {clip.told_by}, in {choice.language}: {clip.text}"
    )
    return str(clip.path), why


def g2pw_folder(voice: FoundVoice) -> Path | None:
    """The polyphone model of an installation, where the version speaks Mandarin by one."""
    from sovits_exporter.fetching.g2pw import g2pw_in
    from sovits_runtime.bundle.model_spec import MODEL_SPECS

    spec = MODEL_SPECS.get(voice.version)
    return g2pw_in(voice.home) if spec is not None and spec.symbols != "v1" else None


def _why_g2pw() -> str:
    from sovits_runtime.text.g2pw_place import chosen_folder

    there = chosen_folder()
    if there is not None:
        return f"reads Mandarin polyphones; {there} does so already"
    return "reads Mandarin polyphones; a build links it to where every voice finds it"


def voice_json(voice: FoundVoice) -> dict[str, Any]:
    """Returns a voice that was found as JSON values."""
    return {
        "name": voice.name,
        "version": voice.version,
        "lora": voice.is_lora,
        "gpt": str(voice.pair.gpt.newest.path),
        "sovits": str(voice.pair.sovits.newest.path),
        "paired_by": voice.pair.why,
        "version_by": voice.version_told_by,
        "parts": {part: str(path) for part, path in voice.parts.items()},
        "references": {
            name: {
                "recording": str(choice.clip.path),
                "text": choice.clip.text,
                "language": choice.language,
                "seconds": choice.part.quality.duration_s,
                "of": choice.of,
            }
            for name, choice in voice.references.items()
        },
        "g2pw": str(g2pw_folder(voice) or ""),
        "notes": list(voice.notes),
        "missing": list(voice.missing),
    }
