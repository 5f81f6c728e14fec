"""Options out of range are refused by name in one line, before anything runs; a seed of -1 is drawn."""

import numpy as np
import pytest

from sovits_runtime import SamplingOptions, SpeechOptions, Synthesizer
from sovits_runtime.backends.voice import LoadOptions, most_threads
from sovits_runtime.errors import ShapeError
from sovits_runtime.speech.types import RANDOM_SEED

PHONES = ["HH", "AH0", "L", "OW1", "."]
NAN, INF = float("nan"), float("inf")
HUGE = 2**63


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        *((SamplingOptions, "top_k", v) for v in (-1, HUGE, 1.5, NAN, "3", True, None)),
        *((SamplingOptions, "top_p", v) for v in (0, -0.1, 1.5, NAN, INF, "x")),
        *((SamplingOptions, "temperature", v) for v in (-1, NAN, INF, 1e40)),
        *((SamplingOptions, "repetition_penalty", v) for v in (0, -1, 1e-50, NAN, INF)),
        *((SamplingOptions, "min_tokens", v) for v in (-1, HUGE, NAN)),
        *((SpeechOptions, "seed", v) for v in (-2, 2**64, 1.0, NAN, "7")),
        *((SpeechOptions, "speed", v) for v in (0, 0.05, 11, NAN, INF, "fast")),
        *((SpeechOptions, "noise_scale", v) for v in (-1, 1e9, NAN, INF)),
        *((SpeechOptions, "pause_s", v) for v in (-1, 1e9, NAN, INF)),
        *((SpeechOptions, "max_tokens", v) for v in (0, -1, 1501, HUGE, NAN, 20.0)),
        *((SpeechOptions, "retries", v) for v in (-1, HUGE, NAN)),
        *((SpeechOptions, "flow_steps", v) for v in (0, 1001, 1.5, NAN)),
        *((SpeechOptions, "guidance", v) for v in (-0.1, 2.1, "1", NAN)),
        *((SpeechOptions, "sampling", v) for v in (None, {"top_k": 3})),
        *(
            pytest.param(kind, name, 10**5000, id=f"{name}-of-5000-digits")
            for kind, name in (
                (SamplingOptions, "top_k"),
                (SamplingOptions, "top_p"),
                (SpeechOptions, "seed"),
            )
        ),
        *((LoadOptions, "threads", v) for v in (0, -1, 100_000, 99_999_999_999, HUGE, NAN, "2")),
        *((LoadOptions, "requests", v) for v in (0, -1, 100_000, NAN)),
    ],
)
def test_out_of_range_is_refused_by_name(kind, name, value):
    with pytest.raises(ShapeError, match=f"^{name}: got ") as refused:
        kind(**{name: value})
    message = str(refused.value)
    assert "expected" in message
    assert "\n" not in message
    assert len(message) < 200


def test_numbers_of_numpy_are_numbers():
    options = SpeechOptions(seed=np.int64(3), speed=np.float32(1.5), max_tokens=np.int32(9))
    assert (options.seed, options.speed, options.max_tokens) == (3, 1.5, 9)
    assert LoadOptions(threads=most_threads()).threads >= 64


@pytest.mark.parametrize("size", [0, -1, NAN, HUGE])
def test_a_batch_of_no_sentences_is_refused(voice, reference, size):
    with pytest.raises(ShapeError, match="batch_size: got"):
        list(voice.synthesize_many([PHONES], reference, batch_size=size))


def test_no_sentences_make_no_batch(voice, reference):
    assert list(voice.synthesize_many([], reference)) == []


# --- a seed by chance ---

DRAWN = SpeechOptions(seed=RANDOM_SEED, max_tokens=15, pause_s=0)


def with_seed(seed):
    return SpeechOptions(seed=seed, max_tokens=15, pause_s=0)


def test_a_seed_of_minus_one_is_drawn_and_named(voice, reference):
    first, second = (voice.synthesize(PHONES, reference, options=DRAWN) for _ in range(2))
    assert first.seed != second.seed
    assert first.seed >= 0
    again = voice.synthesize(PHONES, reference, options=with_seed(first.seed))
    assert again.samples.tobytes() == first.samples.tobytes()


def test_all_sentences_of_a_request_have_one_drawn_seed(voice, reference):
    for speak in (voice.synthesize_each, voice.synthesize_many):
        spoken = list(speak([PHONES, PHONES[:3]], reference, options=DRAWN))
        assert len({sentence.seed for sentence in spoken}) == 1
        again = list(speak([PHONES, PHONES[:3]], reference, options=with_seed(spoken[0].seed)))
        assert [s.samples.tobytes() for s in again] == [s.samples.tobytes() for s in spoken]


def test_a_stream_names_the_seed_that_it_drew(voice, reference):
    stream = voice.stream([PHONES], reference, options=DRAWN)
    heard = b"".join(chunk.samples.tobytes() for chunk in stream)
    again = voice.stream([PHONES], reference, options=with_seed(stream.seed))
    assert b"".join(chunk.samples.tobytes() for chunk in again) == heard
    assert voice.stream([PHONES], reference, options=with_seed(5)).seed == 5


def test_tokens_keep_their_seed_for_the_decoder(voice, reference):
    utterance = voice.generate(PHONES, reference, options=DRAWN)
    spoken = voice.decode(utterance, reference, options=DRAWN)
    whole = voice.synthesize(PHONES, reference, options=with_seed(utterance.seed))
    assert spoken.samples.tobytes() == whole.samples.tobytes()
    joined = voice.decode_joined([utterance], reference, options=DRAWN)
    assert joined[0].samples.tobytes() == whole.samples.tobytes()


def test_threads_beyond_reason_open_nothing(tiny_bundle):
    with pytest.raises(ShapeError, match="threads: got 100000, expected a whole number of 1 to"):
        Synthesizer.load(tiny_bundle, threads=100_000)
