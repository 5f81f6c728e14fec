"""Text in, speech out: a text front end and a loaded voice, joined.

Every piece of a text becomes phones and BERT features when its turn comes, so a book starts to sound at once.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio.files import AudioSource
from sovits_runtime.bundle.feature_cache import KEY_LENGTH, text_cache
from sovits_runtime.bundle.files import whole_file
from sovits_runtime.bundle.session import Session
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import Phrase
from sovits_runtime.text.bert_tokens import BertTokenizer
from sovits_runtime.text.pipeline import TextFrontend, TextPiece
from sovits_runtime.text.split import STREAM
from sovits_runtime.text.zh.g2pw import polyphone_reader

if TYPE_CHECKING:
    from sovits_runtime.speech.types import Sentence, SpeechOptions
    from sovits_runtime.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
NO_BERT_NOTE = (
    "Chinese is spoken without BERT features, flatter than the model could: the bundle holds no BERT; build it with "
    "--bert FOLDER (chinese-roberta-wwm-ext-large)"
)
NO_TOKENIZER_NOTE = (
    "Chinese is spoken without BERT features, flatter than the model could: no vocab.txt or tokenizer.json lies "
    "beside the bundle's BERT; build the bundle again"
)


class TextSpeaker:
    """Speaks text with a loaded voice.

    Args:
        voice: The voice.
        official: Read as the original does, its plain misreadings included.
        method: How text is cut: `"stream"`, or `"cut0"` to `"cut5"` of the original.

    Raises:
        TextError: No such method, or `SOVITS_G2PW_DIR` names a folder that cannot be used.
        BackendError: The G2PW model there cannot be opened.
    """

    def __init__(self, voice: Synthesizer, *, official: bool = False, method: str = STREAM) -> None:
        self.voice = voice
        symbols = voice.spec.symbols
        polyphones = None if symbols == "v1" else polyphone_reader(tokenizer=self._tokenizer_folder)
        self.frontend = TextFrontend(symbols, official=official, method=method, polyphones=polyphones)
        self._features = text_cache()
        self._warned = False

    def pieces(self, text: str | Iterable[str], language: str) -> Iterator[TextPiece]:
        """Pieces of a text, each made when it is asked for. Arguments as in `speak`."""
        return self.frontend.pieces(text, language)

    def speak(
        self,
        text: str | Iterable[str],
        reference: Reference,
        *,
        language: str,
        options: SpeechOptions | None = None,
    ) -> Iterator[Sentence]:
        """Speaks piece by piece; a piece is read, and spoken, when its turn comes.

        Args:
            text: A text of any length, or its parts in order (lines of a file, for example).
            reference: The voice to speak with.
            language: `"zh"`, `"en"`, `"ja"`, `"ko"`, `"yue"`, `"auto"`, ...: see `TextFrontend.pieces`.
            options: How to speak.

        Raises:
            TextError: No such language, nothing to say, or a language's extra is not installed.
            GenerationError: No usable speech within the allowed retries.
        """
        for piece in self.pieces(text, language):
            yield self.speak_piece(piece, reference, options=options)

    def speak_piece(
        self, piece: TextPiece, reference: Reference, *, options: SpeechOptions | None = None
    ) -> Sentence:
        """Speaks one piece that the front end made.

        Args:
            piece: The piece.
            reference: The voice to speak with.
            options: How to speak.

        Raises:
            GenerationError: No usable speech within the allowed retries.
        """
        phrase = self._phrase(piece)
        return self.voice.synthesize(phrase.phones, reference, bert=phrase.bert, options=options)

    def phrases(self, text: str | Iterable[str], language: str) -> Iterator[Phrase]:
        """What a voice speaks of a text, piece by piece, each read when it is asked for. Arguments as in `speak`."""
        return map(self._phrase, self.pieces(text, language))

    def _phrase(self, piece: TextPiece) -> Phrase:
        for note in piece.notes:
            logger.info("%s", note)
        return Phrase(piece.ids, self.bert_features(piece))

    def reference(
        self,
        recording: AudioSource,
        text: str,
        *,
        language: str,
        more_recordings: Sequence[AudioSource] = (),
    ) -> Reference:
        """Prepares a voice from a recording and the words that are said in it.

        Args:
            recording: WAV, FLAC, OGG or MP3 of 3 to 10 s (path, bytes or file object).
            text: Its transcript.
            language: Language or mode of the transcript.
            more_recordings: Further recordings of the voice, whose style is averaged in.

        Raises:
            TextError: The transcript cannot be read.
            AudioError: A recording cannot be read or has the wrong length.
            BundleError: The bundle has no HuBERT.
        """
        piece = self.frontend.transcript(text, language)
        for note in piece.notes:
            logger.info("%s", note)
        features = self.bert_features(piece)
        return self.voice.reference(recording, piece.ids, bert=features, more_recordings=more_recordings)

    def bert_features(self, piece: TextPiece) -> NDArray[np.float32] | None:
        """Features float32 [phones, 1024] of a piece, or None (zeros) where it has no Mandarin or there is no BERT."""
        if not any(phones.language == "zh" and len(phones) for phones in piece.phones):
            return None
        if self._tokenizer is None:
            self._warn_once()
            return None
        return piece.bert_features(self._tokenizer, self._encode)

    def release_bert(self) -> None:
        """Closes BERT; it is opened again when needed."""
        self.__dict__.pop("_session", None)

    def _warn_once(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(NO_TOKENIZER_NOTE if "bert" in self.voice.bundle.graph_names else NO_BERT_NOTE)

    @cached_property
    def _tokenizer_folder(self) -> Path | None:
        """The folder of the BERT graph, where a tokenizer lies beside it."""
        bundle = self.voice.bundle
        if "bert" not in bundle.graph_names:
            return None
        folder = bundle.graph_path("bert").parent
        return folder if any((folder / name).is_file() for name in TOKENIZER_FILES) else None

    @cached_property
    def _tokenizer(self) -> BertTokenizer | None:
        return BertTokenizer(self._tokenizer_folder) if self._tokenizer_folder else None

    @cached_property
    def _session(self) -> Session:
        return self.voice.open_graph("bert")

    def _encode(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """BERT's rows float32 [T, width] of ids int64 [1, T + 2]; the same words are not read twice."""
        digest = hashlib.sha256(self._bert_digest.encode() + tokens.tobytes()).hexdigest()
        return self._features.get(
            digest[:KEY_LENGTH],
            load=lambda path: _load_rows(path, tokens),
            make=lambda: np.asarray(self._session.run({"input_ids": tokens})["features"], np.float32),
            save=_save_rows,
        )

    @cached_property
    def _bert_digest(self) -> str:
        return self.voice.bundle.graph_digest("bert")


def _load_rows(path: Path, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    with np.load(path, allow_pickle=False) as arrays:
        rows: NDArray[np.float32] = arrays["features"]
    expected = tokens.shape[1] - 2
    if rows.dtype != np.float32 or rows.ndim != 2 or len(rows) != expected:
        raise ValueError(f"it holds {rows.dtype}{list(rows.shape)}, expected {expected} rows of float32")
    return rows


def _save_rows(rows: NDArray[np.float32], path: Path) -> None:
    with whole_file(path) as out:
        np.savez(out, allow_pickle=False, features=rows)
