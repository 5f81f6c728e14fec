"""Scenarios `stream` and `chunks`: sound before the sentence is done, and what it costs further on."""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from statistics import median
from typing import Any

from contestant_process import SETTLE_S, Contestant
from contestants import Contestants

CHUNK_TOKENS = 25


def stream(contestants: Contestants, options: argparse.Namespace) -> dict[str, Any]:
    """Time to the first audio, and the margin of a player that starts with the first chunk."""
    threads = options.threads[-1]
    with contestants.started(threads) as started:
        answers = _answers(started, options.repeats, "stream", seconds=options.first_audio_s)
    summaries = {name: _stream_summary(runs) for name, runs in answers.items()}
    return {"threads": threads, "sentence_s": options.first_audio_s, "parties": summaries}


def _stream_summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    margins = [player_margin(run["came_s"], run["sound_s"]) for run in runs]
    rtf = [run["came_s"][-1] / sum(run["sound_s"]) for run in runs]
    return {
        "first_audio_s": median(run["came_s"][0] for run in runs),
        "first_chunk_sounds_s": runs[0]["sound_s"][0],
        "rtf": median(rtf),
        "least_margin_s": median(margins),
        "starved_runs": sum(margin < 0 for margin in margins),
        "runs": runs,
    }


def player_margin(came_s: list[float], sound_s: list[float]) -> float:
    """Least seconds by which a chunk comes before the player, who starts with the first one, needs it."""
    needed, margins = came_s[0], []
    for came, length in zip(came_s, [0.0, *sound_s], strict=False):
        needed += length
        margins.append(needed - came)
    return min(margins[1:], default=0.0)


def chunks(contestants: Contestants, options: argparse.Namespace) -> dict[str, Any]:
    """What each of many equal chunks costs: wall and processor time, tokens and sound apart; one thread."""
    with contestants.started(1) as started:
        answers = _answers(started, options.repeats, "chunks", seconds=options.long_s, tokens=CHUNK_TOKENS)
    summaries = {name: _chunk_summary(runs) for name, runs in answers.items()}
    return {"threads": 1, "sentence_s": options.long_s, "chunk_tokens": CHUNK_TOKENS, "parties": summaries}


def _chunk_summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Per chunk the least of all runs, since whatever disturbs can only add; then how flat they are.

    The first chunk holds the prefill and looks back at nothing; the last is a shorter rest.
    """
    summary: dict[str, Any] = {}
    for name in runs[0]:
        least = [min(run[name][i] for run in runs) for i in range(len(runs[0][name]))]
        middle = least[1:-1]
        third = max(1, len(middle) // 3)
        summary[name] = {
            "chunks": least,
            "median_s": median(middle),
            "highest_over_lowest": max(middle) / min(middle),
            "last_third_over_first": median(middle[-third:]) / median(middle[:third]),
            "spread_around_median": max(abs(x / median(middle) - 1) for x in middle),
            "largest_step_up": max((b / a for a, b in pairwise(middle)), default=1.0),
        }
    return summary


def _answers(
    contestants: list[Contestant], repeats: int, run: str, **arguments: Any
) -> dict[str, list[dict[str, Any]]]:
    """Lets bundles take turns; the first round is the warm-up."""
    results: dict[str, list[dict[str, Any]]] = {contestant.name: [] for contestant in contestants}
    for number in range(repeats + 1):
        for contestant in contestants[:: -1 if number % 2 else 1]:
            time.sleep(SETTLE_S)
            answer = contestant.run(run, **arguments)
            print(f"  round {number}: {contestant.name}: {answer['seconds']:.2f} s", flush=True)
            if number:
                results[contestant.name].append({k: v for k, v in answer.items() if isinstance(v, list)})
    return results
