"""Pronunciation of unknown English words by the network that the g2p_en package ships.

Only the weights file is read: importing g2p_en would import nltk and try a download. The network is a character
encoder and a phone decoder, one GRU layer each, greedy, at most 20 phones.

Source: g2p_en (Apache-2.0), g2p.py, G2p.predict.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.text.extras import once, package_file
from sovits_runtime.text.word_list import word_list

_Array = NDArray[np.float32]
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_FIRST_LETTER, _UNKNOWN_LETTER, _WORD_END = 3, 1, 2
_PHONE_START, _PHONE_END = 2, 3
_MAX_PHONES: Final = 20
PHONES: Final = word_list(
    "<pad> <unk> <s> </s>"
    " AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0 ER1 ER2"
    " EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH"
    " UH0 UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH"
)


class _Gru:
    def __init__(self, weights: dict[str, _Array], prefix: str) -> None:
        self.embedding = weights[f"{prefix}_emb"]
        self.hidden_weight = np.ascontiguousarray(weights[f"{prefix}_w_hh"].T)
        self.hidden_bias = weights[f"{prefix}_b_hh"]
        self.inputs = self.embedding @ weights[f"{prefix}_w_ih"].T + weights[f"{prefix}_b_ih"]
        self.width = self.hidden_weight.shape[0]

    def step(self, token: int, hidden: _Array) -> _Array:
        split = 2 * self.width
        inner, outer = hidden @ self.hidden_weight + self.hidden_bias, self.inputs[token]
        gates = 1 / (1 + np.exp(-(outer[:split] + inner[:split])))
        reset, update = gates[: self.width], gates[self.width :]
        candidate = np.tanh(outer[split:] + reset * inner[split:])
        result: _Array = (1 - update) * candidate + update * hidden
        return result


class Predictor:
    """The network, loaded from a `checkpoint20.npz`.

    Args:
        weights: Arrays of the file, float32.
    """

    def __init__(self, weights: dict[str, _Array]) -> None:
        self._encoder, self._decoder = _Gru(weights, "enc"), _Gru(weights, "dec")
        self._out_weight = np.ascontiguousarray(weights["fc_w"].T)
        self._out_bias = weights["fc_b"]

    def predict(self, word: str) -> tuple[str, ...]:
        """ARPAbet phones of a lower-case word; a character that is no letter counts as unknown.

        Args:
            word: One word.
        """
        hidden: _Array = np.zeros(self._encoder.width, np.float32)
        for char in word:
            index = _LETTERS.find(char)
            hidden = self._encoder.step(_UNKNOWN_LETTER if index < 0 else index + _FIRST_LETTER, hidden)
        hidden = self._encoder.step(_WORD_END, hidden)
        phones: list[str] = []
        token = _PHONE_START
        for _ in range(_MAX_PHONES):
            hidden = self._decoder.step(token, hidden)
            token = int(np.argmax(hidden @ self._out_weight + self._out_bias))
            if token == _PHONE_END:
                break
            phones.append(PHONES[token])
        return tuple(phones)


@once
def predictor() -> Predictor:
    """The network with g2p_en's weights.

    Raises:
        TextError: The g2p_en package is not installed.
    """
    with np.load(package_file("g2p_en", "checkpoint20.npz", extra="en")) as archive:
        return Predictor({name: archive[name].astype(np.float32) for name in archive.files})
