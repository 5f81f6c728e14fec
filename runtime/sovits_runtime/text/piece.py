"""A piece of text with its phones: what is spoken in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.text.bert_tokens import BERT_WIDTH, BertTokenizer, EncodeTokens, phone_features
from sovits_runtime.text.phones import Phones
from sovits_runtime.text.segment import Segment
from sovits_runtime.text.spelling import Change
from sovits_runtime.text.split import collapse_marks

_FEWEST_PHONES: Final = 6
NOTHING_TO_SAY: Final = (
    "nothing to say: the text holds no character that can be read aloud; give words in the chosen language"
)


@dataclass(frozen=True)
class TextPiece:
    """A piece of text, ready to be spoken.

    Attributes:
        text: The piece, in words and pause marks; as it was written where the original's rules read it.
        segments: Its stretches of one language each, as they were read.
        phones: Phones of each stretch.
        notes: What was dropped or done differently.
        changes: What was written otherwise than it is said, and how it was read.
        confidence: How sure the language is that the whole piece was read in, 0 to 1; 1 where it was given.
    """

    text: str
    segments: tuple[Segment, ...]
    phones: tuple[Phones, ...]
    notes: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    confidence: float = 1.0

    @property
    def symbols(self) -> tuple[str, ...]:
        """Phone symbols of all stretches."""
        return tuple(symbol for phones in self.phones for symbol in phones.symbols)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Phone ids of all stretches: shape `(phones,)`, int64."""
        return np.concatenate([np.zeros(0, np.int64), *(phones.ids for phones in self.phones)])

    @property
    def norm_text(self) -> str:
        """Normalised text of all stretches."""
        return "".join(phones.norm_text for phones in self.phones)

    def bert_features(
        self, tokenizer: BertTokenizer | None, encode: EncodeTokens | None
    ) -> NDArray[np.float32]:
        """Feature rows of all phones; each Mandarin stretch is encoded alone, everything else gets zeros.

        Args:
            tokenizer: Gives the ids; None gives zeros throughout.
            encode: Runs the graph: int64 `(1, T + 2)` -> float32 `(T, 1024)`; None gives zeros throughout.

        Returns:
            Shape `(phones, 1024)`, float32.

        Raises:
            TextError: The graph gave a different number of rows.
        """
        if tokenizer is None or encode is None:
            return np.zeros((len(self.ids), BERT_WIDTH), np.float32)
        rows = [phone_features(phones, tokenizer, encode=encode) for phones in self.phones]
        return np.concatenate(rows)


def silent(segment: Segment) -> Phones:
    """No phones, for a stretch that holds nothing to read.

    Args:
        segment: The stretch.
    """
    norm_text = collapse_marks(segment.text) if segment.language == "ja" else ""
    return Phones((), np.zeros(0, np.int64), None, norm_text, segment.language)


def piece_of(text: str, segments: Iterable[Segment], read: Callable[[Segment], Phones]) -> TextPiece:
    """A piece of its stretches.

    Args:
        text: The whole piece.
        segments: Its stretches in order.
        read: Gives the phones of one.
    """
    segments = tuple(segments)
    phones = tuple(map(read, segments))
    notes = dict.fromkeys(note for part in phones for note in part.notes)
    return TextPiece(text, segments, phones, tuple(notes))


def long_enough(text: str, read: Callable[[str], TextPiece]) -> TextPiece:
    """A piece with at least six phones: if there are fewer, a full stop is put in front, once.

    Args:
        text: The piece.
        read: Gives the piece for a text.
    """
    piece = read(text)
    return replace(read("." + text), text=text) if len(piece.ids) < _FEWEST_PHONES else piece
