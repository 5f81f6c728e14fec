"""BERT features for Chinese: one token a character, one feature row a phone.

Source: GPT-SoVITS, TTS_infer_pack/TextPreprocessor.py, get_bert_feature.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import BundleError, TextError
from sovits_runtime.text.extras import import_extra
from sovits_runtime.text.phones import Phones

BERT_WIDTH: Final = 1024
MAX_CHARS: Final = 510
# int64 [1, T + 2] token ids -> float32 [T, width]: the graph `bert` of a bundle.
EncodeTokens = Callable[[NDArray[np.int64]], NDArray[np.float32]]


class BertTokenizer:
    """Tokenizer of chinese-roberta-wwm-ext-large, without transformers.

    Args:
        path: `tokenizer.json` or `vocab.txt`, or the folder that holds one of them.

    Raises:
        BundleError: Neither file is there, or it cannot be read.
        TextError: The tokenizers package is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        candidates = [path / "tokenizer.json", path / "vocab.txt"] if path.is_dir() else [path]
        file = next((candidate for candidate in candidates if candidate.is_file()), None)
        if file is None:
            raise BundleError(
                f"no BERT tokenizer at {str(path)!r}: expected tokenizer.json or vocab.txt of "
                "chinese-roberta-wwm-ext-large; name that folder"
            )
        self._tokenizer = _load(file)
        special = [self._tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]", "[UNK]")]
        if None in special:
            raise BundleError(f"{str(file)!r} lacks [CLS], [SEP] or [UNK]: it is not a BERT vocabulary")
        self._start, self._end, self._unknown = special

    def encode(self, norm_text: str) -> NDArray[np.int64]:
        """Ids of a normalised Chinese text, exactly one a character between `[CLS]` and `[SEP]`.

        Args:
            norm_text: Ideographs and half-width marks, as the Chinese front end gives them.

        Returns:
            Shape `(1, len(norm_text) + 2)`, int64.
        """
        inner: list[int] = self._tokenizer.encode(norm_text, add_special_tokens=False).ids
        if len(inner) != len(norm_text):
            tokens = (self._tokenizer.token_to_id(char) for char in norm_text)
            inner = [self._unknown if token is None else token for token in tokens]
        return np.array([[self._start, *inner, self._end]], dtype=np.int64)


def _load(file: Path) -> Any:
    tokenizers = import_extra("tokenizers", "zh")
    try:
        if file.suffix == ".json":
            return tokenizers.Tokenizer.from_file(str(file))
        return tokenizers.BertWordPieceTokenizer(str(file), lowercase=True)
    except Exception as error:  # the package raises bare Exception
        raise BundleError(f"BERT tokenizer {str(file)!r} cannot be read ({error}): fetch it anew") from error


def char_features(norm_text: str, tokenizer: BertTokenizer, *, encode: EncodeTokens) -> NDArray[np.float32]:
    """Feature rows of the characters of one text; a text beyond 510 characters is encoded in stretches.

    Args:
        norm_text: Normalised Chinese text.
        tokenizer: Gives the ids.
        encode: Runs the graph: int64 `(1, T + 2)` -> float32 `(T, 1024)`.

    Returns:
        Shape `(len(norm_text), 1024)`, float32.

    Raises:
        TextError: The graph gave a different number of rows.
    """
    parts = [norm_text[start : start + MAX_CHARS] for start in range(0, len(norm_text), MAX_CHARS)]
    rows = [np.zeros((0, BERT_WIDTH), np.float32), *(encode(tokenizer.encode(part)) for part in parts)]
    features = np.concatenate(rows)
    if len(features) != len(norm_text):
        raise TextError(
            f"BERT gave {len(features)} rows for {len(norm_text)} characters; expected one a character "
            "without the first and last token: check the exported graph"
        )
    return features


def phone_features(phones: Phones, tokenizer: BertTokenizer, *, encode: EncodeTokens) -> NDArray[np.float32]:
    """Feature rows of the phones of one text: each character's row repeated; zeros unless it is Mandarin.

    Args:
        phones: Phones of one language.
        tokenizer: Gives the ids.
        encode: Runs the graph: int64 `(1, T + 2)` -> float32 `(T, 1024)`.

    Returns:
        Shape `(len(phones), 1024)`, float32.

    Raises:
        TextError: The graph gave a different number of rows.
    """
    if phones.language != "zh" or phones.word2ph is None:
        return np.zeros((len(phones), BERT_WIDTH), np.float32)
    features = char_features(phones.norm_text, tokenizer, encode=encode)
    return np.repeat(features, np.array(phones.word2ph, dtype=np.int64), axis=0)
