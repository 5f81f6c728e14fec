"""What text normalisers read right, beside our own front end; their speed, size and licence.

    python benchmarks/text/normalisers.py PAIRS.jsonl [--only NAME ...] [--show] [--wheels] [-o benchmarks/results/NAME]

A pair is a line with `lang`, `kind`, `text`, and `like`: spelled-out texts that must sound the same. An optional `mode`
and `like_mode` name the mode to read each in. Every engine that is installed makes words of `text`, and our front end
reads these. It is right if the phones are those of one `like`; pauses and the stress of English vowels do not count.
Numbers-to-words libraries are compared on `numbers.jsonl`, placed into the sentence under `in`.

Each engine runs alone in a process for each language, twice; the second start counts as cold. Every other text warms it
up; the others are timed, joined to passages of 100 characters. Times are of the processor, which other programs disturb
less. What our front end takes holds phones too; an engine's time would come on top. --wheels also asks the package
index for which systems a compiler is needed. -o writes NAME.json and NAME.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from normaliser_engines import ENGINES, PRESENT, Engine
from normaliser_packages import licence, needed, size_bytes, without_wheels

from sovits_runtime.bundle.files import json_text
from sovits_runtime.errors import TextError
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.text.pipeline import TextFrontend

HERE = Path(__file__).parent
PAUSES = frozenset({"!", "?", "…", ",", ".", "-", "_", "SP", "SP2", "SP3", "停"})
SILENT = PAUSES | {"[", "]", "空"}


@dataclass
class Outcome:
    """What an engine made of the pairs of a language.

    Attributes:
        right: Whether each pair was read right, by its place among the pairs.
        words: What the engine made of each.
        failed: Texts at which it raised an error.
        first_s: Seconds of the very first start, in which grammars may be compiled and kept.
        cold_s: Seconds from nothing imported to the first text done.
        ms_per_100: Milliseconds for 100 characters, warm: median, and 95th percentile.
    """

    right: dict[int, bool] = field(default_factory=dict)
    words: dict[int, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    first_s: float = 0.0
    cold_s: float = 0.0
    ms_per_100: tuple[float, float] = (0.0, 0.0)


Outcomes = dict[str, dict[str, Outcome]]
"""By language, then engine."""


def main() -> None:
    options = arguments()
    engines = {name: engine for name, engine in ENGINES.items() if usable(name, engine, options.only)}
    pairs, numbers = lines(options.pairs), lines(HERE / "numbers.jsonl")
    with tempfile.TemporaryDirectory() as kept:
        read_pairs = compare(engines, pairs, kept, numbers=False)
        read_numbers = compare(engines, numbers, kept, numbers=True)
    installed = {name: engine.package for name, engine in engines.items() if engine.package}
    packages = {name: package_costs(package, wheels=options.wheels) for name, package in installed.items()}
    result = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": installed_versions(("sovits-export", *installed.values())),
        "packages": packages,
        "pairs": plain(pairs, read_pairs),
        "numbers": plain(numbers, read_numbers),
    }
    report = "\n".join(
        [
            *["## Packages", "", *package_table(packages), ""],
            *["## Speed", "", *speed_table(read_pairs), "", *speed_table(read_numbers), ""],
            *["## Pairs read right", "", *kind_tables(pairs, read_pairs)],
            *["## Numbers read right", "", *kind_tables(numbers, read_numbers)],
        ]
    )
    print(report)
    if options.show:
        print("\n".join(["", *changes(pairs, read_pairs), *changes(numbers, read_numbers)]))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.with_suffix(".json").write_text(json_text(result), encoding="utf-8")
        head = heading(result)
        options.output.with_suffix(".md").write_text(f"{head}\n\n{report}\n", encoding="utf-8")


def usable(name: str, engine: Engine, only: list[str]) -> bool:
    """Whether an engine is wanted and installed; says so where it is not."""
    if name == PRESENT:
        return True
    if only and name not in only:
        return False
    try:
        distribution(engine.package)
    except PackageNotFoundError:
        print(f"{engine.package} is not installed: left out", file=sys.stderr)
        return False
    return True


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def compare(engines: dict[str, Engine], pairs: list[dict[str, Any]], kept: str, *, numbers: bool) -> Outcomes:
    """Has every engine spell the pairs of its languages, and our front end read the words."""
    outcomes: Outcomes = defaultdict(dict)
    for language in dict.fromkeys(pair["lang"] for pair in pairs):
        mine = {place: pair for place, pair in enumerate(pairs) if pair["lang"] == language}
        for name, engine in engines.items():
            if language in engine.languages and (name == PRESENT or engine.numbers == numbers):
                outcomes[language][name] = outcome(name, language, mine, kept)
                print(f"{language} {name}: done", file=sys.stderr)
    return outcomes


def outcome(name: str, language: str, pairs: dict[int, dict[str, Any]], kept: str) -> Outcome:
    own = "text" if name == PRESENT else "number"
    items = [(pair["kind"], pair.get(own, pair["text"])) for pair in pairs.values()]
    order = {"engine": name, "language": language, "cache": str(Path(kept) / name), "items": items}
    first, run = work(order), work(order)
    made = Outcome(first_s=first["cold_s"], cold_s=run["cold_s"])
    for (place, pair), (words, error) in zip(pairs.items(), run["spelled"], strict=True):
        made.words[place] = words
        made.right[place] = not error and is_right(pair, words)
        if error:
            made.failed[pair["text"]] = error
    speeds = sorted(1e5 * seconds / length for seconds, length in run["timed"])
    if speeds:
        made.ms_per_100 = (statistics.median(speeds), speeds[int(0.95 * len(speeds))])
    return made


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Runs an engine in its own process; its answer is the last line of what it prints."""
    command = [sys.executable, str(HERE / "normaliser_engines.py")]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{order['engine']} ({order['language']}) did not run:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def is_right(pair: dict[str, Any], words: str) -> bool:
    """Whether words sound like one of the texts that a pair names."""
    mode, sentence = pair.get("mode", pair["lang"]), pair.get("in", "{}")
    got = phones(sentence.replace("{}", words), mode)
    wanted = [phones(sentence.replace("{}", like), pair.get("like_mode", mode)) for like in pair["like"]]
    return bool(got) and got in wanted


@cache
def frontend() -> TextFrontend:
    return TextFrontend()


@cache
def phones(text: str, mode: str) -> tuple[str, ...]:
    """What our front end says, without pauses; nothing for a text that it refuses."""
    try:
        pieces = frontend().pieces(text, mode)
    except TextError:
        return ()
    parts = [part for piece in pieces for part in piece.phones]
    sounds = [sound(phone, part.language) for part in parts for phone in part.symbols]
    return tuple(phone for phone in sounds if phone not in SILENT)


def sound(phone: str, language: str) -> str:
    """A phone as it is compared. UNK parts Japanese accent phrases; elsewhere it is a lost sound, and counts."""
    if language == "ja" and phone == "UNK":
        return "["
    return phone.rstrip("012") if language == "en" else phone


def package_costs(package: str, *, wheels: bool) -> dict[str, Any]:
    """Licences, versions and size of a package and all that it needs."""
    needs = needed(package)
    return {
        "licences": {name: licence(dist) for name, dist in needs.items()},
        "versions": {name: dist.version for name, dist in needs.items()},
        "bytes": size_bytes(needs),
        "without_wheels": without_wheels(package) if wheels else None,
    }


def package_table(packages: dict[str, dict[str, Any]]) -> list[str]:
    rows = [["engine", "version", "licence", "packages", "MB installed", "must be compiled"]]
    for name, costs in packages.items():
        first, lacking = next(iter(costs["versions"])), costs["without_wheels"]
        compiled = "not asked" if lacking is None else "; ".join(lacking) or "nothing"
        size = f"{costs['bytes'] / 1e6:.1f}"
        counted = str(len(costs["versions"]))
        rows.append([name, costs["versions"][first], costs["licences"][first], counted, size, compiled])
    return table(rows)


def speed_table(outcomes: Outcomes) -> list[str]:
    speeds_of = ["ms for 100 characters", "95th percentile"]
    rows = [["engine", "language", "first start s", "cold start s", *speeds_of, "errors"]]
    for language, by_engine in outcomes.items():
        for name, made in by_engine.items():
            speeds = [f"{value:.1f}" if value else "" for value in made.ms_per_100]
            rows.append(
                [name, language, f"{made.first_s:.2f}", f"{made.cold_s:.2f}", *speeds, str(len(made.failed))]
            )
    return table(rows)


def kind_tables(pairs: list[dict[str, Any]], outcomes: Outcomes) -> list[str]:
    """A table a language: of each kind how many an engine got right, and how many that our front end got wrong."""
    out = []
    for language, by_engine in outcomes.items():
        rows = [["kind", "pairs", *by_engine, *(f"{name}: gained, lost" for name in list(by_engine)[1:])]]
        kinds = {place: pairs[place]["kind"] for place in by_engine[PRESENT].right}
        groups: dict[str, list[int]] = {kind: [] for kind in sorted(set(kinds.values()))}
        for place, kind in kinds.items():
            groups[kind].append(place)
        guards = [place for place in kinds if pairs[place].get("guard")]
        groups |= ({"**of them guards**": guards} if guards else {}) | {"**all**": list(kinds)}
        for kind, places in groups.items():
            rows.append([kind, str(len(places)), *cells(by_engine, places)])
        out += [f"### {language}", "", *table(rows), ""]
    return out


def cells(by_engine: dict[str, Outcome], places: Iterable[int]) -> list[str]:
    ours = by_engine[PRESENT].right
    counts = [str(sum(made.right[place] for place in places)) for made in by_engine.values()]
    for name, made in by_engine.items():
        if name != PRESENT:
            change = Counter(made.right[place] - ours[place] for place in places)
            counts.append(f"+{change[1]} -{change[-1]}")
    return counts


def changes(pairs: list[dict[str, Any]], outcomes: Outcomes) -> list[str]:
    """A line for each pair that an engine gains or loses, with its words."""
    out = []
    for language, by_engine in outcomes.items():
        ours = by_engine[PRESENT].right
        for name, made in by_engine.items():
            for place, right in made.right.items():
                if right != ours[place]:
                    sign, text = "+" if right else "-", pairs[place]["text"]
                    words = made.words[place] or made.failed[text]
                    out.append(f"{sign} {name} {language} {pairs[place]['kind']}: {text!r} -> {words!r}")
    return out


def table(rows: list[list[str]]) -> list[str]:
    ruler = ["---"] * len(rows[0])
    return [f"| {' | '.join(row)} |" for row in [rows[0], ruler, *rows[1:]]]


def plain(pairs: list[dict[str, Any]], outcomes: Outcomes) -> dict[str, Any]:
    """Outcomes for JSON: speeds and counts, no texts, since pairs may be anybody's."""
    made: dict[str, Any] = {}
    for language, by_engine in outcomes.items():
        for name, got in by_engine.items():
            of_kind: dict[str, list[int]] = defaultdict(lambda: [0, 0])
            for place, right in got.right.items():
                of_kind[pairs[place]["kind"]][0] += right
                of_kind[pairs[place]["kind"]][1] += 1
            kept = {key: asdict(got)[key] for key in ("first_s", "cold_s", "ms_per_100")}
            row = kept | {"failed": len(got.failed), "right_of": dict(of_kind)}
            made.setdefault(language, {})[name] = row
    return made


def heading(result: dict[str, Any]) -> str:
    """When and where it was measured, as one line."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if name)
    machine = result["machine"]
    load = f"load average {result['load_average']}"
    return f"{result['time']}; {machine['cpu']}, {machine['system']}; Python {machine['python']}, {versions}; {load}."


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path, help="pairs, JSON lines")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=list(ENGINES), help="engines [all installed]"
    )
    parser.add_argument("--show", action="store_true", help="also print every pair gained or lost")
    parser.add_argument("--wheels", action="store_true", help="ask the package index for wheels (minutes)")
    parser.add_argument("-o", "--output", type=Path, help="NAME of the JSON and Markdown to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
