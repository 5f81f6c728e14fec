"""What the commands that speak have in common: what to say, and what the reference recording says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.options import PATH
from sovits_exporter.cli.output import show_notes
from sovits_exporter.cli.phone_file import one_phone_sentence, phone_sentences
from sovits_runtime.errors import TextError
from sovits_runtime.speech.types import Phrase
from sovits_runtime.text.segment import MODES
from sovits_runtime.text.split import METHODS, STREAM

if TYPE_CHECKING:
    from sovits_runtime.speech.text_reader import TextReader
    from sovits_runtime.synthesizer import Synthesizer
    from sovits_runtime.text.user_lexicon import Lexicon

LANGUAGES = click.Choice(MODES)
LANGUAGE_NAMES = ", ".join(MODES)
OFFICIAL = click.option(
    "--official",
    is_flag=True,
    help="Read text as the original does, its plain misreadings included; recordings by its resampler.",
)
CUT = click.option(
    "--cut", type=click.Choice(METHODS), default=STREAM, show_default=True, help="How text is cut."
)
WITHOUT = click.option(
    "--without",
    multiple=True,
    metavar="KIND",
    help="Leave out a kind of rewriting, such as roman-numerals; 'phones' shows which kinds are at work.",
)
LEXICON = click.option(
    "--lexicon",
    type=PATH,
    help="File with readings of names and other words, one 'en: word = reading' a line.",
)
TEXT_OPTIONS = (
    click.option("--text", help="Text to speak."),
    click.option("--text-file", type=PATH, help="File with the text to speak (UTF-8), of any length."),
    click.option("--lang", type=LANGUAGES, metavar="LANG", help=f"Language of the text: {LANGUAGE_NAMES}."),
    CUT,
    OFFICIAL,
    WITHOUT,
    LEXICON,
    click.option(
        "--phones",
        help="For experts: phones to speak, separated by spaces, or a .json file, in place of text.",
    ),
)
TRANSCRIPT_OPTIONS = (
    click.option("--ref-text", help="What is said in the reference recording."),
    click.option(
        "--ref-lang", type=LANGUAGES, metavar="LANG", help="Language of --ref-text [that of --lang]."
    ),
    click.option(
        "--ref-phones",
        help="For experts: phones of the reference's transcript, or a .json file that holds them.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """What is to be said; the attributes are the options."""

    text: str | None
    text_file: Path | None
    lang: str | None
    cut: str
    official: bool
    without: tuple[str, ...]
    lexicon: Path | None
    phones: str | None

    def check(self, *, needs_language: bool = True) -> None:
        """Refuses options that contradict each other.

        Args:
            needs_language: Whether the language of a text must be named.

        Raises:
            UsageError: Names what to give.
        """
        if sum(source is not None for source in (self.text, self.text_file, self.phones)) != 1:
            raise click.UsageError("give exactly one of --text, --text-file and --phones")
        if needs_language and self.phones is None and self.lang is None:
            raise click.UsageError(f"text needs its language: give --lang, one of {LANGUAGE_NAMES}")

    def in_language_of_voice(self, voice_language: str) -> TextOptions:
        """Returns them with the language of the text: that of its script, else the voice's.

        Args:
            voice_language: Language or mode of the voice's reference; "" where it is not known.
        """
        from sovits_runtime.text.host import likely_language

        return replace(self, lang=likely_language(self._whole_text(), voice_language))

    def open_reader(self, voice: Synthesizer) -> TextReader:
        """Opens the text front end of a voice.

        Raises:
            TextError: No such kind of rewriting, or the lexicon cannot be read.
        """
        return voice.open_reader(
            official=self.official, method=self.cut, without=self.without, lexicon=read_lexicon(self.lexicon)
        )

    def phrases(self, reader: TextReader) -> Iterator[Phrase]:
        """Reads sentence by sentence, each when it is asked for; notes of the front end go to the terminal.

        Raises:
            TextError: Text or phones cannot be read.
        """
        if self.phones is not None:
            yield from map(Phrase, phone_sentences(self.phones))
            return
        assert self.lang is not None
        for phrase in reader.phrases(self._whole_text(), self.lang):
            show_notes(phrase.notes)
            yield phrase

    def _whole_text(self) -> str:
        if self.text is not None:
            return self.text
        assert self.text_file is not None
        try:
            return self.text_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TextError(f"{self.text_file}: cannot be read as UTF-8 text ({error})") from error


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """What is said in a reference recording: text in a language, or phones, or nothing."""

    ref_text: str | None
    ref_lang: str | None
    ref_phones: str | None

    def check(self, language: str | None = None) -> None:
        """Refuses a transcript that is given twice, or in no language.

        Args:
            language: Language of the transcript where it has none of its own.

        Raises:
            UsageError: Names what to give.
        """
        if self.ref_text is not None and self.ref_phones is not None:
            raise click.UsageError("give the transcript of the reference as text or as phones, not both")
        if self.ref_text is not None and self.ref_lang is None and language is None:
            raise click.UsageError(f"the transcript needs its language, one of {LANGUAGE_NAMES}")

    def read(self, reader: TextReader, language: str | None = None) -> Phrase:
        """Reads it, once; notes of the front end go to the terminal.

        Args:
            reader: Reads text for the voice.
            language: As in `check`.

        Raises:
            TextError: Text or phones cannot be read, or the file of phones holds several sentences.
        """
        if self.ref_text is None:
            return Phrase(one_phone_sentence(self.ref_phones, "a transcript") if self.ref_phones else ())
        language_or_mode = self.ref_lang or language
        assert language_or_mode is not None
        phrase = reader.transcript(self.ref_text, language_or_mode)
        show_notes(phrase.notes)
        return phrase


def read_lexicon(path: Path | None) -> Lexicon | None:
    """The user's readings, where a file of them is given.

    Args:
        path: The file.

    Raises:
        TextError: It cannot be read.
    """
    from sovits_runtime.text.user_lexicon import Lexicon

    return None if path is None else Lexicon.load(path)
