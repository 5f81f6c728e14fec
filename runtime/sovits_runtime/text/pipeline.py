"""The whole way from text to what the acoustic models take: pieces, language segments, phones, BERT features.

Source: GPT-SoVITS, TTS_infer_pack/TextPreprocessor.py, preprocess, get_phones_and_bert, segment_and_extract_feature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import NothingToSay, TextError
from sovits_runtime.text import LANGUAGE_MODULES, phonemize
from sovits_runtime.text.bert_tokens import BERT_WIDTH, BertTokenizer, EncodeTokens, phone_features
from sovits_runtime.text.phones import Phones
from sovits_runtime.text.runs import Detector
from sovits_runtime.text.segment import Segment, segments_for_mode
from sovits_runtime.text.split import (
    METHODS,
    SPLITTERS,
    STREAM,
    collapse_marks,
    official_pieces,
    with_start_mark,
)
from sovits_runtime.text.stream import stream_pieces
from sovits_runtime.text.symbols import SymbolVersion

if TYPE_CHECKING:
    from sovits_runtime.text.zh.g2pw import PolyphoneReader

_FEWEST_PHONES: Final = 6
_SPACES: Final = re.compile(" {2,}")
_WORD: Final = re.compile(r"\w")
NOTHING_TO_SAY: Final = (
    "nothing to say: the text holds no character that can be read aloud; give words in the chosen language"
)


@dataclass(frozen=True)
class TextPiece:
    """A piece of text, ready to be spoken.

    Attributes:
        text: The piece as it was cut from the text.
        segments: Its stretches of one language each, as they were read.
        phones: Phones of each stretch.
        notes: What was dropped or done differently.
    """

    text: str
    segments: tuple[Segment, ...]
    phones: tuple[Phones, ...]
    notes: tuple[str, ...] = ()

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


def _silence(segment: Segment) -> Phones:
    norm_text = collapse_marks(segment.text) if segment.language == "ja" else ""
    return Phones((), np.zeros(0, np.int64), None, norm_text, segment.language)


def _read_officially(segment: Segment, read: Callable[..., Phones]) -> Phones:
    """Phones of a stretch; marks alone are read as English white space, and only Mandarin minds having no phones."""
    if segment.language not in LANGUAGE_MODULES:
        return read(" ", "en", official=True)
    try:
        return read(segment.text, segment.language, official=True)
    except NothingToSay:
        if segment.language == "zh":
            raise
        return _silence(segment)


def _read_leniently(segment: Segment, read: Callable[..., Phones]) -> Phones:
    """Phones of a stretch; one without anything to read is left out with a note."""
    if segment.language not in LANGUAGE_MODULES:
        return _silence(segment)
    try:
        return read(segment.text, segment.language)
    except NothingToSay:
        note = f"{segment.language}: {segment.text.strip()!r} holds nothing that can be read and was left out"
        return replace(_silence(segment), notes=(note,) if _WORD.search(segment.text) else ())


@dataclass(frozen=True)
class TextFrontend:
    """Text -> pieces with phones.

    Attributes:
        symbols: Symbol table of the model.
        official: Cut, segment and read exactly as the original does, its misreadings included.
        method: `"stream"`, or `"cut0"` to `"cut5"` of the original.
        detector: Tells languages apart where the script does not; None takes the best one installed.
        polyphones: Reads Mandarin polyphones; None: a G2PW folder that `SOVITS_G2PW_DIR` names, else pypinyin.
    """

    symbols: SymbolVersion = "v2"
    official: bool = False
    method: str = STREAM
    detector: Detector | None = None
    polyphones: PolyphoneReader | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise TextError(f"cut method {self.method!r} does not exist: use one of {', '.join(METHODS)}")

    def pieces(self, text: str | Iterable[str], mode: str) -> Iterator[TextPiece]:
        """Pieces in order, each made when it is needed.

        Args:
            text: A text; with the method `"stream"` also its parts in order.
            mode: `"zh"`, `"en"`, `"ja"`, `"ko"`, `"yue"`, `"all_zh"`, `"all_ja"`, `"all_ko"`, `"all_yue"`, `"auto"` or
                `"auto_yue"`: see `segments_for_mode`.

        Raises:
            TextError: No such mode, nothing to say at all, or a package is not installed.
        """
        spoken = False
        for piece in self._cut(text, mode):
            try:
                yield self.read(piece, mode)
            except NothingToSay:
                if self.official:
                    raise
            else:
                spoken = True
        if not spoken:
            raise NothingToSay(NOTHING_TO_SAY)

    def transcript(self, text: str, mode: str) -> TextPiece:
        """The words of a reference recording: not cut, only given an end mark.

        Args:
            text: What is said in the recording.

        Raises:
            TextError: No such mode, nothing to say, or a package is not installed.
        """
        text = text.strip("\n")
        if not text.strip():
            raise NothingToSay("nothing to say: the transcript is empty; give the words of the recording")
        if text[-1] not in SPLITTERS:
            text += "." if mode == "en" else "。"
        return self.read(text, mode)

    def read(self, piece: str, mode: str) -> TextPiece:
        """Phones of one piece; if there are fewer than six, a full stop is put in front, once.

        Args:
            piece: Text that is spoken in one go.

        Raises:
            TextError: No such mode, nothing to say, or a package is not installed.
        """
        read = self._read_once(piece, mode)
        if len(read.ids) < _FEWEST_PHONES:
            again = self._read_once("." + piece, mode)
            return TextPiece(piece, again.segments, again.phones, again.notes)
        return read

    def _cut(self, text: str | Iterable[str], mode: str) -> Iterator[str]:
        if self.method == STREAM:
            for index, piece in enumerate(stream_pieces(text, mode)):
                yield piece if index else with_start_mark(piece, mode)
            return
        whole = text if isinstance(text, str) else "".join(text)
        yield from (
            piece
            for piece in official_pieces(collapse_marks(whole), mode, self.method)
            if piece or self.official
        )

    def _read_once(self, piece: str, mode: str) -> TextPiece:
        spaced = _SPACES.sub(" ", piece)
        segments = segments_for_mode(spaced, mode, detector=self.detector)
        read = partial(phonemize, symbols=self.symbols)
        if self.polyphones is not None:
            read = partial(read, polyphones=self.polyphones)
        read_segment = _read_officially if self.official else _read_leniently
        phones = tuple(read_segment(segment, read) for segment in segments)
        if not self.official and not any(map(len, phones)):
            raise NothingToSay(NOTHING_TO_SAY)
        notes = dict.fromkeys(note for part in phones for note in part.notes)
        return TextPiece(piece, tuple(segments), phones, tuple(notes))
