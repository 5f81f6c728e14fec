"""From text to pieces by rules of our own: sentences, then words for all that is written otherwise, then pieces.

Everything is in words and pause marks before it is cut, so no cut goes through a number, an address or "a.m.".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from sovits_runtime.errors import NothingToSay
from sovits_runtime.text.host import Host, HostFinder, stretches
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.piece import NOTHING_TO_SAY, TextPiece, long_enough, piece_of, silent
from sovits_runtime.text.runs import Detector
from sovits_runtime.text.segment import Segment
from sovits_runtime.text.sentences import Sentence, sentences_of
from sovits_runtime.text.spell_out import spell_out
from sovits_runtime.text.split import STREAM, collapse_marks, official_pieces
from sovits_runtime.text.stream import Part, grown_pieces, join_texts, joined, note_dropped, with_end_mark
from sovits_runtime.text.symbols import MARKS, SymbolVersion
from sovits_runtime.text.user_lexicon import SIGN, Lexicon

_WORD: Final = re.compile(r"\w")
_MARKS: Final = {
    **dict.fromkeys(",，、;；:：·", ","),
    **dict.fromkeys(".。．", "."),
    **dict.fromkeys("!！", "!"),
    **dict.fromkeys("?？", "?"),
    "…": "…",
}


@dataclass(frozen=True)
class SpelledPipeline:
    """Text -> pieces.

    Attributes:
        phonemize: Phones of a text in words, in a language.
        mode: As `segments_for_mode` takes it.
        detector: Asked in the modes `auto` and `auto_yue` where the script does not tell the language; None: nobody.
        symbols: Symbol table of the model.
        without: Names of kinds of rewriting that are left out.
        lexicon: Readings of the user.
        idle_s: Seconds after which a sentence that looks finished is spoken although more text may come.
    """

    phonemize: Callable[[str, str], Phones]
    mode: str
    detector: Detector | None
    symbols: SymbolVersion
    without: frozenset[str]
    lexicon: Lexicon
    idle_s: float

    def pieces(self, text: str | Iterable[str], method: str) -> Iterator[TextPiece]:
        """Pieces in order, each made when it is needed; none where nothing can be read.

        Args:
            text: A text; with the method `"stream"` also its parts in order.
            method: `"stream"`, or `"cut0"` to `"cut5"`.
        """
        if method == STREAM:
            hosts = self._hosts(text if isinstance(text, str) else "")
            cut = grown_pieces(
                text, lambda sentence: self._spelled(sentence, hosts), self.mode, idle_s=self.idle_s
            )
        else:
            cut = self._cut("".join(text), method)
        for parts in cut:
            try:
                yield self.read_parts(parts)
            except NothingToSay:
                note_dropped(joined(parts))

    def read(self, text: str) -> TextPiece:
        """Phones of a text that is not cut.

        Args:
            text: Text that is spoken in one go.

        Raises:
            NothingToSay: Nothing in it can be read.
        """
        hosts = self._hosts(text)
        return self.read_parts(tuple(self._spelled(sentence, hosts) for sentence in sentences_of(text)))

    def read_parts(self, parts: tuple[Part, ...]) -> TextPiece:
        """Phones of sentences that are spoken in one go.

        Args:
            parts: Sentences in words.

        Raises:
            NothingToSay: Nothing in them can be read.
        """
        piece = long_enough(joined(parts), lambda text: self._read(text, parts))
        changes = tuple(change for part in parts for change in part.changes)
        confidence = min((part.confidence for part in parts), default=1.0)
        return replace(piece, changes=changes, confidence=confidence)

    def _read(self, text: str, parts: tuple[Part, ...]) -> TextPiece:
        start = text[: len(text) - len(joined(parts))]  # a full stop, where the piece is short
        parts = (replace(parts[0], text=start + parts[0].text), *parts[1:]) if parts else parts
        segments = _merged(segment for part in parts for segment in self._stretches(part))
        piece = piece_of(text, segments, self._phones if len(segments) == 1 else self._phones_amid)
        if all(symbol in MARKS for symbol in piece.symbols):
            raise NothingToSay(NOTHING_TO_SAY)
        return piece

    def _stretches(self, part: Part) -> list[Segment]:
        found = stretches(part.text, part.language, mixed=self.mode.startswith("auto"))
        if self.mode == "auto_yue":
            found = [Segment("yue" if each.language == "zh" else each.language, each.text) for each in found]
        texts = ((each.language, text) for each in found for text in re.split(f"({SIGN.pattern})", each.text))
        return [Segment(language, text) for language, text in texts if text]

    def _phones_amid(self, segment: Segment) -> Phones:
        """Phones of a stretch beside others; a short English one does without the pause that stands before it."""
        phones = self._phones(segment)
        if segment.language != "en" or phones.symbols[:1] != (",",) or segment.text.lstrip()[:1] in _MARKS:
            return phones
        return replace(phones, symbols=phones.symbols[1:], ids=phones.ids[1:])

    def _phones(self, segment: Segment) -> Phones:
        """A stretch without anything to read is left out with a note; marks are pauses."""
        if SIGN.fullmatch(segment.text):
            return self.lexicon.phones(segment.text, self.symbols)
        try:
            return self.phonemize(segment.text, segment.language)
        except NothingToSay:
            marks = [_MARKS[char] for char in segment.text if char in _MARKS]
            note = f"{segment.language}: {segment.text.strip()!r} holds nothing that can be read and was left out"
            notes = (note,) if _WORD.search(segment.text) else ()
            if not marks:
                return replace(silent(segment), notes=notes)
            return phones_from_symbols(
                marks, segment.text, language=segment.language, table=self.symbols, notes=notes
            )

    def _hosts(self, text: str) -> Callable[[str], Host]:
        if not self.mode.startswith("auto"):
            given = Host(self.mode.removeprefix("all_"), 1.0)
            return lambda _: given
        finder = HostFinder(text, self.detector)
        if self.mode == "auto":
            return finder.host
        return lambda sentence: _cantonese(finder.host(sentence))

    def _spelled(self, sentence: Sentence, hosts: Callable[[str], Host]) -> Part:
        host = hosts(sentence.text)
        line = sentence.text.replace("\n", ", ")
        spelled = spell_out(line, host.language, without=self.without, lexicon=self.lexicon)
        text = with_end_mark(spelled.text, host.language) if sentence.ends_line else spelled.text
        return Part(text, host.language, host.confidence, spelled.changes)

    def _cut(self, text: str, method: str) -> Iterator[tuple[Part, ...]]:
        """Pieces as the original cuts them, of the text in words."""
        hosts = self._hosts(text)
        sentences = list(sentences_of(text))
        parts = [self._spelled(sentence, hosts) for sentence in sentences]
        lines: list[list[Part]] = [[]]
        for sentence, part in zip(sentences, parts, strict=True):
            lines[-1].append(part)
            if sentence.ends_line:
                lines.append([])
        whole = "\n".join(joined(line) for line in lines if line)
        changes = [change for part in parts for change in part.changes]
        hosts = self._hosts(whole)
        for piece in official_pieces(collapse_marks(whole), self.mode, method):
            if not piece:
                continue
            host = hosts(piece)
            here = tuple(
                change for change in changes if change.after.strip() and change.after.strip() in piece
            )
            yield (Part(piece, host.language, host.confidence, here),)


def _cantonese(host: Host) -> Host:
    return Host("yue", host.confidence) if host.language == "zh" else host


def _merged(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    merged: list[Segment] = []
    for segment in segments:
        if (
            merged
            and merged[-1].language == segment.language
            and not SIGN.search(merged[-1].text + segment.text)
        ):
            merged[-1] = Segment(segment.language, join_texts((merged[-1].text, segment.text)))
        else:
            merged.append(segment)
    return tuple(merged)
