"""Sentences that failed without an error, and transcripts that do not fit their recording."""

import json

import numpy as np
import pytest

from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.errors import GenerationError
from sovits_runtime.speech.plausible import loudest, spoken_phones, transcript_warning
from sovits_runtime.t2s.generator import TokenStream

SENTENCE = ["DH", "AH0", "R", "IH1", "V", "ER0", "R", "AH1", "N", "Z", "S", "L", "OW1", "L", "IY0", "P"] * 3
LONG_ENOUGH = range(200)


def tokens_of(tokens, stop_reason="eos"):
    def made():
        yield from tokens
        return stop_reason

    return TokenStream(made())


def sampling(monkeypatch, *results):
    """Has each attempt give the next of the results; returns the attempts that were made."""
    made, left = [], list(results)

    def tokens(voice, *args, attempt=1, **kwargs):
        made.append(attempt)
        return tokens_of(left.pop(0) if len(left) > 1 else left[0])

    monkeypatch.setattr(Synthesizer, "tokens", tokens)
    return made


def test_a_sentence_that_ends_far_too_soon_is_made_again(voice, reference, monkeypatch, caplog):
    made = sampling(monkeypatch, range(12), LONG_ENOUGH)
    spoken = voice.synthesize(SENTENCE, reference)
    assert (made, spoken.attempts, len(spoken.tokens)) == ([1, 2], 2, 200)
    assert "attempt 1: it ended far too soon for its phones" in caplog.text


def test_one_that_always_ends_too_soon_is_reported(voice, reference, monkeypatch):
    made = sampling(monkeypatch, range(12))
    with pytest.raises(
        GenerationError, match=r"48 phones after 3 attempts: it ended far too soon.*transcript"
    ):
        voice.synthesize(SENTENCE, reference)
    assert made == [1, 2, 3]


@pytest.mark.parametrize("count", [34, 11])
def test_speech_that_is_merely_fast_or_short_is_taken(voice, reference, monkeypatch, count):
    made = sampling(monkeypatch, range(count))
    phones = SENTENCE if count == 34 else ["HH", "AY1", "."]
    assert len(voice.synthesize(phones, reference).tokens) == count
    assert made == [1]


def test_a_limit_that_was_given_is_no_failure(voice, reference):
    spoken = voice.synthesize(SENTENCE, reference, options=SpeechOptions(max_tokens=5))
    assert (len(spoken.tokens), spoken.attempts) == (5, 1)


def silenced(voice, monkeypatch, times):
    """Has the decoder give almost nothing, the first few times."""
    calls, speak = [], voice.decoder.speak

    def faint(*args, **kwargs):
        calls.append(1)
        samples = speak(*args, **kwargs)
        return samples * np.float32(1e-4) if len(calls) <= times else samples

    monkeypatch.setattr(voice.decoder, "speak", faint)
    return calls


def each(voice, *args, **kwargs):
    return next(voice.synthesize_each([SENTENCE], *args, **kwargs))


def many(voice, *args, **kwargs):
    return next(voice.synthesize_many([SENTENCE], *args, **kwargs))


def one(voice, *args, **kwargs):
    return voice.synthesize(SENTENCE, *args, **kwargs)


@pytest.mark.parametrize("speak", [one, each, many])
def test_silence_is_made_again_with_other_tokens(voice, reference, monkeypatch, caplog, speak):
    made = sampling(monkeypatch, LONG_ENOUGH)
    silenced(voice, monkeypatch, 1)
    spoken = speak(voice, reference)
    assert (made, spoken.attempts) == ([1, 2], 2)
    assert loudest(spoken.samples, 32000) > 0.01
    assert "attempt 1: it is all but silent" in caplog.text


@pytest.mark.parametrize("speak", [one, each, many])
def test_silence_that_stays_is_reported(voice, reference, monkeypatch, speak):
    made = sampling(monkeypatch, LONG_ENOUGH)
    calls = silenced(voice, monkeypatch, 99)
    with pytest.raises(GenerationError, match=r"after 2 attempts: it is all but silent; try another seed"):
        speak(voice, reference, options=SpeechOptions(retries=1))
    assert (made, len(calls)) == ([1, 2], 2)


def test_attempts_are_counted_together(voice, reference, monkeypatch):
    """One of three ended too soon, and what the other two sounded like was silence."""
    made = sampling(monkeypatch, range(12), LONG_ENOUGH)
    silenced(voice, monkeypatch, 99)
    with pytest.raises(GenerationError, match="after 3 attempts: it is all but silent"):
        voice.synthesize(SENTENCE, reference)
    assert made == [1, 2, 3]


def test_pauses_may_be_silent(voice, reference, monkeypatch):
    silenced(voice, monkeypatch, 99)
    spoken = voice.synthesize([",", "SP", "…"], reference, options=SpeechOptions(max_tokens=20))
    assert spoken.attempts == 1


def test_a_stream_says_what_it_cannot_take_back(voice, reference, monkeypatch, caplog):
    sampling(monkeypatch, range(12))
    list(voice.stream([SENTENCE], reference))
    assert "it ended far too soon" in caplog.text
    caplog.clear()
    sampling(monkeypatch, LONG_ENOUGH)
    vocode = voice.decoder.vocode
    monkeypatch.setattr(voice.decoder, "vocode", lambda z, style: vocode(z, style) * np.float32(1e-4))
    list(voice.stream([SENTENCE], reference))
    assert "it is all but silent" in caplog.text


def test_the_loudest_stretch_counts():
    quiet = np.zeros(32000, np.float32)
    quiet[9000:9640] = 0.5
    assert loudest(quiet, 32000) > 0.1
    assert loudest(np.zeros(0, np.float32), 32000) == 0
    assert loudest(np.zeros(5, np.float32), 10) == 0


# --- transcripts ---


def recorded(demo_files):
    return demo_files.reference_wav, json.loads(demo_files.reference.read_text(encoding="utf-8"))["phones"]


@pytest.mark.parametrize("share", [0.5, 2.5])
def test_a_transcript_of_half_the_recording_is_named(voice, demo_files, caplog, share):
    wav, phones = recorded(demo_files)
    given = phones[: len(phones) // 2] if share < 1 else (3 * phones)[: int(share * len(phones))]
    for _ in range(2):  # also where the reference is kept from the first time
        caplog.clear()
        voice.reference(wav, given)
        assert "spoken phones for 5.0 s of recording" in caplog.text
        assert ("leave out part" in caplog.text) == (share < 1)
        assert str(wav) in caplog.text


def test_a_transcript_that_fits_is_not(voice, demo_files, caplog):
    wav, phones = recorded(demo_files)
    voice.reference(wav, phones)
    voice.reference(wav)
    assert caplog.text == ""


def test_only_spoken_phones_count(voice):
    ids = voice.phone_ids(["HH", "AY1", ".", ",", "SP", "停", "_", "UNK"])
    assert spoken_phones(ids, "v2") == 2
    assert spoken_phones(np.zeros(0, np.int64), "v1") == 0
    assert transcript_warning(ids, 0, "v2") == ""
