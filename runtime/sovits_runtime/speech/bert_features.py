"""BERT features of Mandarin, computed once for the same words."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.feature_cache import KEY_LENGTH, text_cache
from sovits_runtime.bundle.files import write_file
from sovits_runtime.bundle.names import BERT
from sovits_runtime.bundle.session import Session
from sovits_runtime.speech.array_file import ArrayLimit, read_arrays
from sovits_runtime.text.bert_tokens import BertTokenizer
from sovits_runtime.text.piece import TextPiece

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


class BertFeatures:
    """The bundle's BERT and its tokenizer, each opened when first needed. Safe to use from several threads.

    Args:
        bundle: The bundle; it need not hold BERT.
        open_graph: Opens a graph of the bundle.
        work: What to enter while the graph runs; it may refuse.
    """

    def __init__(
        self,
        bundle: Bundle,
        open_graph: Callable[[str], Session],
        work: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._bundle = bundle
        self._open_graph = open_graph
        self._work = work
        self._cache = text_cache()
        self._warned = False

    def __call__(self, piece: TextPiece) -> NDArray[np.float32] | None:
        """Features float32 [phones, 1024] of a piece, or None (zeros) where it has no Mandarin or there is no BERT."""
        if not any(phones.language == "zh" and len(phones) for phones in piece.phones):
            return None
        if self._tokenizer is None:
            self._warn_once()
            return None
        return piece.bert_features(self._tokenizer, self._encode)

    @cached_property
    def tokenizer_folder(self) -> Path | None:
        """The folder of the BERT graph, where a tokenizer lies beside it."""
        if BERT not in self._bundle.graph_names:
            return None
        folder = self._bundle.graph_path(BERT).parent
        return folder if any((folder / name).is_file() for name in TOKENIZER_FILES) else None

    def release(self) -> None:
        """Closes the graph; it is opened again when needed."""
        self.__dict__.pop("_session", None)

    def _warn_once(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(NO_TOKENIZER_NOTE if BERT in self._bundle.graph_names else NO_BERT_NOTE)

    @cached_property
    def _tokenizer(self) -> BertTokenizer | None:
        return BertTokenizer(self.tokenizer_folder) if self.tokenizer_folder else None

    @cached_property
    def _session(self) -> Session:
        return self._open_graph(BERT)

    @cached_property
    def _digest(self) -> str:
        return self._bundle.graph_digest(BERT)

    def _encode(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows float32 [T, width] of ids int64 [1, T + 2]; the same words are not read twice."""
        digest = hashlib.sha256(self._digest.encode() + tokens.tobytes()).hexdigest()
        return self._cache.get(
            digest[:KEY_LENGTH],
            load=lambda path: _load_rows(path, tokens),
            make=lambda: self._run(tokens),
            save=_save_rows,
        )

    def _run(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        with self._work():
            return np.asarray(self._session.run({"input_ids": tokens})["features"], np.float32)


def _load_rows(path: Path, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    limit = ArrayLimit("float32", (tokens.shape[1] - 2, 4096))
    rows: NDArray[np.float32] = read_arrays(path, {"features": limit}, optional=frozenset())["features"]
    if len(rows) != tokens.shape[1] - 2:
        raise ValueError(f"it holds {len(rows)} rows, expected {tokens.shape[1] - 2}")
    return rows


def _save_rows(rows: NDArray[np.float32], path: Path) -> None:
    with write_file(path) as out:
        np.savez(out, allow_pickle=False, features=rows)
