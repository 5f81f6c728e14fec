"""What `recording_quality` measures, and where `best_part` cuts, on recordings whose truth is known."""

import numpy as np
import pytest

from sovits_runtime.audio import check_reference
from sovits_runtime.audio.quality import best_part, recording_quality
from sovits_runtime.errors import AudioError, ShapeError

RATE = 16000


def sound(seconds, level=0.1, seed=0, rate=RATE):
    """Noise in syllables of 0.2 s: RMS of about `level` while it sounds, 40 ms stops between."""
    count = round(seconds * rate)
    wave = np.random.default_rng(seed).standard_normal(count).astype(np.float32) * np.float32(level)
    wave[(np.arange(count) / rate) % 0.24 > 0.2] *= np.float32(0.02)
    return np.clip(wave, -0.99, 0.99)


def hush(seconds, level=1e-5, rate=RATE):
    count = round(seconds * rate)
    return np.random.default_rng(1).standard_normal(count).astype(np.float32) * np.float32(level)


def joined(*parts):
    return np.concatenate(parts).astype(np.float32)


def test_quality_is_what_the_recording_was_made_of():
    wave = joined(hush(0.5, 1e-3), sound(5.0), hush(1.5, 1e-3))
    quality = recording_quality(wave, RATE)
    assert quality.duration_s == pytest.approx(7.0)
    assert quality.level_db == pytest.approx(-20.0, abs=1.0)
    assert quality.noise_db == pytest.approx(-60.0, abs=1.5)
    assert quality.silent_start_s == pytest.approx(0.5, abs=0.03)
    assert quality.silent_end_s == pytest.approx(1.5, abs=0.06)
    assert quality.speech == pytest.approx(5.0 / 7.0 * 0.85, abs=0.06)
    assert quality.clipped == 0.0
    assert not quality.silent
    assert quality.notes == ()


def test_clipping_is_counted_in_each_channel():
    wave = sound(4.0)
    wave[1000:1128] = 1.0
    both = np.stack([wave, np.zeros_like(wave)], axis=1)
    assert recording_quality(wave, RATE).clipped == pytest.approx(128 / len(wave))
    assert recording_quality(both, RATE).clipped == pytest.approx(64 / len(wave))
    assert "clipped (0.2 %" in recording_quality(wave, RATE).notes[0]


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        (joined(sound(6.0, 0.9)) * np.float32(1.2), "clipped"),
        (sound(6.0) + hush(6.0, 0.03), "noisy"),
        (sound(6.0, 0.004), "quiet"),
        (joined(sound(1.0), hush(4.0), sound(1.0)), "mostly pauses"),
        (hush(6.0), "silence"),
    ],
)
def test_every_fault_has_demerits_and_is_said(worse, said):
    quality = recording_quality(np.clip(worse, -1.0, 1.0), RATE)
    assert quality.demerits > recording_quality(joined(hush(0.2), sound(6.0), hush(0.2)), RATE).demerits
    assert any(said in note for note in quality.notes)


def test_a_recording_that_fits_stays_whole_but_for_silence_at_its_ends():
    wave = joined(hush(2.0), sound(2.0), hush(0.5), sound(2.5), hush(6.0))
    part = best_part(wave, RATE)
    assert part.start_s == pytest.approx(1.8, abs=0.05)
    assert part.end_s == pytest.approx(7.2, abs=0.1)
    assert part.notes[0].endswith("s of silence at its ends left out")
    check_reference(part.of(wave, RATE), RATE)
    whole = best_part(joined(hush(0.1), sound(5.0), hush(0.1)), RATE)
    assert (whole.start_s, whole.notes) == (0.0, ())


def test_words_are_kept_where_that_is_asked_for():
    wave = joined(hush(1.0), sound(6.0), hush(0.5), sound(7.0), hush(1.0))
    part = best_part(wave, RATE, keep_words=True)
    assert part.start_s == pytest.approx(0.8, abs=0.05)
    assert part.end_s == pytest.approx(14.7, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
def test_a_long_recording_is_cut_at_pauses(rate):
    """Sentences of 2, 6 and 7 s: a cut falls into the pauses between them, never into a sentence."""
    lengths = (2.0, 6.0, 7.0, 2.0)
    pieces = [
        piece for n, s in enumerate(lengths) for piece in (hush(0.6, rate=rate), sound(s, seed=n, rate=rate))
    ]
    wave = joined(*pieces, hush(0.6, rate=rate))
    begins = 0.6 + np.cumsum([0.0, 2.6, 6.6, 7.6])
    ends = begins + np.array(lengths)
    part = best_part(wave, rate)
    assert 3.0 <= part.end_s - part.start_s <= 10.0
    assert np.min(np.abs(part.start_s - (begins - 0.2))) < 0.06
    assert np.min(np.abs(part.end_s - (ends + 0.2))) < 0.1
    assert part.notes[0].startswith("cut at pauses: ")
    check_reference(part.of(wave, rate), rate)


def test_the_best_of_several_sentences_is_taken():
    """Clipped, noisy and clean in turn, whatever comes first."""
    clipped = np.clip(sound(6.0, 0.9, seed=1) * 3.0, -1.0, 1.0)
    noisy = sound(6.0, seed=2) + hush(6.0, 0.03)
    clean = sound(6.0, seed=3)
    for order in [(0, 1, 2), (2, 0, 1), (1, 2, 0)]:
        pieces = [(clipped, noisy, clean)[n] for n in order]
        wave = joined(*(piece for sentence in pieces for piece in (hush(0.6), sentence)), hush(0.6))
        begin = 0.6 + 6.6 * order.index(2)
        part = best_part(wave, RATE)
        assert part.start_s == pytest.approx(begin - 0.2, abs=0.06)
        assert part.end_s == pytest.approx(begin + 6.2, abs=0.1)


def test_without_pauses_it_is_cut_where_it_is_quietest_and_said():
    wave = joined(sound(8.0), hush(0.08, 0.005), sound(12.0, seed=1))
    part = best_part(wave, RATE)
    assert 3.0 <= part.end_s - part.start_s <= 10.0
    assert part.notes[0].startswith("no pause in reach, cut where it is quietest: ")
    check_reference(part.of(wave, RATE), RATE)


@pytest.mark.parametrize(
    "count", [3 * RATE, 3 * RATE + 1, 10 * RATE - 1, 10 * RATE, 10 * RATE + 1, 300 * RATE]
)
def test_lengths_at_the_edges_give_what_a_reference_may_be(count):
    wave = sound(count / RATE + 0.001)[:count]
    part = best_part(wave, RATE)
    check_reference(part.of(wave, RATE), RATE)


def test_a_bound_of_the_callers_holds():
    wave = joined(*(piece for n in range(9) for piece in (hush(0.5), sound(1.8, seed=n))))
    part = best_part(wave, RATE, shortest_s=4.0, longest_s=5.0)
    assert 4.0 <= part.end_s - part.start_s <= 5.0


def test_stereo_is_cut_as_its_mean():
    wave = joined(hush(0.6), sound(6.0), hush(0.6), sound(7.0), hush(0.6))
    both = np.stack([wave, wave], axis=1)
    part = best_part(both, RATE)
    assert part == best_part(wave, RATE)
    assert part.of(both, RATE).shape[1] == 2


def test_what_cannot_be_a_reference_is_refused():
    with pytest.raises(AudioError, match=r"got 2\.50 s, expected at least 3 s; use a longer"):
        best_part(sound(2.5), RATE)
    with pytest.raises(AudioError, match="got silence, expected speech"):
        best_part(hush(5.0), RATE)
    with pytest.raises(AudioError, match="got no samples"):
        recording_quality(np.zeros(0, np.float32), RATE)
    with pytest.raises(AudioError, match="NaN or infinite"):
        recording_quality(np.full(100, np.nan, np.float32), RATE)
    with pytest.raises(ShapeError, match="sample rate 0"):
        recording_quality(sound(4.0), 0)
    with pytest.raises(ShapeError, match="expected 0 < shortest < longest"):
        best_part(sound(4.0), RATE, shortest_s=5.0, longest_s=4.0)
