"""Audio files that nobody means well with: each is read or refused in one line, in bounded time and memory.

    python benchmarks/attacks/hostile_audio.py [--files 1500] [--seed 0] [-o benchmarks/results/NAME.json]

Honest files of many kinds are cut, changed byte by byte, mixed, given other headers, or made long and loud. Each goes
the whole way of a recording: reading, checks, and the waves that the graphs would get. Exits with 1 where one raised
something else than our errors, gave a wave with NaN or infinity, or took more time or memory than stated.
"""

from __future__ import annotations

import argparse
import io
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from results import write_results

from sovits_runtime.audio import check_reference, hubert_wave, reference_wave
from sovits_runtime.audio.files import read_audio
from sovits_runtime.bundle.files import json_text
from sovits_runtime.errors import SovitsError
from sovits_runtime.machine.process_memory import peak_memory_bytes

KINDS = (
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("WAV", "ULAW"), ("WAV", "MS_ADPCM"),
    ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"),
    ("AU", "PCM_16"), ("CAF", "PCM_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"),
)  # fmt: skip
LONGEST_S = 20.0
"""For one file, on two busy cores; most take milliseconds."""
MOST_BYTES = 1 << 30
LONGEST_LINE = 400
Rng = np.random.Generator


def honest(rng: Rng) -> bytes:
    """A recording of a few seconds, of some kind, rate and number of channels."""
    import soundfile

    file_format, subtype = KINDS[rng.integers(len(KINDS))]
    rate = 48000 if subtype == "OPUS" else int(rng.choice([8000, 16000, 22050, 44100, 48000]))
    shape = (int(rate * rng.uniform(0.01, 6)), int(rng.integers(1, 3)))
    wave = (rng.standard_normal(shape) * 0.1).astype(np.float32)
    content = io.BytesIO()
    soundfile.write(content, wave, rate, format=file_format, subtype=subtype)
    return content.getvalue()


def cut(rng: Rng) -> bytes:
    """Ends somewhere."""
    content = honest(rng)
    return content[: int(rng.integers(len(content)))]


def changed(rng: Rng) -> bytes:
    """A few bytes are others, half of them within the headers."""
    content = bytearray(honest(rng))
    for _ in range(int(rng.integers(1, 30))):
        within = min(len(content), 200) if rng.random() < 0.5 else len(content)
        content[int(rng.integers(within))] = int(rng.integers(256))
    return bytes(content)


def mixed(rng: Rng) -> bytes:
    """Begins as one kind and goes on as another."""
    first, second = honest(rng), honest(rng)
    at = int(rng.integers(4, 100))
    return first[:at] + second[at:]


def rubbish(rng: Rng) -> bytes:
    """A known beginning and noise."""
    start = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b"\xff\xfb\x90", b"", b"\0\0\0 ftypM4A ")[
        rng.integers(9)
    ]
    return start + rng.bytes(int(rng.integers(0, 5000)))


def header(rng: Rng) -> bytes:
    """A WAV header whose numbers lie."""
    rates, channels = (0, 1, 3999, 8000, 384_001, 2**31, 2**32 - 1), (0, 1, 2, 255, 1025, 65535)
    rate, count = int(rng.choice(rates)), int(rng.choice(channels))
    sizes = [int(rng.choice([0, 4, 16, 2**31, 2**32 - 1])) for _ in range(2)]
    fields = (int(rng.choice([0, 1, 3, 7, 65534])), count, rate, int(rng.choice([0, rate, 2**32 - 1])),
              int(rng.choice([0, 1, 2, 65535])), int(rng.choice([0, 1, 8, 16, 64, 65535])))  # fmt: skip
    form = struct.pack("<4sIHHIIHH", b"fmt ", int(rng.choice([16, 18, 2**31])), *fields)
    return (
        struct.pack("<4sI4s", b"RIFF", sizes[0], b"WAVE")
        + form
        + struct.pack("<4sI", b"data", sizes[1])
        + rng.bytes(int(rng.integers(0, 9000)))
    )


def loud(rng: Rng) -> bytes:
    """Numbers that are no levels."""
    import soundfile

    wave = (rng.standard_normal(16000 * 4) * 0.1).astype(np.float32)
    values = (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e20, 32767, 99.0, 1e-40)
    wave[rng.integers(len(wave), size=int(rng.integers(1, 50)))] = values[rng.integers(len(values))]
    content = io.BytesIO()
    soundfile.write(content, wave, 16000, format="WAV", subtype="FLOAT")
    return content.getvalue()


def long(rng: Rng) -> bytes:
    """Silence of up to an hour and a half, in a small file."""
    import soundfile

    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", 16000, 1, subtype="PCM_16", format="FLAC") as file:
        for _ in range(int(rng.integers(280, 5600))):
            file.write(np.zeros(16000, np.int16))
    return content.getvalue()


MAKERS: dict[str, tuple[Callable[[Rng], bytes], int]] = {
    "honest": (honest, 10),
    "cut": (cut, 25),
    "changed": (changed, 30),
    "mixed": (mixed, 10),
    "rubbish": (rubbish, 10),
    "header": (header, 15),
    "loud": (loud, 8),
    "long": (long, 1),
}
"""What is made, and how often."""


def files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yields as many hostile files, with the name of their kind."""
    rng = np.random.default_rng(seed)
    names = [name for name, (_, weight) in MAKERS.items() for _ in range(weight)]
    for _ in range(count):
        name = names[rng.integers(len(names))]
        yield name, MAKERS[name][0](rng)


def take(content: bytes) -> str:
    """Takes a file as a reference recording; says how it ended.

    Raises:
        AssertionError: A wave holds something else than numbers.
    """
    try:
        samples, rate = read_audio(content, "recording")
        check_reference(samples, rate)
        waves = hubert_wave(samples, rate), reference_wave(samples, rate)
    except SovitsError as error:
        line = str(error)
        return "refused" if "\n" not in line and len(line) < LONGEST_LINE else f"not one line: {line!r:.80}"
    for wave in waves:
        assert np.isfinite(wave).all(), "a wave with NaN or infinity"
    return "read"


def attack(count: int, seed: int) -> dict[str, Any]:
    """Takes as many files and counts how they ended."""
    ends: Counter[str] = Counter()
    longest, start_bytes = 0.0, peak_memory_bytes() or 0
    for name, content in files(count, seed):
        start = time.perf_counter()
        try:
            ends[f"{name}: {take(content)}"] += 1
        except Exception as error:
            ends[f"{name}: {type(error).__name__}: {error!s:.100}"] += 1
        longest = max(longest, time.perf_counter() - start)
    wrong = {end for end in ends if not end.endswith((": read", ": refused"))}
    growth = (peak_memory_bytes() or 0) - start_bytes
    return {
        "files": count, "ends": dict(sorted(ends.items())), "longest_s": longest, "peak_growth_bytes": growth,
        "passed": not wrong and longest < LONGEST_S and growth < MOST_BYTES,
    }  # fmt: skip


def main() -> None:
    """Runs the attack and prints what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    options = parser.parse_args()
    result = attack(options.files, options.seed)
    print(json_text(result), end="")
    if options.output:
        write_results(options.output, result)
    sys.exit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
