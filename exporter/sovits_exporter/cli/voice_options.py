"""Options that say whose voice speaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.options import PATH, SHARED
from sovits_exporter.cli.text_options import TRANSCRIPT_OPTIONS, Transcript

if TYPE_CHECKING:
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.bundle.stored_references import StoredReference
    from sovits_runtime.speech.reference import Reference
    from sovits_runtime.speech.text_reader import TextReader
    from sovits_runtime.synthesizer import Synthesizer

VOICE_OPTIONS = (
    click.option(
        "--reference",
        "--emotion",
        "saved",
        type=PATH,
        metavar="NAME",
        help="Which of the references in the bundle speaks, by its name [the first]; 'inspect' shows them. Also a file "
        "saved by 'sovits-export reference'.",
    ),
    click.option(
        "--ref",
        "recording",
        type=PATH,
        help="Speak like this recording instead, 3 to 10 s (WAV, FLAC, OGG, MP3).",
    ),
    *TRANSCRIPT_OPTIONS,
    click.option(
        "--more-ref", "more", type=PATH, multiple=True, help="Further recordings whose style is averaged in."
    ),
    SHARED,
)


@dataclass(frozen=True, kw_only=True)
class VoiceOptions:
    """Whose voice speaks: a reference of the bundle, a recording and its transcript, or a saved reference.

    The attributes are the options.
    """

    recording: Path | None
    more: tuple[Path, ...]
    saved: Path | None
    transcript: Transcript

    def check(self, language: str | None) -> None:
        """Refuses options that contradict each other.

        Args:
            language: Language of the transcript where it has none of its own.

        Raises:
            UsageError: Names what to give.
        """
        self.transcript.check(language)
        if self.recording is not None and self.saved is not None:
            raise click.UsageError(
                "give either --ref (a recording) or --reference (one in the bundle), not both"
            )
        if self.recording is None and (self.transcript.ref_text or self.transcript.ref_phones):
            raise click.UsageError("a transcript needs its recording: give --ref")

    @property
    def is_foreign(self) -> bool:
        """Whether what speaks is none of the bundle's references for sure, so that they tell no language."""
        return self.recording is not None or (self.saved is not None and self.saved.suffix == ".npz")

    def stored(self, bundle: Bundle) -> StoredReference | None:
        """The reference of the bundle that speaks; None: a recording or a file does.

        Raises:
            BundleError: No such reference.
            UsageError: None is given, and the bundle carries none.
        """
        names = [reference.name for reference in bundle.references]
        if self.recording is not None:
            return None
        if self.saved is not None and str(self.saved) not in names:
            is_file = self.is_foreign or not names or self.saved.is_file()
            if is_file:
                return None
        if self.saved is not None:
            return bundle.stored_reference(str(self.saved))
        if not names:
            raise click.UsageError(
                "this bundle carries no reference: give --ref (a recording) or --reference (a saved one), or build it "
                "again with one"
            )
        return bundle.stored_reference()

    def reference(
        self,
        voice: Synthesizer,
        reader: TextReader,
        *,
        stored: StoredReference | None,
        language: str | None,
        official: bool,
    ) -> Reference:
        """Loads the reference, or prepares the recording.

        Args:
            voice: Prepares it.
            reader: Reads the transcript.
            stored: The reference of the bundle that speaks, if one does.
            language: As in `check`.
            official: As in `Synthesizer.reference`.
        """
        from sovits_runtime.speech.reference import Reference

        if stored is not None:
            return voice.stored.get(stored.name)
        if self.saved is not None:
            return Reference.load(self.saved)
        assert self.recording is not None
        transcript = self.transcript.read(reader, language)
        return voice.reference(
            self.recording,
            transcript.phones,
            bert=transcript.bert,
            more_recordings=self.more,
            official=official,
        )
