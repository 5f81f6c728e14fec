"""`sovits-export reference`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from sovits_exporter.cli.options import BUNDLE, DEVICE, NEW_PATH, PATH, SHARED, THREADS, takes
from sovits_exporter.cli.text_options import LANGUAGE_NAMES, LANGUAGES, OFFICIAL, Transcript
from sovits_runtime.backends.voice import LoadOptions


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions:
    """What to prepare, and where; the attributes are the options."""

    bundle: Path
    recording: Path
    shared: Path | None
    load: LoadOptions
    transcript: Transcript
    more: tuple[Path, ...]
    official: bool
    output: Path


@click.command()
@BUNDLE
@click.argument("recording", type=PATH)
@SHARED
@DEVICE
@THREADS
@click.option("--text", "ref_text", help="What is said in the recording.")
@click.option(
    "--lang",
    "ref_lang",
    type=LANGUAGES,
    metavar="LANG",
    help=f"Language of the text: {LANGUAGE_NAMES}.",
)
@click.option(
    "--phones",
    "ref_phones",
    help="Phones of the transcript, or a .json file that holds them, in place of text.",
)
@click.option("--more", type=PATH, multiple=True, help="Further recordings whose style is averaged in.")
@OFFICIAL
@click.option("-o", "--output", required=True, type=NEW_PATH, help="File to write, .npz.")
@takes(ReferenceOptions)
def reference(options: ReferenceOptions) -> None:
    """Prepare RECORDING once and save it, so that speaking needs neither the recording nor HuBERT."""
    from sovits_runtime.backends.open import open_voice
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.synthesizer import Synthesizer

    options.transcript.check()
    bundle = Bundle.open(options.bundle, shared=options.shared)
    with Synthesizer(open_voice(bundle, options.load)) as voice:
        transcript = options.transcript.read(voice.open_reader(official=options.official))
        prepared = voice.reference(
            options.recording,
            transcript.phones,
            bert=transcript.bert,
            more_recordings=options.more,
            official=options.official,
        )
    prepared.save(options.output)
    click.echo(
        f"{options.output}: {len(prepared.prompt)} prompt tokens, {len(prepared.phones)} phones, key {prepared.key}"
    )
