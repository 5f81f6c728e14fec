"""What the commands that speak have in common about words: phones or text, and the transcript of the reference."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sovits_runtime.errors import TextError
from sovits_runtime.text.segment import MODES
from sovits_runtime.text.split import METHODS, STREAM

if TYPE_CHECKING:
    from sovits_runtime.speech.reference import Reference
    from sovits_runtime.speech.text_reader import TextSpeaker
    from sovits_runtime.speech.types import Sentence, SpeechOptions
    from sovits_runtime.synthesizer import Synthesizer
    from sovits_runtime.text.pipeline import TextPiece

_PATH = click.Path(path_type=Path)
LANGUAGE_OPTION = click.option(
    "--lang", type=click.Choice(MODES), metavar="LANG", help=f"Language of the text: {', '.join(MODES)}."
)
OFFICIAL_OPTION = click.option(
    "--official", is_flag=True, help="Read text as the original does, its plain misreadings included."
)
CUT_OPTION = click.option(
    "--cut", type=click.Choice(METHODS), default=STREAM, show_default=True, help="How text is cut."
)
_OPTIONS = (
    click.option("--text", help="Text to speak."),
    click.option("--text-file", type=_PATH, help="File with the text to speak (UTF-8), of any length."),
    LANGUAGE_OPTION,
    click.option("--ref-text", help="What is said in the reference recording."),
    click.option(
        "--ref-lang",
        type=click.Choice(MODES),
        metavar="LANG",
        help="Language of --ref-text [that of --lang].",
    ),
    CUT_OPTION,
    OFFICIAL_OPTION,
    click.option("--phones", help="Phones to speak, separated by spaces, or a .json file, in place of text."),
    click.option(
        "--ref-phones", help="Phones of the reference's transcript, or a .json file that holds them."
    ),
)


@dataclass(frozen=True)
class Words:
    """What is to be said, and what the reference says; the attributes are the options."""

    text: str | None
    text_file: Path | None
    lang: str | None
    ref_text: str | None
    ref_lang: str | None
    cut: str
    official: bool
    phones: str | None
    ref_phones: str | None

    def check(self) -> None:
        """Refuses options that contradict each other.

        Raises:
            UsageError: Names what to give.
        """
        if sum(given is not None for given in (self.text, self.text_file, self.phones)) != 1:
            raise click.UsageError("give exactly one of --text, --text-file and --phones")
        if self.phones is None and self.lang is None:
            raise click.UsageError(f"text needs its language: give --lang, one of {', '.join(MODES)}")
        check_transcript(self.ref_text, self.ref_phones, self.ref_lang or self.lang)

    def reference(self, voice: Synthesizer, recording: Path, more: Sequence[Path]) -> Reference:
        """Prepares the recording with its transcript, if there is one."""
        language = self.ref_lang or self.lang
        return reference_from_words(
            self._speaker(voice), recording, (self.ref_text, self.ref_phones, language), more=more
        )

    def speak(
        self, voice: Synthesizer, reference: Reference, *, options: SpeechOptions
    ) -> Iterator[Sentence]:
        """Speaks sentence by sentence; notes of the front end go to the terminal."""
        if self.phones is not None:
            yield from voice.synthesize_each(phone_sentences(self.phones), reference, options=options)
            return
        assert self.lang is not None
        speaker = self._speaker(voice)
        for piece in speaker.pieces(self._text(), self.lang):
            show_notes(piece)
            yield speaker.speak_piece(piece, reference, options=options)

    def _speaker(self, voice: Synthesizer) -> TextSpeaker:
        from sovits_runtime.speech.text_reader import TextSpeaker

        return TextSpeaker(voice, official=self.official, method=self.cut)

    def _text(self) -> str:
        if self.text is not None:
            return self.text
        assert self.text_file is not None
        try:
            return self.text_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TextError(f"{self.text_file}: cannot be read as UTF-8 text ({error})") from error


def words_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options about words, handed to the command as one argument `words`."""

    @functools.wraps(command)
    def with_words(**options: Any) -> None:
        words = Words(**{field.name: options.pop(field.name) for field in fields(Words)})
        words.check()
        command(words=words, **options)

    for option in reversed(_OPTIONS):
        with_words = option(with_words)
    return with_words


def check_transcript(text: str | None, phones: str | None, language: str | None) -> None:
    """Refuses a transcript that is given twice, or in no language.

    Raises:
        UsageError: Names what to give.
    """
    if text is not None and phones is not None:
        raise click.UsageError("give the transcript of the reference as text or as phones, not both")
    if text is not None and language is None:
        raise click.UsageError(f"the transcript needs its language, one of {', '.join(MODES)}")


def reference_from_words(
    speaker: TextSpeaker,
    recording: Path,
    transcript: tuple[str | None, str | None, str | None],
    *,
    more: Sequence[Path],
) -> Reference:
    """Prepares a recording.

    Args:
        speaker: Front end and voice.
        recording: The recording.
        transcript: Its text or its phones, and its language.
        more: Further recordings.
    """
    text, phones, language = transcript
    if text is None:
        symbols = phone_sentences(phones)[0] if phones else ()
        return speaker.voice.reference(recording, symbols, more_recordings=more)
    assert language is not None
    show_notes(speaker.frontend.transcript(text, language))
    return speaker.reference(recording, text, language=language, more_recordings=more)


def show_notes(piece: TextPiece) -> None:
    """Prints what the front end dropped or did differently."""
    for note in piece.notes:
        click.secho(f"note: {note}", fg="yellow", err=True)


def phone_sentences(value: str) -> list[list[str]]:
    """Reads phones: a string of symbols, or a JSON file with {"phones": [...]} or {"sentences": [[...], ...]}.

    Raises:
        TextError: The file cannot be read or holds something else.
    """
    if not value.endswith(".json"):
        return [value.split()]
    path = Path(value)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TextError(f"{path}: cannot be read ({error.strerror}); give phones or a .json file") from error
    except ValueError as error:
        raise TextError(f"{path}: not JSON ({error})") from error
    sentences = content.get("sentences", [content.get("phones")]) if isinstance(content, dict) else [content]
    good = all(isinstance(s, list) and s and all(isinstance(p, str) for p in s) for s in sentences)
    if not good or not sentences:
        raise TextError(f'{path}: expected {{"phones": [symbols]}} or {{"sentences": [[symbols], ...]}}')
    return list(sentences)
