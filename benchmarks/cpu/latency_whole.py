"""Scenario `whole`: 6 s of speech from a prepared reference, by everybody in turn."""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

from contestant_process import SETTLE_S, Party, Round, take_turns
from contestants import GENIE, ORIGINAL, LineUp

SHORT = 2  # tokens of the run that is subtracted, so that the prefill is not in the tokens a second


def whole(line_up: LineUp, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the scenario for every number of threads."""
    found: dict[str, Any] = {
        "what": {
            "prefill": f"100 phones and 125 prompt tokens, and {SHORT} tokens",
            "gpt": f"the same and {options.tokens} tokens, sampling included",
            "sovits": "tokens to waveform; rivals make the style of the reference anew for every sentence",
            "whole": "gpt and sovits",
        },
        "audio_s": options.tokens / 25,
    }
    for threads in options.threads:
        with line_up.started(threads, rivals=True) as parties:
            rounds = take_turns(
                parties,
                lambda party: turn(party, options.tokens),
                repeats=options.repeats,
                most=options.most_repeats,
                quiet=options.quiet,
            )
            found[f"{threads}"] = summary(rounds, options.tokens, [p.name for p in parties])
    return found


def turn(party: Party, tokens: int) -> dict[str, float]:
    """One party's part of a round."""
    seconds = {}
    for name, run, arguments in (
        ("prefill", "gpt", {"tokens": SHORT}),
        ("gpt", "gpt", {"tokens": tokens}),
        ("sovits", "sovits", {}),
    ):
        time.sleep(SETTLE_S)
        answer = party.run(run, **arguments)
        if answer.get("tokens", arguments.get("tokens")) != arguments.get("tokens"):
            raise SystemExit(f"{party.name} made {answer['tokens']} tokens, expected {arguments['tokens']}")
        seconds[name] = answer["seconds"]
    return {**seconds, "whole": seconds["gpt"] + seconds["sovits"]}


def summary(rounds: list[Round], tokens: int, names: list[str]) -> dict[str, Any]:
    """Medians of the rounds, and medians of the ratios within each round."""
    rates = [
        {name: (tokens - SHORT) / (r.seconds[name]["gpt"] - r.seconds[name]["prefill"]) for name in names}
        for r in rounds
    ]
    parties = {}
    for name in names:
        runs = {run: [r.seconds[name][run] for r in rounds] for run in rounds[0].seconds[name]}
        parties[name] = {
            **{f"{run}_s": median(values) for run, values in runs.items()},
            "tokens_per_s": median(rate[name] for rate in rates),
            "rtf": median(runs["whole"]) / (tokens / 25),
            "samples_s": runs,
            "times_faster": {
                rival: {
                    "tokens": median(rate[name] / rate[rival] for rate in rates),
                    **{
                        run: median(r.seconds[rival][run] / r.seconds[name][run] for r in rounds)
                        for run in ("prefill", "gpt", "sovits", "whole")
                    },
                }
                for rival in (ORIGINAL, GENIE)
                if rival in names and rival != name
            },
        }
    return {"parties": parties, "rounds": len(rounds), "share_of_others": [r.others for r in rounds]}
