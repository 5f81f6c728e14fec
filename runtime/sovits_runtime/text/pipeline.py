"""The whole way from text to what the acoustic models take: pieces, language segments, phones, BERT features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sovits_runtime.errors import NothingToSay, TextError
from sovits_runtime.text import phonemize
from sovits_runtime.text.detector import fasttext_detector
from sovits_runtime.text.official_pipeline import OfficialPipeline
from sovits_runtime.text.parts import DEFAULT_IDLE_S, checked_idle, checked_text
from sovits_runtime.text.piece import NOTHING_TO_SAY, TextPiece
from sovits_runtime.text.runs import Detector
from sovits_runtime.text.segment import checked_mode
from sovits_runtime.text.spell_out import kind_names
from sovits_runtime.text.spelled_pipeline import SpelledPipeline
from sovits_runtime.text.split import METHODS, SPLITTERS, STREAM
from sovits_runtime.text.symbols import SymbolVersion
from sovits_runtime.text.user_lexicon import Lexicon

if TYPE_CHECKING:
    from sovits_runtime.text.zh.g2pw import PolyphoneReader


@dataclass(frozen=True)
class TextFrontend:
    """Text -> pieces with phones.

    Attributes:
        symbols: Symbol table of the model.
        official: Cut, segment and read exactly as the original does, its misreadings included.
        method: `"stream"`, or `"cut0"` to `"cut5"` of the original, which has no `"stream"`: `official` then means
            its languages and rules, on pieces of ours.
        detector: Tells languages apart where the script does not; None takes the best one installed.
        polyphones: Reads Mandarin polyphones; None: a G2PW folder that `SOVITS_G2PW_DIR` names, else pypinyin.
        without: Names of kinds of rewriting that are left out, such as `"roman-numerals"`.
        lexicon: Readings of the user; not asked by `official`.
        idle_s: Of text that comes in parts, a sentence that looks finished is spoken once nothing has come for so long.

    Raises:
        TextError: No such method or kind, `idle_s` is no time, or the lexicon holds phones that the model lacks.
    """

    symbols: SymbolVersion = "v2"
    official: bool = False
    method: str = STREAM
    detector: Detector | None = None
    polyphones: PolyphoneReader | None = None
    without: frozenset[str] = frozenset()
    lexicon: Lexicon = field(default_factory=Lexicon)
    idle_s: float = DEFAULT_IDLE_S

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise TextError(f"cut method {self.method!r} does not exist: use one of {', '.join(METHODS)}")
        checked_idle(self.idle_s)
        self.lexicon.check(self.symbols)
        unknown = sorted(set(self.without) - kind_names()) if self.without else []
        if unknown:
            names = ", ".join(sorted(kind_names()))
            raise TextError(f"kind of rewriting {unknown[0]!r} does not exist: use one of {names}")

    def pieces(self, text: str | Iterable[str], mode: str) -> Iterator[TextPiece]:
        """Pieces in order, each made when it is needed.

        Args:
            text: A text; with the method `"stream"` also its parts in order.
            mode: `"zh"`, `"en"`, `"ja"`, `"ko"`, `"yue"`, `"all_zh"`, `"all_ja"`, `"all_ko"`, `"all_yue"`, `"auto"` or
                `"auto_yue"`: see `segments_for_mode`.

        Raises:
            TextError: No such mode, the text is none, nothing to say at all, or a package is not installed.
        """
        text = checked_text(text)
        checked_mode(mode)
        if not self.official:
            pieces = self._spelled(mode).pieces(text, self.method)
        elif self.method == STREAM:
            pieces = self._official().grown_pieces(text, mode, self.idle_s)
        else:
            pieces = self._official().pieces("".join(text), mode, self.method)
        spoken = False
        for piece in pieces:
            yield piece
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
        if not isinstance(checked_text(text), str):
            raise TextError(
                f"transcript: got {type(text).__name__}, expected the words of the recording, one string"
            )
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
        checked_mode(mode)
        return self._official().read(piece, mode) if self.official else self._spelled(mode).read(piece)

    def _official(self) -> OfficialPipeline:
        return OfficialPipeline(partial(phonemize, official=True, **self._readers()), self.detector)

    def _spelled(self, mode: str) -> SpelledPipeline:
        detector = (self.detector or fasttext_detector()) if mode.startswith("auto") else None
        read = partial(phonemize, spelled=True, **self._readers())
        return SpelledPipeline(
            read,
            mode,
            detector,
            symbols=self.symbols,
            without=self.without,
            lexicon=self.lexicon,
            idle_s=self.idle_s,
        )

    def _readers(self) -> dict[str, Any]:
        polyphones = {} if self.polyphones is None else {"polyphones": self.polyphones}
        return {"symbols": self.symbols, **polyphones}
