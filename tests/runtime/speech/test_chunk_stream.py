"""Chunks laid side by side are the whole sentence, and nothing is made before it is asked for."""

import gc
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sovits_runtime import ChunkOptions, Phrase, SpeechOptions
from sovits_runtime.errors import BundleError, GenerationError, ShapeError
from sovits_runtime.machine.process_memory import resident_bytes, return_freed_memory
from sovits_runtime.speech.chunked_vocoder import ChunkedVocoder, context_of
from sovits_runtime.speech.decoder import resampled
from sovits_runtime.speech.flow_windows import stretch
from sovits_runtime.speech.noise import seeded_normal
from sovits_runtime.t2s.generator import TokenStream
from sovits_runtime.t2s.host_loop import _State

PHONES = ["HH", "AH0", "L", "OW1", "."]
OPTIONS = SpeechOptions(max_tokens=90, pause_s=0.1)
SHORT_CHUNKS = ChunkOptions(first_tokens=7, most_tokens=12, growth=1.3, lookahead_tokens=3)


def whole_and_chunks(voice, reference, n, chunks, **options):
    """The same tokens decoded at once and in chunks, from the same noise."""
    decoder = voice.decoder
    tokens = np.random.default_rng(n).integers(0, 1024, n)
    phones = np.arange(5, 5 + n // 2 + 1)
    options = SpeechOptions(**options)
    noise = seeded_normal(np.random.default_rng(1))(decoder.noise_shape(n, options.speed))
    whole = decoder.decode(
        tokens, phones, style=reference.style, noise=noise, noise_scale=options.noise_scale
    )
    pieces = decoder.stream(
        iter(tokens.tolist()),
        phones,
        reference=reference,
        options=options,
        chunks=chunks,
        noise=seeded_normal(np.random.default_rng(1)),
    )
    return whole, list(pieces)


def snr_db(expected, got):
    return 20 * np.log10(np.linalg.norm(expected) / np.linalg.norm(expected - got))


@pytest.mark.parametrize("n", [1, 6, 7, 9, 10, 11, 64])
def test_with_everything_in_sight_chunks_equal_the_whole(voice, reference, n):
    chunks = ChunkOptions(first_tokens=7, most_tokens=9, lookahead_tokens=200, history_tokens=1000)
    whole, pieces = whole_and_chunks(voice, reference, n, chunks)
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5)


def test_latent_in_chunks_is_vocoded_as_a_whole(voice, reference):
    decoder = voice.decoder
    z = np.random.default_rng(0).standard_normal((1, decoder.latent_channels, 90)).astype(np.float32)
    whole = decoder.vocode(z, reference.style)
    vocoder = ChunkedVocoder(lambda z: decoder.vocode(z, reference.style), context_of(decoder.vocoder))
    bounds = [0, 1, 3, 30, 31, 60, 90]
    pieces = [vocoder.feed(z[:, :, a:b]) for a, b in itertools.pairwise(bounds)]
    joined = np.concatenate([*pieces, vocoder.finish()])
    np.testing.assert_allclose(joined, whole, atol=1e-5)
    assert [len(p) // 640 for p in pieces] == [0, 0, 30 - 11, 1, 29, 30]


def test_a_context_that_is_too_short_would_show(voice, reference):
    decoder = voice.decoder
    z = np.random.default_rng(0).standard_normal((1, decoder.latent_channels, 90)).astype(np.float32)
    vocoder = ChunkedVocoder(lambda z: decoder.vocode(z, reference.style), context_of(decoder.vocoder) - 4)
    joined = np.concatenate([vocoder.feed(z[:, :, :45]), vocoder.feed(z[:, :, 45:]), vocoder.finish()])
    assert np.abs(joined - decoder.vocode(z, reference.style)).max() > 1e-5


def test_a_short_look_ahead_changes_little_and_says_every_token_once(voice, reference):
    whole, pieces = whole_and_chunks(voice, reference, 150, SHORT_CHUNKS)
    joined = np.concatenate(pieces)
    assert len(joined) == len(whole)
    assert snr_db(whole, joined) > 20
    ends = list(zip(SHORT_CHUNKS.ends(), range(9), strict=False))
    assert [e for e, _ in ends] == [7, 14, 23, 34, 46, 58, 70, 82, 94]


@pytest.mark.parametrize("speed", [0.7, 1.3, 2.0])
def test_speed_gives_the_same_length(voice, reference, speed):
    whole, pieces = whole_and_chunks(voice, reference, 60, SHORT_CHUNKS, speed=speed)
    assert len(np.concatenate(pieces)) == len(whole)


def test_resampling_positions_equal_the_stretch_of_a_whole_sentence():
    state = np.random.default_rng(0).standard_normal((1, 3, 20)).astype(np.float32)
    positions = (np.arange(14) + 0.5) * 20 / 14 - 0.5
    np.testing.assert_allclose(resampled(state, positions), stretch(state, 14), atol=1e-5)


def test_chunks_of_sentences_with_the_pause_at_the_end_of_each(voice, reference):
    chunks = list(voice.stream([PHONES, Phrase(PHONES[:3])], reference, chunks=SHORT_CHUNKS, options=OPTIONS))
    for sentence in (0, 1):
        mine = [c for c in chunks if c.sentence == sentence]
        assert sum(len(c.samples) for c in mine) == 90 * 1280 + 3200
        assert [c.stop_reason for c in mine] == [None] * (len(mine) - 1) + ["max_tokens"]
        assert not mine[-1].samples.any()


def test_same_tokens_as_the_whole_sentence(voice, reference):
    spoken = voice.synthesize(PHONES, reference, options=OPTIONS)
    chunks = voice.stream([PHONES], reference, options=OPTIONS)
    streamed = np.concatenate([c.samples for c in chunks])
    assert snr_db(spoken.samples, streamed) > 20


def test_the_first_chunk_needs_its_own_tokens_only(voice, reference, monkeypatch):
    made = []
    original = voice.text_to_semantic.steps

    def counted(*args, **kwargs):
        for step in original(*args, **kwargs):
            made.append(step.token)
            yield step

    monkeypatch.setattr(voice.text_to_semantic, "steps", counted)
    stream = voice.stream([PHONES], reference, chunks=SHORT_CHUNKS, options=OPTIONS)
    assert made == []
    next(stream)
    assert len(made) == 7 + 3
    stream.close()
    assert len(made) == 7 + 3


def test_closing_a_stream_frees_its_state_at_once(voice, reference):
    free = len(voice.text_to_semantic._pool)
    stream = voice.stream([PHONES], reference, options=OPTIONS)
    next(stream)
    assert len(voice.text_to_semantic._pool) == max(free - 1, 0)
    stream.close()
    assert len(voice.text_to_semantic._pool) == max(free, 1)


def test_many_streams_a_third_of_them_cancelled_leave_nothing_behind(voice, reference):
    """Every sixth is closed while its thread waits for a chunk. `benchmarks/soak.py --stream` runs a thousand."""
    options = SpeechOptions(max_tokens=24, pause_s=0)

    def request(number):
        stream = voice.stream([PHONES], reference, chunks=SHORT_CHUNKS, options=options)
        samples = len(next(stream).samples)
        if number % 3:
            assert samples + sum(len(chunk.samples) for chunk in stream) == 24 * 1280
            return
        closer = threading.Thread(target=stream.close)
        closer.start()
        if number % 2:
            next(stream, None)
        closer.join()
        assert next(stream, None) is None

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(request, range(10)))
    model = voice.text_to_semantic
    memory, threads, states = private_bytes(), threading.active_count(), len(model._pool)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(request, range(60)))
    assert private_bytes() - memory < 20e6
    assert threading.active_count() == threads
    alive = [o for o in gc.get_objects() if type(o) is _State and o.step is model.step]
    assert len(alive) == len(model._pool) <= max(states, 2)


def private_bytes():
    gc.collect()
    return_freed_memory()
    return resident_bytes(private=True) or resident_bytes()


def ended(tokens):
    yield from tokens
    return "eos"


def test_a_sentence_that_ends_before_its_first_token_is_drawn_again(voice, reference, monkeypatch):
    attempts = []

    def tokens(*args, attempt, **kwargs):
        attempts.append(attempt)
        return TokenStream(ended(range(20) if attempt == 3 else ()))

    monkeypatch.setattr(voice, "tokens", tokens)
    chunks = list(voice.stream([PHONES], reference, options=SpeechOptions(pause_s=0)))
    assert attempts == [1, 2, 3]
    assert sum(len(c.samples) for c in chunks) == 20 * 1280
    assert chunks[-1].stop_reason == "eos"
    with pytest.raises(GenerationError, match="before the first token"):
        list(voice.stream([PHONES], reference, options=SpeechOptions(retries=1)))


def test_a_bundle_that_does_not_say_how_far_it_sees_is_named(voice):
    class Graph:
        spec = type("Spec", (), {"name": "sovits_flow", "context": None})

    with pytest.raises(BundleError, match="sovits_flow: the bundle does not say how far it sees"):
        context_of(Graph())
    assert context_of(voice.decoder.flow) == 32


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_tokens": 0},
        {"first_tokens": 2**63},
        {"most_tokens": 1.5},
        {"lookahead_tokens": -1},
        {"growth": 0.9},
        {"growth": float("inf")},
        {"history_tokens": 0},
        {"history_tokens": float("nan")},
    ],
)
def test_bad_chunks_are_refused(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(
        ShapeError, match=rf"^{name}: got {value}, expected a .*number of 1 to|^lookahead_tokens: got -1"
    ):
        ChunkOptions(**wrong)
