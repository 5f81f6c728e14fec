"""`sovits-export voice`: profiles of voices, which a server reads from a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.options import AS_JSON, NEW_PATH, PATH, THREADS, takes
from sovits_exporter.cli.output import print_json
from sovits_exporter.cli.phone_file import one_phone_sentence
from sovits_exporter.cli.text_options import LANGUAGE_NAMES, LANGUAGES
from sovits_runtime.errors import printable

if TYPE_CHECKING:
    from sovits_runtime.audio import Audio
    from sovits_server.voices import Voice

SENTENCES = {
    "en": "This is how the voice sounds.",
    "zh": "这就是这个声音的样子。",
    "yue": "呢個就係呢把聲嘅樣。",
    "ja": "これがこの声です。",
    "ko": "이것이 이 목소리입니다.",
}
"""What `voice test` says, by language."""
VOICES = click.option(
    "--voices", type=NEW_PATH, default=Path("voices"), show_default=True, help="Folder of the voices."
)
NAME = click.argument("name")


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """What to add; the attributes are the options."""

    voices: Path
    name: str
    bundle: Path | None
    recording: Path | None
    ref_text: str | None
    ref_lang: str | None
    ref_phones: str | None
    emotion: str
    reference_name: str
    gain_db: float
    lang: str | None
    picture: Path | None


@click.group()
def voice() -> None:
    """Keep voices for a server: a bundle, recordings to sound like, and how it speaks."""


@voice.command()
@NAME
@VOICES
@click.option("--bundle", type=PATH, help="Folder of the exported voice; for a new name [the folder NAME].")
@click.option("--ref", "recording", type=PATH, help="Recording of any length; its best 3 to 10 s are kept.")
@click.option("--ref-text", help="What is said in it.")
@click.option(
    "--ref-lang", type=LANGUAGES, metavar="LANG", help=f"Language of --ref-text: {LANGUAGE_NAMES} [auto]."
)
@click.option(
    "--ref-phones", help="Phones of what is said, or a .json file that holds them, in place of text."
)
@click.option("--emotion", default="", help="What the recording sounds like, such as happy.")
@click.option("--as", "reference_name", default="", help="Name of the recording [the emotion, or default].")
@click.option("--gain-db", default=0.0, show_default=True, help="How much louder speech becomes with it.")
@click.option("--lang", type=LANGUAGES, metavar="LANG", help="Language of text whose language nobody says.")
@click.option("--picture", type=PATH, help="Image of a new voice.")
@takes(AddOptions)
def add(options: AddOptions) -> None:
    """Add the voice NAME, or another recording to it."""
    from sovits_runtime.errors import SovitsError
    from sovits_server.problems import NotThereError
    from sovits_server.voices import VoiceStore

    store = VoiceStore(options.voices)
    new = options.bundle is not None or options.lang is not None or options.picture is not None
    try:
        made = None if not new and store.get(options.name) else store.add(_new_voice(options))
    except NotThereError:
        made = store.add(_new_voice(options))
    if options.recording is None:
        shown = made or store.get(options.name)
        click.echo(f"{shown.profile}: {_line(shown)}")
        return
    try:
        _add_reference(store, options)
    except SovitsError:
        if made is not None:
            store.remove(made.name)  # a command adds all or nothing
        raise


def _new_voice(options: AddOptions) -> Voice:
    from sovits_server.voices import Voice

    bundle = options.bundle or options.voices / options.name
    return Voice(name=options.name, bundle=bundle, language=options.lang or "", picture=options.picture)


def _add_reference(store: object, options: AddOptions) -> None:
    from sovits_runtime.audio.files import read_content
    from sovits_server.voices import VoiceStore

    assert isinstance(store, VoiceStore)
    assert options.recording is not None
    phones = one_phone_sentence(options.ref_phones, "a transcript") if options.ref_phones else ()
    file_name, content = read_content(options.recording)
    added = store.add_reference(
        options.name,
        content,
        text=options.ref_text or "",
        language=options.ref_lang or "",
        phones=phones,
        emotion=options.emotion,
        reference_name=options.reference_name,
        gain_db=options.gain_db,
        file_name=file_name,
    )
    click.echo(f"{added.reference.path}: {printable(added.said)}")
    click.echo(f"{added.voice.profile}: {_line(added.voice)}")


def _line(voice: Voice) -> str:
    """A voice in one line."""
    names = ", ".join(r.name if not r.emotion else f"{r.name} ({r.emotion})" for r in voice.references)
    recordings = f"recordings {names}" if names else "no recording to sound like"
    return printable(f"voice {voice.name}, bundle {voice.bundle}, {recordings}")


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What to list; the attributes are the options."""

    voices: Path
    as_json: bool


@voice.command(name="list")
@VOICES
@AS_JSON
@takes(ListOptions)
def list_voices(options: ListOptions) -> None:
    """List the voices, and profiles that cannot be used."""
    from sovits_server.voices import VoiceStore

    store = VoiceStore(options.voices)
    if options.as_json:
        print_json(
            {"voices": [_to_json(v) for v in store.voices()], "problems": sorted(store.problems().values())}
        )
        return
    for found in store.voices():
        click.echo(_line(found))
    for problem in store.problems().values():
        click.secho(f"error: {problem}", fg="red", err=True)
    if not store.voices():
        click.echo(f"{options.voices}: no voice; add one with 'voice add', or put a bundle there", err=True)


def _to_json(voice: Voice) -> dict[str, object]:
    return {
        "name": voice.name,
        "bundle": str(voice.bundle),
        "language": voice.language,
        "gain_db": voice.gain_db,
        "options": dict(voice.options),
        "picture": None if voice.picture is None else str(voice.picture),
        "references": [
            {
                "name": r.name,
                "file": str(r.path),
                "text": r.text,
                "language": r.language,
                "emotion": r.emotion,
                "gain_db": r.gain_db,
            }
            for r in voice.references
        ],
    }


@dataclass(frozen=True, kw_only=True)
class RemoveOptions:
    """What to remove; the attributes are the options."""

    voices: Path
    name: str
    reference_name: str


@voice.command()
@NAME
@VOICES
@click.option("--ref", "reference_name", default="", help="Only this recording of the voice.")
@takes(RemoveOptions)
def remove(options: RemoveOptions) -> None:
    """Remove the profile and the recordings of the voice NAME; its bundle stays."""
    from sovits_server.voices import VoiceStore

    store = VoiceStore(options.voices)
    if options.reference_name:
        click.echo(_line(store.remove_reference(options.name, options.reference_name)))
        return
    gone = store.remove(options.name)
    click.echo(printable(f"removed {gone.name}; its bundle {gone.bundle} is still there"))


@dataclass(frozen=True, kw_only=True)
class TestOptions:
    """What to say, and where to; the attributes are the options."""

    voices: Path
    name: str
    reference_name: str
    text: str | None
    lang: str | None
    phones: str | None
    threads: int | None
    output: Path


@voice.command()
@NAME
@VOICES
@click.option("--ref", "reference_name", default="", help="Name or emotion of the recording [the first].")
@click.option("--text", help="What to say [a sentence of the language].")
@click.option("--lang", type=LANGUAGES, metavar="LANG", help="Language of it [that of the voice, else en].")
@click.option("--phones", help="Phones to say, or a .json file that holds them, in place of text.")
@THREADS
@click.option("-o", "--output", required=True, type=NEW_PATH, help="Sound to write: .wav, .flac, .ogg, .mp3.")
@takes(TestOptions)
def test(options: TestOptions) -> None:
    """Speak a sentence with the voice NAME, as a server would."""
    from sovits_runtime.audio.files import read_audio
    from sovits_runtime.audio.quality import recording_quality
    from sovits_server.voices import VoiceStore

    if options.text is not None and options.phones is not None:
        raise click.UsageError("give --text or --phones, not both")
    found = VoiceStore(options.voices).get(options.name)
    reference = found.reference(options.reference_name)
    if reference.stored:
        click.echo(printable(f"{reference.name}: carried by the bundle"))
    else:
        quality = recording_quality(*read_audio(reference.path))
        notes = "; ".join(quality.notes) or "a good recording"
        click.echo(printable(f"{reference.path}: {quality.duration_s:.2f} s, {notes}"))
    audio = _spoken(found, options)
    audio.save(options.output)
    click.echo(f"{options.output}: {audio.duration_s:.2f} s at {audio.sample_rate} Hz")


def _spoken(found: Voice, options: TestOptions) -> Audio:
    from sovits_runtime.synthesizer import Synthesizer

    with Synthesizer.load(found.bundle, threads=options.threads) as synthesizer:
        reference = found.reference(options.reference_name).read(synthesizer)
        how = found.speech_options()
        if options.phones is not None:
            phones = one_phone_sentence(options.phones, "a test")
            return synthesizer.synthesize(phones, reference, options=how)
        language = options.lang or found.language or found.reference(options.reference_name).language or "en"
        text = options.text or SENTENCES.get(language.removeprefix("all_"), SENTENCES["en"])
        return synthesizer.synthesize_text(text, reference, language=language, options=how)
