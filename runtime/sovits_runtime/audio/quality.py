"""How good a recording is as a reference, and which part of a longer one is the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import REFERENCE_MAX_S, REFERENCE_MIN_S, mono
from sovits_runtime.audio.files import check_finite
from sovits_runtime.errors import AudioError, ShapeError

_FRAME_S = 0.01
_SILENT_DB = -80.0
"""Speech is louder at its loudest; this is silence, whatever its spectrum."""
_FLOOR_DB = -120.0
_CLIPPED_LEVEL = 0.999
_PAUSE_S = 0.12
"""The shortest pause that is cut at: stops such as p and t close the mouth for less."""
_EDGE_S = 0.2
"""As much silence stays at a cut: the beginning and the end of a sound are quiet."""
_WELL_RECORDED_DB = 35.0
_QUIET_DB = -32.0
_TOO_LOUD_DB = -9.0
_GOOD_S = (4.0, 9.0)
_SILENT_END_S = 0.6


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What was measured on a recording, in 10 ms frames.

    Attributes:
        duration_s: Length, in seconds.
        level_db: RMS of the frames that hold speech, in dB below full scale.
        noise_db: Level of the quietest tenth of the frames, in dB below full scale; -120 where it is digital
            silence.
        clipped: Share of the samples at full scale, 0 to 1.
        silent_start_s: Silence before the first sound, in seconds.
        silent_end_s: Silence behind the last sound, in seconds.
        speech: Share of the frames that hold speech, 0 to 1.
    """

    duration_s: float
    level_db: float
    noise_db: float
    clipped: float
    silent_start_s: float
    silent_end_s: float
    speech: float

    @property
    def silent(self) -> bool:
        """Whether nothing in it is as loud as speech."""
        return self.level_db <= _SILENT_DB

    @property
    def above_noise_db(self) -> float:
        """How far speech is above the noise, in dB."""
        return self.level_db - self.noise_db

    @property
    def demerits(self) -> float:
        """What speaks against it as a reference: 0 for a clean sentence of 4 to 9 s, more is worse.

        One unit is about one dB of noise that can be heard. Clipping weighs most, since the voice repeats it.
        """
        short, long = _GOOD_S
        return (
            400.0 * min(self.clipped, 0.05)
            + max(0.0, _WELL_RECORDED_DB - self.above_noise_db)
            + max(0.0, _QUIET_DB - self.level_db, self.level_db - _TOO_LOUD_DB)
            + 4.0 * max(0.0, short - self.duration_s, self.duration_s - long)
            + 4.0 * sum(max(0.0, s - _SILENT_END_S) for s in (self.silent_start_s, self.silent_end_s))
            + 20.0 * max(0.0, 0.5 - self.speech)
            + (1000.0 if self.silent else 0.0)
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a listener should know of it, in words; nothing for a good recording."""
        if self.silent:
            return ("silence",)
        said = []
        if self.clipped > 1e-3:
            said.append(f"clipped ({100.0 * self.clipped:.1f} % of its samples at full scale)")
        if self.above_noise_db < 20.0:
            said.append(f"noisy (speech is {self.above_noise_db:.0f} dB above the noise)")
        if self.level_db < _QUIET_DB - 10.0:
            said.append(f"quiet (speech at {self.level_db:.0f} dB of full scale)")
        if self.speech < 0.35:
            said.append(f"mostly pauses ({100.0 * self.speech:.0f} % is speech)")
        return tuple(said)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of a recording.

    Attributes:
        start_s: Where it begins, in seconds.
        end_s: Where it ends, in seconds.
        quality: What was measured on it.
        notes: What was cut away, and what a listener should know, in words.
    """

    start_s: float
    end_s: float
    quality: Quality
    notes: tuple[str, ...]

    def of(self, samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Returns this stretch of `samples` ([n] or [n, channels] float32), the recording that it was found in."""
        return samples[round(self.start_s * sample_rate) : round(self.end_s * sample_rate)]


def recording_quality(samples: NDArray[np.float32], sample_rate: int) -> Quality:
    """Measures a recording.

    Args:
        samples: [n] or [n, channels] float32, full scale at 1.
        sample_rate: In Hz.

    Returns:
        What was measured; `silent` where there is no sound at all.

    Raises:
        AudioError: No samples, or NaN or infinity among them.
        ShapeError: `samples` is of another rank, or the rate is not above 0.
    """
    frames = _Frames.of(samples, sample_rate)
    return frames.quality(0, frames.length)


def best_part(
    samples: NDArray[np.float32],
    sample_rate: int,
    *,
    shortest_s: float = REFERENCE_MIN_S,
    longest_s: float = REFERENCE_MAX_S,
    keep_words: bool = False,
) -> Part:
    """Finds the stretch of a recording that serves best as a reference.

    A recording that fits is taken as it is, or less long silence at its ends, so that its transcript stays right. A
    longer one is cut at pauses; where no pause is in reach, where it is quietest, and a note says so.

    Args:
        samples: [n] or [n, channels] float32, full scale at 1.
        sample_rate: In Hz.
        shortest_s: The least length of the stretch, in seconds.
        longest_s: The most, in seconds.
        keep_words: Leave out nothing but silence, even where the rest is longer than that.

    Raises:
        AudioError: Shorter than `shortest_s`, silent, without samples, or NaN or infinity among them.
        ShapeError: `samples` is of another rank, or the rate or the lengths make no sense.
    """
    if not 0.0 < shortest_s < longest_s:
        raise ShapeError(
            f"best part: got lengths from {shortest_s:g} to {longest_s:g} s, expected 0 < shortest < longest"
        )
    frames = _Frames.of(samples, sample_rate)
    if frames.length < shortest_s * sample_rate:
        raise AudioError(
            f"reference audio: got {frames.length / sample_rate:.2f} s, expected at least {shortest_s:g} s; use a "
            "longer recording"
        )
    if frames.quality(0, frames.length).silent:
        raise AudioError("reference audio: got silence, expected speech; use another recording")
    return _chosen(
        frames, int(shortest_s * sample_rate), longest=int(longest_s * sample_rate), keep_words=keep_words
    )


@dataclass(frozen=True, kw_only=True)
class _Frames:
    """A recording in frames of 10 ms; the last one may be shorter.

    Attributes:
        length: Samples of the recording.
        rate: In Hz.
        size: Samples of a frame.
        power: [frames] float64, mean square of each frame.
        clipped: [frames] float64, how many samples of each are at full scale, averaged over the channels.
        speech: [frames] bool, whether it is louder than the pauses.
    """

    length: int
    rate: int
    size: int
    power: NDArray[np.float64]
    clipped: NDArray[np.float64]
    speech: NDArray[np.bool_]

    @classmethod
    def of(cls, samples: NDArray[np.float32], rate: int) -> _Frames:
        """Cuts `samples` ([n] or [n, channels] float32) into frames and tells speech from pauses."""
        wave = mono(samples)
        if rate < 1:
            raise ShapeError(f"audio: got the sample rate {rate}, expected a number of Hz above 0")
        if len(wave) == 0:
            raise AudioError("audio: got no samples, expected a recording; record it again")
        check_finite(wave, "audio", "save it as 16-bit WAV from an audio editor")
        size = max(1, round(_FRAME_S * rate))
        starts = np.arange(0, len(wave), size)
        power = np.add.reduceat(np.square(wave, dtype=np.float64), starts)
        power /= np.diff(np.append(starts, len(wave)))
        full = np.abs(samples) >= _CLIPPED_LEVEL
        clipped = np.add.reduceat(full.reshape(len(wave), -1).mean(axis=1), starts)
        return cls(
            length=len(wave), rate=rate, size=size, power=power, clipped=clipped, speech=_speech(_db(power))
        )

    def quality(self, start: int, end: int) -> Quality:
        """Measures the stretch from sample `start` to `end`."""
        first, last = start // self.size, -(-end // self.size)
        power, speech = self.power[first:last], self.speech[first:last]
        sounding = np.flatnonzero(speech)
        loud = power[speech] if len(sounding) else power
        before, behind = (sounding[0], len(speech) - 1 - sounding[-1]) if len(sounding) else (len(speech), 0)
        return Quality(
            duration_s=(end - start) / self.rate,
            level_db=float(_db(np.mean(loud, keepdims=True))[0]),
            noise_db=float(_db(np.array([np.percentile(power, 10)]))[0]),
            clipped=float(self.clipped[first:last].sum() / (end - start)),
            silent_start_s=float(before * self.size / self.rate),
            silent_end_s=float(behind * self.size / self.rate),
            speech=float(np.mean(speech)),
        )

    def pauses(self, shortest_s: float) -> NDArray[np.int64]:
        """Returns the pauses of at least `shortest_s`, and both ends, as [n, 2] samples from and to."""
        padded = np.concatenate([[True], self.speech, [True]])
        runs = np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)
        count = len(self.speech)
        if self.speech[0]:
            runs = np.concatenate([[[0, 0]], runs])
        if self.speech[-1]:
            runs = np.concatenate([runs, [[count, count]]])
        samples = np.minimum(runs * self.size, self.length)
        kept = np.diff(samples, axis=1)[:, 0] >= shortest_s * self.rate
        kept[[0, -1]] = True
        return samples[kept]


def _db(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns `power` in dB of a full-scale square wave, at least -120."""
    return np.maximum(10.0 * np.log10(np.maximum(power, 1e-12)), _FLOOR_DB)


def _speech(level_db: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tells which frames of levels [frames] are speech: those well above the quiet ones and not far below the loud."""
    noise, loud = np.percentile(level_db, [10, 95])
    if loud <= _SILENT_DB:
        return np.zeros(len(level_db), np.bool_)
    threshold = max(noise + 0.3 * (loud - noise), loud - 40.0)
    speech: NDArray[np.bool_] = level_db >= threshold
    return speech


def _chosen(frames: _Frames, shortest: int, *, longest: int, keep_words: bool) -> Part:
    """Returns the part with the fewest demerits among all between two pauses, else between two quiet places."""
    pauses = frames.pauses(_PAUSE_S)
    edge = round(_EDGE_S * frames.rate)
    silent = max(int(np.diff(pause)[0]) for pause in (pauses[0], pauses[-1]))
    if frames.length <= longest and silent <= _SILENT_END_S * frames.rate:
        return _part(frames, 0, frames.length, said="")
    start, end = _grown(*_within(pauses[0], pauses[-1], edge), shortest, length=frames.length)
    if end - start <= longest or keep_words:
        return _part(frames, start, end, said=_trimmed(frames, start, end))
    places = _candidates(pauses, edge, shortest=shortest, longest=longest)
    how = "cut at pauses" if places else "no pause in reach, cut where it is quietest"
    places = places or _quiet_places(frames, shortest, longest)
    start, end = min(places, key=lambda place: frames.quality(*place).demerits)
    seconds = [count / frames.rate for count in (start, end, frames.length)]
    return _part(frames, start, end, said="{}: {:.2f} to {:.2f} s of {:.1f} s".format(how, *seconds))


def _part(frames: _Frames, start: int, end: int, *, said: str) -> Part:
    quality = frames.quality(start, end)
    notes = ((said,) if said else ()) + quality.notes
    return Part(start_s=start / frames.rate, end_s=end / frames.rate, quality=quality, notes=notes)


def _within(before: NDArray[np.int64], behind: NDArray[np.int64], edge: int) -> tuple[int, int]:
    """Returns the stretch from one pause to another, with at most `edge` samples of each."""
    return max(int(before[0]), int(before[1]) - edge), min(int(behind[1]), int(behind[0]) + edge)


def _grown(start: int, end: int, shortest: int, *, length: int) -> tuple[int, int]:
    """Gives back silence at both ends until the stretch has `shortest` samples."""
    end = min(length, max(end, start + shortest))
    return max(0, min(start, end - shortest)), end


def _trimmed(frames: _Frames, start: int, end: int) -> str:
    cut_s = (start + frames.length - end) / frames.rate
    return f"{cut_s:.1f} s of silence at its ends left out" if cut_s >= 0.05 else ""


def _candidates(
    pauses: NDArray[np.int64], edge: int, *, shortest: int, longest: int
) -> list[tuple[int, int]]:
    """Returns every stretch from one pause to a later one that has a length within both bounds."""
    found = []
    for at, before in enumerate(pauses[:-1]):
        for behind in pauses[at + 1 :]:
            start, end = _within(before, behind, edge)
            if end - start > longest:
                break
            if end - start >= shortest:
                found.append((start, end))
    return found


def _quiet_places(frames: _Frames, shortest: int, longest: int) -> list[tuple[int, int]]:
    """Returns a stretch from each half second of the recording, its ends where the sound is quietest."""
    size, found = frames.size, []
    least, most, step = -(-shortest // size), longest // size, round(0.5 / _FRAME_S)
    for begin in range(0, len(frames.power) - least, step):
        first = begin + int(np.argmin(frames.power[begin : begin + step]))
        ends = frames.power[first + least : first + most]
        if len(ends):
            found.append((first * size, (first + least + int(np.argmin(ends))) * size))
    return found or [(0, longest)]
