"""Scenario `whole`: 6 s of speech from a prepared reference, by everybody in turn."""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

from contestant_process import SETTLE_S, Contestant, Round, take_turns
from contestants import RIVALS, Contestants

SHORT = 2  # tokens of the run that is subtracted, so that the prefill is not in the tokens a second


def whole(contestants: Contestants, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the scenario for every number of threads."""
    result: dict[str, Any] = {
        "what": {
            "prefill": f"100 phones and 125 prompt tokens, and {SHORT} tokens",
            "gpt": f"the same and {options.tokens} tokens, sampling included",
            "sovits": "tokens to waveform; baselines make the style of the reference anew for every sentence",
            "whole": "gpt and sovits",
        },
        "audio_s": options.tokens / 25,
    }
    for threads in options.threads:
        with contestants.started(threads, baselines=True) as started:
            rounds = take_turns(
                started,
                lambda contestant: turn(contestant, options.tokens),
                repeats=options.repeats,
                most=options.most_repeats,
                quiet=options.quiet,
            )
            result[f"{threads}"] = summary(rounds, options.tokens, [p.name for p in started])
    return result


def turn(contestant: Contestant, tokens: int) -> dict[str, float]:
    """One contestant's part of a round."""
    seconds = {}
    for name, run, arguments in (
        ("prefill", "gpt", {"tokens": SHORT}),
        ("gpt", "gpt", {"tokens": tokens}),
        ("sovits", "sovits", {}),
    ):
        time.sleep(SETTLE_S)
        answer = contestant.run(run, **arguments)
        if answer.get("tokens", arguments.get("tokens")) != arguments.get("tokens"):
            raise SystemExit(
                f"{contestant.name} made {answer['tokens']} tokens, expected {arguments['tokens']}"
            )
        seconds[name] = answer["seconds"]
    return {**seconds, "whole": seconds["gpt"] + seconds["sovits"]}


def summary(rounds: list[Round], tokens: int, names: list[str]) -> dict[str, Any]:
    """Medians of the rounds, and medians of the ratios within each round."""
    rates = [
        {name: (tokens - SHORT) / (r.seconds[name]["gpt"] - r.seconds[name]["prefill"]) for name in names}
        for r in rounds
    ]
    figures = {}
    for name in names:
        runs = {run: [r.seconds[name][run] for r in rounds] for run in rounds[0].seconds[name]}
        figures[name] = {
            **{f"{run}_s": median(values) for run, values in runs.items()},
            "tokens_per_s": median(rate[name] for rate in rates),
            "rtf": median(runs["whole"]) / (tokens / 25),
            "samples_s": runs,
            "times_faster": {
                baseline: {
                    "tokens": median(rate[name] / rate[baseline] for rate in rates),
                    **{
                        run: median(r.seconds[baseline][run] / r.seconds[name][run] for r in rounds)
                        for run in ("prefill", "gpt", "sovits", "whole")
                    },
                }
                for baseline in RIVALS
                if baseline in names and baseline != name
            },
        }
    return {"parties": figures, "rounds": len(rounds), "share_of_others": [r.others for r in rounds]}
