"""From text to pieces exactly as the original does it: its cutting, its languages, its rules.

Source: GPT-SoVITS, TTS_infer_pack/TextPreprocessor.py, preprocess, get_phones_and_bert, segment_and_extract_feature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sovits_runtime.errors import NothingToSay
from sovits_runtime.text import LANGUAGE_MODULES
from sovits_runtime.text.phones import Phones
from sovits_runtime.text.piece import TextPiece, long_enough, piece_of, silent
from sovits_runtime.text.runs import Detector
from sovits_runtime.text.segment import Segment, segments_for_mode
from sovits_runtime.text.split import collapse_marks, official_pieces
from sovits_runtime.text.stream import Part, grown_pieces, joined

_SPACES: Final = re.compile(" {2,}")


@dataclass(frozen=True)
class OfficialPipeline:
    """Text -> pieces, as the original makes them.

    Attributes:
        phonemize: Phones of a text in a language, by the original's rules.
        detector: Tells languages apart where the script does not; None takes the best one installed.
    """

    phonemize: Callable[[str, str], Phones]
    detector: Detector | None = None

    def pieces(self, text: str, mode: str, method: str) -> Iterator[TextPiece]:
        """Pieces in order.

        Args:
            text: All of the text.
            mode: As `segments_for_mode` takes it.
            method: `"cut0"` to `"cut5"`.
        """
        for piece in official_pieces(collapse_marks(text), mode, method):
            yield self.read(piece, mode)

    def grown_pieces(self, text: str | Iterable[str], mode: str, idle_s: float) -> Iterator[TextPiece]:
        """Pieces in order that are cut by our rules; those without words are left out.

        Args:
            text: A text, or its parts in order.
            mode: As `segments_for_mode` takes it.
            idle_s: As `stream.grown_pieces` takes it.
        """
        for parts in grown_pieces(text, lambda sentence: Part(sentence.text, mode), mode, idle_s=idle_s):
            yield self.read(joined(parts), mode)

    def read(self, piece: str, mode: str) -> TextPiece:
        """Phones of one piece.

        Args:
            piece: Text that is spoken in one go.
            mode: As `segments_for_mode` takes it.
        """
        return long_enough(piece, lambda text: self._read(text, mode))

    def _read(self, piece: str, mode: str) -> TextPiece:
        segments = segments_for_mode(_SPACES.sub(" ", piece), mode, detector=self.detector)
        return piece_of(piece, segments, self._phones)

    def _phones(self, segment: Segment) -> Phones:
        """Marks alone are read as English white space, and only Mandarin minds having no phones."""
        if segment.language not in LANGUAGE_MODULES:
            return self.phonemize(" ", "en")
        try:
            return self.phonemize(segment.text, segment.language)
        except NothingToSay:
            if segment.language == "zh":
                raise
            return silent(segment)
