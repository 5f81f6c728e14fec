"""Replay recorded outputs of the official text front end and count agreement.

    python tests/text_conformance.py FILE.jsonl [--lang zh] [--min 98]

Reads text lines (`clean_text` + `cleaned_text_to_sequence`: lang, version, text, ids, word2ph, norm_text, note) and,
with `text_conformance_segments.py` beside it, lines that have a `kind`. Corrections are off (`official=True`).

The exit code is 1 if a language agrees less than its limit, if nothing was replayed, or if a line's kind is unknown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_runtime.errors import TextError
from sovits_runtime.text import SymbolVersion, phonemize

Row = Mapping[str, Any]
LIMITS = {"en": 94.0}
"""Least agreement in percent, of all languages that are not named 100. English agrees in 98.7 % of the recorded
sentences with nltk's tagger, and without it in 94.8 %: it chooses between readings such as those of "read"."""
UNKNOWN_KIND = "kind not known here"
MISSING_PARTS = ("user dictionary (not obtainable)",)


@dataclass(frozen=True)
class Outcome:
    """What one recorded line showed.

    Attributes:
        language: Language, with the symbol version for text lines.
        kind: What the line is about.
        equal: Whether ours equals the official output.
        detail: What differs, or a remark.
        apart: Why the line does not count, or empty.
    """

    language: str
    kind: str
    equal: bool
    detail: str = ""
    apart: str = ""


def replay_text(row: Row) -> Outcome:
    version: SymbolVersion = "v1" if row["version"] == "v1" else "v2"
    note = row.get("note") or ""
    kind = note.split(";")[0].strip() or "text"
    if kind.startswith(("syllable ", "jyutping ")):
        kind = kind.split()[0]
    outcome = {"language": f"{row['lang']} {version}", "kind": kind}
    if row.get("error"):
        return Outcome(**outcome, equal=False, apart="official raised")
    apart = "official part missing" if any(part in note for part in MISSING_PARTS) else ""
    try:
        phones = phonemize(row["text"], row["lang"], symbols=version, official=True)
    except TextError as error:
        return Outcome(**outcome, equal=not row["ids"], detail=f"{row['text']!r}: {error}", apart=apart)
    ours = {
        "ids": phones.ids.tolist(),
        "word2ph": None if phones.word2ph is None else list(phones.word2ph),
        "norm_text": phones.norm_text,
    }
    differing = [name for name, value in ours.items() if value != row[name]]
    detail = f"{row['text']!r}: {', '.join(differing)}" if differing else ""
    if "norm_text" in differing:
        detail += f"\n      official {row['norm_text']!r}\n      ours     {phones.norm_text!r}"
    if "ids" in differing:
        detail += f"\n      official {' '.join(row['phones'])}\n      ours     {' '.join(phones.symbols)}"
    return Outcome(
        **outcome, equal="ids" not in differing and "word2ph" not in differing, detail=detail, apart=apart
    )


def replayers() -> dict[str, Callable[[Row], Outcome]]:
    """Kind of line -> what replays it; text lines have no kind."""
    kinds: dict[str, Callable[[Row], Outcome]] = {"": replay_text}
    try:
        from text_conformance_segments import KINDS
    except ModuleNotFoundError:
        return kinds
    return {**kinds, **KINDS}


def replay_file(path: Path, languages: set[str]) -> Iterator[Outcome]:
    known = replayers()
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if languages and row.get("lang", row.get("language")) not in languages:
            continue
        replay = known.get(row.get("kind", ""))
        if replay is None:
            yield Outcome("-", row["kind"], equal=False, apart=UNKNOWN_KIND)
        else:
            yield replay(row)


def report(outcomes: list[Outcome], minimum: float | None) -> list[str]:
    """Print figures per language and kind.

    Args:
        outcomes: Of all lines.
        minimum: Least agreement of every language, in percent; None: those of `LIMITS`.

    Returns:
        What was not as it must be, a line each.
    """
    total: Counter[tuple[str, str]] = Counter()
    equal: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        name = f"[{outcome.apart}] {outcome.kind}" if outcome.apart else outcome.kind
        keys = (
            [(outcome.language, name)]
            if outcome.apart
            else [(outcome.language, name), (outcome.language, "ALL")]
        )
        total.update(keys)
        equal.update(keys if outcome.equal else [])
        if outcome.detail and not outcome.equal:
            print(f"  DIFFERS {outcome.language} {name} {outcome.detail}")
        elif outcome.detail and "norm_text" in outcome.detail:
            print(f"  same ids, other text: {outcome.language} {name} {outcome.detail}")
    problems = []
    for language, kind in sorted(total):
        share = 100 * equal[language, kind] / total[language, kind]
        line = (
            f"{language:8} {kind:40} {equal[language, kind]:5} of {total[language, kind]:5} = {share:6.2f} %"
        )
        least = LIMITS.get(language.split()[0], 100.0) if minimum is None else minimum
        if kind == "ALL":
            line += f"  limit {least:g} %  {'ok' if share >= least else 'BELOW'}"
        if kind == "ALL" and share < least:
            problems.append(f"{language} agrees in {share:.2f} %, expected at least {least:g} %")
        print(line)
    unknown = sum(outcome.apart == UNKNOWN_KIND for outcome in outcomes)
    problems += [f"{unknown} lines are of an unknown kind"] if unknown else []
    counted = any(kind == "ALL" for _, kind in total)
    return problems if counted or problems else ["there was nothing to replay"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--lang", action="append", default=[], help="only these languages; may be repeated")
    parser.add_argument(
        "--min", type=float, help="least agreement of every language, in percent [100, English 94]"
    )
    arguments = parser.parse_args()
    try:
        outcomes = list(replay_file(arguments.file, set(arguments.lang)))
    except (OSError, ValueError) as error:
        parser.error(f"{arguments.file}: no recorded lines ({error})")
    problems = report(outcomes, arguments.min)
    for problem in problems:
        print(f"{arguments.file}: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
