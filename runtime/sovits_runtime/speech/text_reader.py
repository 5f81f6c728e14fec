"""Text to phrases: what a voice speaks of a text, or takes as the transcript of a recording.

Every piece of a text becomes phones and BERT features when its turn comes, so a book starts to sound at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from sovits_runtime.speech.bert_features import BertFeatures
from sovits_runtime.speech.types import Phrase
from sovits_runtime.text.piece import TextPiece
from sovits_runtime.text.pipeline import TextFrontend

logger = logging.getLogger(__name__)


class TextReader:
    """Reads text for the voices of one version. Safe to use from several threads.

    Args:
        frontend: Text to phones.
        bert: Phones to BERT features.
    """

    def __init__(self, frontend: TextFrontend, bert: BertFeatures) -> None:
        self.frontend = frontend
        self.bert = bert

    def phrases(self, text: str | Iterable[str], language: str) -> Iterator[Phrase]:
        """The phrases of a text, piece by piece, each read when it is needed.

        Args:
            text: A text of any length, or its parts in order (lines of a file, for example).
            language: `"zh"`, `"en"`, `"ja"`, `"ko"`, `"yue"`, `"auto"`, ...: see `TextFrontend.pieces`.

        Raises:
            TextError: No such language, nothing to say, or a language's extra is not installed.
        """
        return map(self._phrase, self.frontend.pieces(text, language))

    def transcript(self, text: str, language: str) -> Phrase:
        """The words of a recording, as one phrase.

        Args:
            text: What is said in the recording.
            language: Language or mode of the transcript.

        Raises:
            TextError: The transcript cannot be read.
        """
        return self._phrase(self.frontend.transcript(text, language))

    def _phrase(self, piece: TextPiece) -> Phrase:
        for note in piece.notes:
            logger.info("%s", note)
        return Phrase(piece.ids, self.bert(piece), text=piece.text, notes=piece.notes)
