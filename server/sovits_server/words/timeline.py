"""Where each sentence is in the sound: as values, as JSON and as subtitles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sovits_runtime.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A sentence, and where it is heard.

    Attributes:
        index: Counted from 0.
        text: What was read.
        start_s: Its first sample, in seconds from the beginning of the sound.
        end_s: Behind its last sample; the silence that follows is not part of it.
    """

    index: int
    text: str
    start_s: float
    end_s: float

    def to_json(self) -> dict[str, Any]:
        """The sentence as JSON values, to the millisecond."""
        return {
            "index": self.index,
            "text": self.text,
            "start": round(self.start_s, 3),
            "end": round(self.end_s, 3),
        }


class Timeline:
    """Counts samples as they are made. Exact to the sample, however long the sound.

    Args:
        sample_rate: In Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        if sample_rate < 1:
            raise ShapeError(f"timeline: got {sample_rate} Hz, expected more than 0")
        self.sample_rate = sample_rate
        self.sentences: list[Spoken] = []
        self._samples = 0

    @property
    def duration_s(self) -> float:
        """Of all sound so far, in seconds."""
        return self._samples / self.sample_rate

    def add(self, text: str, samples: int, *, silence: int = 0) -> Spoken:
        """Adds a sentence.

        Args:
            text: What was read.
            samples: How many samples it has, with `silence`.
            silence: How many of them, at the end, are the pause after it.

        Returns:
            Where it is.
        """
        if not 0 <= silence <= samples:
            raise ShapeError(f"timeline: got {silence} samples of silence among {samples}")
        start = self._samples
        self._samples += samples
        spoken = Spoken(
            index=len(self.sentences),
            text=" ".join(text.split()),
            start_s=start / self.sample_rate,
            end_s=(self._samples - silence) / self.sample_rate,
        )
        self.sentences.append(spoken)
        return spoken

    def pause(self, samples: int) -> None:
        """Adds silence between sentences.

        Args:
            samples: How long it is.
        """
        if samples < 0:
            raise ShapeError(f"timeline: got a pause of {samples} samples, expected 0 or more")
        self._samples += samples

    def to_json(self) -> dict[str, Any]:
        """The whole as JSON values."""
        return {
            "duration": round(self.duration_s, 3),
            "sentences": [spoken.to_json() for spoken in self.sentences],
        }

    def to_srt(self) -> str:
        """The whole as subtitles, a sentence each. Sentences without words are left out, as players want it."""
        told = [spoken for spoken in self.sentences if spoken.text]
        blocks = (
            f"{number}\n{_clock(spoken.start_s)} --> {_clock(spoken.end_s)}\n{spoken.text.replace('-->', '→')}\n"
            for number, spoken in enumerate(told, 1)
        )
        return "\n".join(blocks)


def _clock(seconds: float) -> str:
    """Seconds as subtitles write them: 00:01:02,345."""
    total_ms = round(seconds * 1000)
    minutes, ms = divmod(total_ms, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d},{ms % 1000:03d}"
