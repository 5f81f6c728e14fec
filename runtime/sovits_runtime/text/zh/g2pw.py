"""Polyphones by a G2PW model of the user's, run through ONNX Runtime.

Source: GPT-SoVITS, text/g2pw/onnx_api.py, text/g2pw/dataset.py, text/g2pw/g2pw.py.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np

from sovits_runtime.errors import BundleError, TextError
from sovits_runtime.machine.onnx_runtime import load_onnxruntime, open_model, ort_errors, session_options
from sovits_runtime.text.bert_tokens import BertTokenizer
from sovits_runtime.text.extras import import_extra, install_line, once
from sovits_runtime.text.g2pw_place import chosen_folder
from sovits_runtime.text.zh.g2pw_folder import read_g2pw_folder
from sovits_runtime.text.zh.package_data import simplified_characters

logger = logging.getLogger(__name__)

BERT_VARIABLE: Final = "SOVITS_BERT_DIR"
NO_OPENCC_NOTE: Final = (
    "zh: OpenCC is not installed, so G2PW, which reads traditional characters, was given them one by one from a "
    f"table; {install_line('g2pw')}"
)
# Characters that the original leaves to pypinyin although the model knows them.
_LEFT_OUT: Final = frozenset("一不和咋嗲剖差攢倒難奔勁拗肖瘙誒泊听噢")
_NOT_SINGLE: Final = frozenset("似攢")
_CONTEXT: Final = 16
_LONGEST: Final = 510
_INPUTS: Final = ("input_ids", "token_type_ids", "attention_mask", "phoneme_mask", "char_ids", "position_ids")


class PolyphoneReader:
    """Reads clauses of Mandarin: toned pinyin for every character.

    Args:
        folder: The folder `G2PWModel` of GPT-SoVITS; see `g2pw_folder`.
        tokenizer: Tokenizer file or folder, where the G2PW folder holds none.
        threads: Threads within one operator of the model; None: the physical cores that this process may use.

    Raises:
        TextError: The folder cannot be used.
        BackendError: ONNX Runtime is missing or cannot open the model.
    """

    def __init__(
        self, folder: str | Path, tokenizer: str | Path | None = None, *, threads: int | None = None
    ) -> None:
        self._files = read_g2pw_folder(Path(folder))
        self._tokenizer = _find_tokenizer(Path(folder), tokenizer)
        self._threads = threads
        self._opening = Lock()
        self._session: Any = None
        self._opened()
        self._char_ids = {char: index for index, char in enumerate(self._files.readings)}
        self.notes = () if find_spec("opencc") else (NO_OPENCC_NOTE,)

    def release(self) -> None:
        """Closes the model, which takes some 600 MB; what is read next opens it again."""
        self._session = None

    def _opened(self) -> Any:
        with self._opening:
            if self._session is None:
                self._session = _open(self._files.model, self._threads)
            return self._session

    def correct(self, word: str, readings: Sequence[str | None]) -> list[str | None]:
        """Readings of a word after the folder's corrections: the whole word's, else those of its characters.

        Args:
            readings: What `readings` gave for its characters.
        """
        corrections = self._files.corrections
        if word in corrections:
            return list(corrections[word])
        return [
            corrections[char][0] if char in corrections else sound
            for char, sound in zip(word, readings, strict=True)
        ]

    @lru_cache(maxsize=1024)  # noqa: B019 - a reader lives as long as the process, without its model
    def readings(self, clause: str) -> tuple[str | None, ...]:
        """Pinyin with tone digit of every character: the model's, the only one, or pypinyin's; None for marks.

        Args:
            clause: Ideographs and half-width marks.
        """
        traditional = _traditional(clause)
        sounds = _phrase_readings(clause)
        for index, char in enumerate(traditional):
            if char in self._files.single and char not in _NOT_SINGLE:
                sounds[index] = self._files.pinyin_of(self._files.single[char]) or sounds[index]
        positions = [i for i, c in enumerate(traditional) if c in self._char_ids and c not in _LEFT_OUT]
        for group in _groups(positions):
            for index, label in zip(group, self._predict(traditional, group), strict=True):
                sounds[index] = self._files.pinyin_of(label) or sounds[index]
        return tuple(sounds)

    def _predict(self, text: str, positions: Sequence[int]) -> list[str]:
        """Labels of the characters at some positions, from one run over the stretch of text around them all."""
        start = max(0, positions[0] - _CONTEXT)
        tokens = self._tokenizer.encode(text[start : positions[-1] + _CONTEXT + 1].lower())
        mask = np.full((len(positions), len(self._files.labels)), 0 if self._files.masked else 1, np.float32)
        if self._files.masked:
            for row, index in enumerate(positions):
                mask[row, list(self._files.readings[text[index]])] = 1
        arrays = (
            tokens,
            np.zeros_like(tokens),
            np.ones_like(tokens),
            mask,
            np.array([self._char_ids[text[index]] for index in positions], np.int64),
            np.array([index - start + 1 for index in positions], np.int64),
        )
        session = self._opened()
        with ort_errors(f"{self._files.model}: failed on {len(positions)} characters"):
            chances = session.run(None, dict(zip(_INPUTS, arrays, strict=True)))[0]
        return [self._files.labels[index] for index in np.argmax(chances, axis=1)]


def _phrase_readings(clause: str) -> list[str | None]:
    """What pypinyin makes of the whole clause."""
    library = import_extra("pypinyin", "zh")
    sounds = library.lazy_pinyin(clause, style=library.Style.TONE3, neutral_tone_with_five=True)
    if len(sounds) != len(clause):
        return [None] * len(clause)
    return [sound if sound[-1:].isdigit() else None for sound in sounds]


def _groups(positions: Sequence[int]) -> list[list[int]]:
    """Positions in stretches that fit the model with their context."""
    groups: list[list[int]] = []
    for index in positions:
        if not groups or index - groups[-1][0] > _LONGEST - 2 * _CONTEXT - 1:
            groups.append([])
        groups[-1].append(index)
    return groups


def _traditional(clause: str) -> str:
    if find_spec("opencc"):
        converted = str(_converter().convert(clause))
        if len(converted) == len(clause):
            return converted
    return clause.translate(_traditional_characters())


@once
def _converter() -> Any:
    return import_extra("opencc", "g2pw").OpenCC("s2tw")


@once
def _traditional_characters() -> dict[int, str]:
    table: dict[int, str] = {}
    for old, new in simplified_characters().items():
        table.setdefault(ord(new), chr(old))
    return table


def _find_tokenizer(folder: Path, explicit: str | Path | None) -> BertTokenizer:
    named = os.environ.get(BERT_VARIABLE)
    for place in (folder, explicit, named):
        try:
            if place:
                return BertTokenizer(place)
        except BundleError:
            logger.debug("no tokenizer at %s", place)
    raise TextError(
        f"G2PW needs the tokenizer of chinese-roberta-wwm-ext-large: put its vocab.txt into {str(folder)!r}, or name "
        f"the BERT folder in {BERT_VARIABLE}"
    )


def _open(model: Path, threads: int | None) -> Any:
    ort = load_onnxruntime()
    options = session_options(ort, threads=threads)
    what = f"{model}: ONNX Runtime cannot open it"
    session = open_model(ort, model, options=options, what=what, then="fetch it anew")
    names = {one.name for one in session.get_inputs()}
    if names != set(_INPUTS):
        raise TextError(
            f"{model}: takes {', '.join(sorted(names))}, expected {', '.join(_INPUTS)}: it is no G2PW model"
        )
    return session


@lru_cache(maxsize=2)
def _reader(folder: str, tokenizer: str | None, threads: int | None) -> PolyphoneReader:
    return PolyphoneReader(folder, tokenizer, threads=threads)


def polyphone_reader(
    folder: str | Path | None = None,
    tokenizer: str | Path | None = None,
    *,
    threads: int | None = None,
) -> PolyphoneReader | None:
    """The reader of a folder, one for all voices; without a folder that of `SOVITS_G2PW_DIR`, the fetched one, or None.

    Args:
        folder: The folder `G2PWModel` of GPT-SoVITS.
        tokenizer: Tokenizer file or folder, where the G2PW folder holds none.

    Raises:
        TextError: The folder cannot be used.
        BackendError: ONNX Runtime is missing or cannot open the model.
    """
    folder = folder or chosen_folder()
    return _reader(str(folder), str(tokenizer) if tokenizer else None, threads) if folder else None
