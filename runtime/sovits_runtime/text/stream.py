"""The default way of cutting: a short first piece so that sound starts early, then pieces that grow."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from sovits_runtime.text.parts import parts_of
from sovits_runtime.text.sentences import Sentence, SentenceCutter, load
from sovits_runtime.text.spelling import Change
from sovits_runtime.text.split import SPLITTERS, with_start_mark
from sovits_runtime.text.user_lexicon import SIGN

logger = logging.getLogger(__name__)

FIRST_LOAD: Final = 10.0
LARGEST_LOAD: Final = 60.0
_GROWTH: Final = 2.0
_ALONE_LOAD: Final = 3.0
_SENTENCE_ENDS: Final = frozenset("。！？!?….\n")
_CLOSING: Final = "”’」』）)】》\"'"
_CLAUSE_END: Final = re.compile(
    rf"(?: [。？！?!…]+ | (?<!\d)[.:,~]+ | (?<=\d)[.:,~]+(?!\d) | [，、；：—;]+ ) [{_CLOSING}]* \s*",
    re.VERBOSE,
)
_WORD: Final = re.compile(rf"\w|{SIGN.pattern}")
_UNSPACED: Final = re.compile("[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")


@dataclass(frozen=True)
class Part:
    """Text of one sentence or less, ready to be read.

    Attributes:
        text: Words and marks.
        language: What it is read as where the script leaves that open.
        confidence: How sure that is, 0 to 1.
        changes: Where the text was written otherwise.
    """

    text: str
    language: str
    confidence: float = 1.0
    changes: tuple[Change, ...] = ()


def joined(parts: Iterable[Part]) -> str:
    """The text of parts, with a space between them where their script has spaces."""
    return join_texts(part.text for part in parts)


def join_texts(texts: Iterable[str]) -> str:
    """Texts one after the other, with a space between them where their script has spaces."""
    joint = ""
    for text in texts:
        space = joint and text and not joint[-1].isspace() and not _UNSPACED.match(joint[-1])
        joint += f" {text}" if space and not _UNSPACED.match(text) else text
    return joint


class Packer:
    """Packs sentences into pieces, which start short and grow.

    Attributes:
        limit: A piece is full at this load, in syllables; half of it is enough at the end of a sentence.
    """

    def __init__(self) -> None:
        self.limit = FIRST_LOAD
        self._parts: tuple[Part, ...] = ()

    def add(self, sentence: Part) -> Iterator[tuple[Part, ...]]:
        """Take in a sentence, and give out pieces that are full.

        Args:
            sentence: May be longer than a piece.
        """
        start = 0
        ends = [match.end() for match in _CLAUSE_END.finditer(sentence.text)]
        for end in [*ends, len(sentence.text)]:
            clause = replace(
                sentence, text=sentence.text[start:end], changes=() if start else sentence.changes
            )
            start = end
            if not clause.text:
                continue
            self._parts = (*self._parts, clause)
            amount = load(self._text())
            if amount >= self.limit or (amount * 2 >= self.limit and _ends_sentence(clause.text)):
                yield from self.close()

    def flush(self) -> Iterator[tuple[Part, ...]]:
        """Give out what waits, unless it is so short that it should not be spoken alone."""
        if load(self._text()) >= _ALONE_LOAD:
            yield from self.close()

    def close(self) -> Iterator[tuple[Part, ...]]:
        """Give out what waits."""
        parts, self._parts = self._parts, ()
        if parts:
            if _WORD.search(joined(parts)):
                self.limit = min(self.limit * _GROWTH, LARGEST_LOAD)
            yield parts

    def _text(self) -> str:
        return joined(self._parts)


def _ends_sentence(clause: str) -> bool:
    end = clause.rstrip(f"{_CLOSING} \t\u3000")
    return bool(end) and end[-1] in _SENTENCE_ENDS


def with_end_mark(text: str, language: str) -> str:
    """A piece that ends in a mark.

    Args:
        text: A piece.
        language: `"en"` ends in `.`, everything else in `。`.
    """
    text = text.strip()
    spoken = text.rstrip(_CLOSING)
    if spoken and spoken[-1] in SPLITTERS:
        return text
    return text + ("." if language == "en" else "。")


def grown_pieces(
    text: str | Iterable[str], read: Callable[[Sentence], Part], mode: str, *, idle_s: float
) -> Iterator[tuple[Part, ...]]:
    """Pieces that start short and grow; each ends in a mark, and the first does not start too abruptly.

    A piece of a text that comes in parts ends where a sentence does, unless it is very short. A short one, and a
    sentence that only looks finished, is given out when nothing has come for a while.

    Args:
        text: A text, or its parts in order.
        read: Gives a sentence in words.
        mode: Language or mode.
        idle_s: How long a while is, in seconds.
    """
    first = True
    for parts in _packed(text, read, idle_s):
        whole = joined(parts)
        if not _WORD.search(whole):
            note_dropped(whole)
            continue
        if first:
            start = with_start_mark(whole, mode).removesuffix(whole)
            parts = (replace(parts[0], text=start + parts[0].text), *parts[1:])
            first = False
        yield (*parts[:-1], replace(parts[-1], text=with_end_mark(parts[-1].text, mode)))


def _packed(
    text: str | Iterable[str], read: Callable[[Sentence], Part], idle_s: float
) -> Iterator[tuple[Part, ...]]:
    whole = isinstance(text, (str, list))
    cutter, packer = SentenceCutter(), Packer()
    for part in parts_of(text, idle_s):
        for sentence in cutter.flush() if part is None else cutter.feed(part):
            yield from packer.add(read(sentence))
            if not whole:
                yield from packer.flush()
        if part is None:
            yield from packer.close()
        cutter.clause_load = packer.limit
    for sentence in cutter.close():
        yield from packer.add(read(sentence))
    yield from packer.close()


def note_dropped(text: str) -> None:
    """Say in the log what is left out because it holds no word: signs between sentences.

    Args:
        text: The piece.
    """
    signs = [char for char in text if not char.isspace() and char not in SPLITTERS]
    if signs:
        logger.warning("dropped %r: nothing in it can be read aloud", text.strip())
