"""Random Unicode strings through a text front end: only our errors, ids in range, word2ph that sums, no hangs.

python benchmarks/text/fuzz.py --lang zh --count 100000
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sovits_runtime.errors import NothingToSay, SovitsError
from sovits_runtime.text import LANGUAGE_MODULES, Phones, phonemize
from sovits_runtime.text.symbols import symbol_table

SCRIPTS = {
    "ascii": [(0x20, 0x7E)],
    "latin": [(0xA0, 0x24F), (0x1E00, 0x1EFF)],
    "hanzi": [(0x4E00, 0x9FFF)],
    "rare hanzi": [(0x3400, 0x4DBF), (0x20000, 0x2A6DF)],
    "kana": [(0x3040, 0x30FF), (0xFF66, 0xFF9F)],
    "hangul": [(0xAC00, 0xD7A3), (0x1100, 0x11FF), (0x3130, 0x318F)],
    "marks": [(0x2000, 0x206F), (0x3000, 0x303F), (0xFF01, 0xFF65)],
    "signs": [(0x20A0, 0x20CF), (0x2100, 0x23FF), (0x2460, 0x24FF), (0x3200, 0x33FF)],
    "emoji": [(0x1F300, 0x1FAFF), (0xFE00, 0xFE0F), (0x200D, 0x200D)],
    "control": [(0x00, 0x1F), (0x7F, 0x9F), (0xFFF9, 0xFFFF)],
    "surrogates": [(0xD800, 0xDFFF)],
    "anything": [(0x00, 0x10FFFF)],
}
DIGITS = "0123456789.,:/-~%+×=元年月日℃$￥€ "
SLOW_S = 1.0


@dataclass
class Tally:
    """What happened."""

    spoken: int = 0
    nothing_to_say: int = 0
    other_errors: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""


def random_text(draw: random.Random) -> str:
    """A string of 0 to 60 characters from a few scripts, numbers and signs among them."""
    names = draw.sample(sorted(SCRIPTS), draw.randint(1, 4))
    chars = []
    for _ in range(draw.randint(0, 60)):
        if draw.random() < 0.2:
            chars.append(draw.choice(DIGITS))
        else:
            low, high = draw.choice(SCRIPTS[draw.choice(names)])
            chars.append(chr(draw.randint(low, high)))
    return "".join(chars)


def problem(phones: Phones, table_size: int) -> str:
    """What is wrong with the phones, or nothing."""
    if len(phones) == 0 or len(phones.ids) != len(phones.symbols):
        return "lengths"
    if phones.ids.min() < 0 or phones.ids.max() >= table_size:
        return "ids out of range"
    if phones.word2ph is not None and (
        sum(phones.word2ph) != len(phones) or len(phones.word2ph) != len(phones.norm_text)
    ):
        return "word2ph"
    return ""


def fuzz(read: Callable[[str], Phones], count: int, *, seed: int, table_size: int) -> Tally:
    """Reads `count` random strings."""
    draw, tally = random.Random(seed), Tally()
    for _ in range(count):
        text = random_text(draw)
        start = time.perf_counter()
        try:
            wrong = problem(read(text), table_size)
            tally.spoken += 1
        except NothingToSay:
            wrong, tally.nothing_to_say = "", tally.nothing_to_say + 1
        except SovitsError as error:
            wrong, name = "", str(error)[:60]
            tally.other_errors[name] = tally.other_errors.get(name, 0) + 1
        except Exception as error:  # what the fuzz looks for
            wrong = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
        if seconds > tally.slowest_s:
            tally.slowest_s, tally.slowest = seconds, text
        if wrong or seconds > SLOW_S:
            tally.broken.append(f"{wrong or f'took {seconds:.1f} s'}: {text!r}")
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lang", action="append", choices=sorted(LANGUAGE_MODULES), help="default: all")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--official", action="store_true", help="without the corrections")
    arguments = parser.parse_args()
    bad = 0
    for language in arguments.lang or sorted(LANGUAGE_MODULES):

        def read(text: str, language: str = language) -> Phones:
            return phonemize(text, language, official=arguments.official)

        read({"en": "one", "ja": "あ", "ko": "가"}.get(language, "一"))  # loads dictionaries
        start = time.perf_counter()
        tally = fuzz(read, arguments.count, seed=arguments.seed, table_size=len(symbol_table("v2")))
        bad += len(tally.broken)
        print(
            f"{language}: {arguments.count} strings in {time.perf_counter() - start:.0f} s: {tally.spoken} spoken, "
            f"{tally.nothing_to_say} with nothing to say, {sum(tally.other_errors.values())} other errors of ours "
            f"{tally.other_errors or ''}, {len(tally.broken)} broken; slowest {1000 * tally.slowest_s:.0f} ms"
        )
        for line in tally.broken[:20]:
            print(f"  {line}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
