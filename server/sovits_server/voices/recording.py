"""Recordings of any length: the stretch that serves best as a reference, and what to tell whoever gave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sovits_runtime.audio import Audio, mono
from sovits_runtime.audio.files import read_audio
from sovits_runtime.audio.quality import best_part, recording_quality
from sovits_runtime.bundle import Bundle
from sovits_server.problems import BadRequestError

_FRAME_S = 0.01
"""Silence is measured in steps of it."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The part of a recording that is kept.

    Attributes:
        wav: The part as a WAV file, mono.
        start_s: Where it begins in the recording.
        end_s: Where it ends.
        of_s: Length of the recording.
        cut: Whether speech was left out, so that a transcript of the whole is not that of the part.
        notes: What was left out and what a listener should know, in words.
    """

    wav: bytes = field(repr=False)
    start_s: float
    end_s: float
    of_s: float
    cut: bool
    notes: tuple[str, ...]

    @property
    def said(self) -> str:
        """All of it in one line."""
        length = f"{self.end_s - self.start_s:.2f} s"
        return "; ".join((f"kept {length} of {self.of_s:.2f} s", *self.notes))


def choose_part(content: bytes, name: str) -> Chosen:
    """Reads an audio file and finds its best 3 to 10 s.

    Args:
        content: WAV, FLAC, OGG, MP3 and whatever else the runtime reads, with its limits.
        name: What messages call it.

    Raises:
        AudioError: No audio, too short, silent, or too long to look at.
    """
    samples, rate = read_audio(content, name)
    part, whole, of_s = best_part(samples, rate), recording_quality(samples, rate), len(samples) / rate
    begins_late = part.start_s > whole.silent_start_s + _FRAME_S
    ends_early = part.end_s < of_s - whole.silent_end_s - _FRAME_S
    return Chosen(
        wav=Audio(mono(part.of(samples, rate)), rate).encode("wav"),
        start_s=part.start_s,
        end_s=part.end_s,
        of_s=of_s,
        cut=begins_late or ends_early,
        notes=part.notes,
    )


def transcript_needed(bundle: Path) -> str | None:
    """The version of a bundle that cannot do without a transcript; None: its version can.

    Raises:
        BundleError: It is no bundle.
    """
    spec = Bundle.open(bundle).spec
    return spec.version if spec.flow is not None else None


def require_transcript(version: str, chosen: Chosen) -> BadRequestError:
    """Asks for the words of a recording, in one line.

    Args:
        version: Of the voice, which speaks on from them.
        chosen: What of the recording is kept.
    """
    where = f"from {chosen.start_s:.1f} to {chosen.end_s:.1f} s" if chosen.cut else "in the recording"
    return BadRequestError(
        f"text: a voice of {version} speaks on from the words of its recording; give what is said {where}"
        + (", or a recording of at most 10 s with its words" if chosen.cut else ""),
        param="text",
    )
