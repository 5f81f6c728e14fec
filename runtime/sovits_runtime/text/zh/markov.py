"""Hidden Markov models of jieba: words that its dictionary lacks, with and without tags.

The tables are jieba's. The tie rules are those of jieba (tagged) and of jieba_fast's C code (plain).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from sovits_runtime.text.extras import once
from sovits_runtime.text.zh.package_data import jieba_table

_FLOOR: Final = -3.14e100
_STATES: Final = "BMES"
_PREVIOUS: Final = {"B": "ES", "M": "MB", "S": "SE", "E": "BM"}

TaggedState = tuple[str, str]


@once
def _plain_tables() -> tuple[Any, Any, Any]:
    start, trans, emit = (jieba_table(f"finalseg/prob_{name}.py") for name in ("start", "trans", "emit"))
    return start, trans, emit


def _plain_states(text: str) -> str:
    start, trans, emit = _plain_tables()
    scores = {state: emit[state].get(text[0], _FLOOR) + start[state] for state in _STATES}
    came_from: list[dict[str, str]] = []
    for char in text[1:]:
        fresh: dict[str, float] = {}
        back: dict[str, str] = {}
        for state in _STATES:
            emitted = emit[state].get(char, _FLOOR)
            best, origin = _FLOOR, max(_PREVIOUS[state])
            for previous in _PREVIOUS[state]:
                value = emitted + scores[previous] + trans[previous].get(state, _FLOOR)
                if value > best:
                    best, origin = value, previous
            fresh[state], back[state] = best, origin
        scores = fresh
        came_from.append(back)
    state = "S" if scores["S"] > scores["E"] else "E"
    path = [state]
    for back in reversed(came_from):
        state = back[state]
        path.append(state)
    return "".join(reversed(path))


def _join(text: str, states: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Spans of the words that begin/middle/end/single states describe."""
    begin = end = 0
    for index, state in enumerate(states):
        if state == "B":
            begin = index
        elif state == "E":
            end = index + 1
            yield begin, end
        elif state == "S":
            end = index + 1
            yield index, end
    if end < len(text):
        yield end, len(text)


def plain_words(text: str) -> list[str]:
    """Words of a run of Chinese characters.

    Raises:
        TextError: jieba is not installed.
    """
    return [text[begin:end] for begin, end in _join(text, _plain_states(text))]


class _TaggedModel:
    """Tables of the tagging model, transitions also looked up backwards."""

    def __init__(self) -> None:
        self.start: Mapping[TaggedState, float] = jieba_table("posseg/prob_start.py")
        self.emit: Mapping[TaggedState, Mapping[str, float]] = jieba_table("posseg/prob_emit.py")
        self.states_of: Mapping[str, tuple[TaggedState, ...]] = jieba_table("posseg/char_state_tab.py")
        self.trans: Mapping[TaggedState, Mapping[TaggedState, float]] = jieba_table("posseg/prob_trans.py")
        self.into: dict[TaggedState, list[tuple[TaggedState, float]]] = {}
        for origin, targets in self.trans.items():
            for target, value in targets.items():
                self.into.setdefault(target, []).append((origin, value))

    def step(
        self, char: str, scores: Mapping[TaggedState, float]
    ) -> tuple[dict[TaggedState, float], dict[TaggedState, TaggedState]]:
        """Scores and origins of the states a character may be in, after the states before it."""
        reachable = {target for origin in scores for target in self.trans[origin]}
        allowed = reachable.intersection(self.states_of.get(char, self.trans))
        fresh: dict[TaggedState, float] = {}
        back: dict[TaggedState, TaggedState] = {}
        for state in allowed or reachable:
            emitted = self.emit[state].get(char, _FLOOR)
            fresh[state], back[state] = max(
                (scores[origin] + value + emitted, origin)
                for origin, value in self.into[state]
                if origin in scores
            )
        return fresh, back


@once
def _tagged_model() -> _TaggedModel:
    return _TaggedModel()


@lru_cache(maxsize=2048)
def tagged_words(text: str) -> tuple[tuple[str, str], ...]:
    """Words of a run of Chinese characters, with part-of-speech tags.

    Raises:
        TextError: jieba is not installed.
    """
    model = _tagged_model()
    first = model.states_of.get(text[0], tuple(model.trans))
    scores = {state: model.start[state] + model.emit[state].get(text[0], _FLOOR) for state in first}
    came_from: list[dict[TaggedState, TaggedState]] = []
    for char in text[1:]:
        scores, back = model.step(char, scores)
        came_from.append(back)
    _, state = max((score, state) for state, score in scores.items())
    path = [state]
    for back in reversed(came_from):
        state = back[state]
        path.append(state)
    path.reverse()
    spans = _join(text, (position for position, _ in path))
    return tuple((text[begin:end], path[end - 1][1]) for begin, end in spans)
