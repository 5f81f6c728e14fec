"""Makes the recordings that the demo voice is trained on: flite's slt voice speaks sentences of the grammar.

Each sentence is kept with the phones that our own text front end gives, and with when the synthesizer says each.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import soundfile
from numpy.typing import NDArray
from sentences import REFERENCE_TEXT, is_test, sentences

from sovits_runtime.text.pipeline import TextFrontend

VOICE = "slt"
RATE = 16_000
LEAD_S, TAIL_S = 0.06, 0.12  # silence kept around a sentence
VOWELS = {"aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw"}
PAUSE = "pau"


@dataclass(frozen=True)
class Recording:
    """One spoken sentence.

    Attributes:
        text: What is said.
        phones: Symbols of our front end.
        wave: int16 [n] at 16 kHz.
        ends: float32 [p], when each of `phones` ends, in seconds.
        sounds: The synthesizer's own phones.
        sound_ends: float32 [s], when each of them ends, in seconds.
    """

    text: str
    phones: list[str]
    wave: NDArray[np.int16]
    ends: NDArray[np.float32]
    sounds: list[str]
    sound_ends: NDArray[np.float32]


def speak(text: str, voice: str = VOICE) -> tuple[NDArray[np.int16], list[str], NDArray[np.float32]]:
    """Lets the synthesizer speak; returns the wave at 16 kHz, its phones, and when each ends, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(path)]
        told = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True).stdout
        wave, rate = soundfile.read(path, dtype="int16")
    if rate != RATE:
        raise RuntimeError(f"flite wrote {rate} Hz, expected {RATE}; take the voice {VOICE}")
    pairs = [item.rsplit(":", 1) for item in told.split()]
    return wave, [name for name, _ in pairs], np.array([float(end) for _, end in pairs], np.float32)


def record(text: str) -> Recording:
    """Speaks a sentence and cuts the silence around it."""
    wave, sounds, ends = speak(text)
    first, last = ends[0] - LEAD_S, ends[-2] + TAIL_S  # a pause stands at both ends
    first, last = max(first, 0.0), min(last, len(wave) / RATE)
    wave = wave[round(first * RATE) : round(last * RATE)]
    ends = np.clip(ends - first, 0.0, len(wave) / RATE)
    phones = list(TextFrontend().transcript(text, "en").symbols)
    return Recording(text, phones, wave, _phone_ends(phones, sounds, ends), sounds, ends)


def with_pieces(texts: Sequence[str]) -> list[str]:
    """Adds what the runtime makes of long sentences, pieces, which it speaks one by one; less those of the test."""
    frontend = TextFrontend()
    pieces = (piece.text for text in texts for piece in frontend.pieces(text, "en"))
    return list(dict.fromkeys([*texts, *(piece for piece in pieces if not is_test(piece))]))


def _phone_ends(
    phones: Sequence[str], sounds: Sequence[str], ends: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Aligns our phones with the synthesizer's by the cheapest edit, and returns when each of ours ends."""
    rows, columns = len(phones) + 1, len(sounds) + 1
    cost = np.full((rows, columns), np.inf)
    back = np.zeros((rows, columns), np.int8)
    cost[0, 0] = 0.0
    for i in range(rows):
        for j in range(columns):
            steps = (
                (i - 1, j - 1, _difference(phones[i - 1], sounds[j - 1]) if i and j else np.inf),
                (i - 1, j, 0.6),
                (i, j - 1, 0.6),
            )
            for kind, (a, b, price) in enumerate(steps):
                if a >= 0 and b >= 0 and cost[a, b] + price < cost[i, j]:
                    cost[i, j], back[i, j] = cost[a, b] + price, kind
    result = np.zeros(len(phones), np.float32)
    i, j = rows - 1, columns - 1
    while i or j:
        kind = back[i, j]
        if kind < 2:
            result[i - 1] = ends[j - 1] if j else 0.0
        i, j = i - (kind < 2), j - (kind != 1)
    return np.maximum.accumulate(result)


def _difference(phone: str, sound: str) -> float:
    name = re.sub(r"\d", "", phone).lower()
    if not name.isalpha():
        return 0.0 if sound == PAUSE else 1.5
    if name == sound:
        return 0.0
    return 0.4 if name in VOWELS and sound in VOWELS else 1.1


def save(path: Path, recordings: Sequence[Recording]) -> None:
    """Writes recordings as one .npz."""
    lengths = [len(r.wave) for r in recordings]
    np.savez_compressed(
        path,
        texts=np.array([r.text for r in recordings]),
        phones=np.array([" ".join(r.phones) for r in recordings]),
        sounds=np.array([" ".join(r.sounds) for r in recordings]),
        lengths=np.array(lengths),
        waves=np.concatenate([r.wave for r in recordings]),
        ends=np.concatenate([r.ends for r in recordings]),
        sound_ends=np.concatenate([r.sound_ends for r in recordings]),
    )


def load(path: Path) -> list[Recording]:
    """Reads what `save` wrote."""
    with np.load(path) as file:
        data = {name: file[name] for name in file.files}
    result, wave_at, phone_at, sound_at = [], 0, 0, 0
    rows = zip(data["texts"], data["phones"], data["sounds"], data["lengths"], strict=True)
    for text, phones, sounds, length in rows:
        own, said = str(phones).split(), str(sounds).split()
        result.append(
            Recording(
                str(text),
                own,
                data["waves"][wave_at : wave_at + length],
                data["ends"][phone_at : phone_at + len(own)],
                said,
                data["sound_ends"][sound_at : sound_at + len(said)],
            )
        )
        wave_at, phone_at, sound_at = wave_at + length, phone_at + len(own), sound_at + len(said)
    return result


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--count", default=4000, show_default=True, help="Training sentences.")
@click.option("--more", default=16000, show_default=True, help="Further ones, for the GPT alone.")
@click.option("--tests", default=100, show_default=True, help="Sentences kept for judging the voice.")
@click.option("--processes", default=2, show_default=True)
def main(folder: Path, count: int, more: int, tests: int, processes: int) -> None:
    """Speaks the sentences and writes FOLDER/train.npz, more.npz, test.npz and reference.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    train, everything = (with_pieces(sentences(n, test=False)) for n in (count, count + more))
    jobs = {
        "reference": [REFERENCE_TEXT],
        "test": sentences(tests, test=True),
        "train": train,
        "more": [text for text in everything if text not in set(train)],
    }
    with ProcessPoolExecutor(processes) as pool:
        for name, texts in jobs.items():
            recordings = list(pool.map(record, texts, chunksize=20))
            save(folder / f"{name}.npz", recordings)
            seconds = sum(len(r.wave) for r in recordings) / RATE
            click.echo(f"{name}: {len(recordings)} sentences, {seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
