"""The engine with a real voice: each request gets, bit for bit, what it would get alone, whoever is beside it."""

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sovits_runtime import (
    ChunkOptions,
    EngineLimits,
    Phrase,
    SamplingOptions,
    SpeechEngine,
    SpeechOptions,
    SpeechRequest,
    Synthesizer,
)
from sovits_runtime.backends.native import library
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.engine import DeadlinePassed, EngineClosed, JobCancelled, QueueFull, UnknownVoice
from sovits_runtime.errors import BundleError, ShapeError, TextError

PHONES = ["HH", "AH0", "L", "OW1", ",", "W", "ER1", "L", "D", "."]
SHORT = SpeechOptions(max_tokens=12, pause_s=0)
needs_native = pytest.mark.skipif(library() is None, reason="sovits-export-native is not installed")


def asked(number, reference):
    """A request of many kinds: length, options, chunks."""
    rng = random.Random(number)
    options = SpeechOptions(
        seed=number,
        max_tokens=rng.randint(1, 26),
        pause_s=rng.choice((0, 0.02)),
        speed=rng.choice((1.0, 1.0, 1.3)),
        noise_scale=rng.choice((0.0, 0.5)),
        sampling=SamplingOptions(
            top_k=rng.choice((1, 5, 15, 100)),
            top_p=rng.choice((1.0, 0.8)),
            temperature=rng.choice((0.7, 1.0)),
        ),
    )
    first = rng.randint(2, 9)
    chunks = ChunkOptions(first_tokens=first, most_tokens=first + 8, lookahead_tokens=rng.randint(0, 4))
    phrases = [Phrase(PHONES[rng.randint(0, 3) :]) for _ in range(rng.choice((1, 1, 2)))]
    return {
        "text": phrases,
        "reference": reference,
        "options": options,
        "chunks": chunks if rng.random() < 0.8 else None,
    }


def alone(voice, text, reference, options, chunks):
    if chunks is None:
        return [s.samples.tobytes() for s in voice.synthesize_each(text, reference, options=options)]
    return [c.samples.tobytes() for c in voice.stream(text, reference, options=options, chunks=chunks)]


@pytest.fixture(scope="module", params=[pytest.param("native", marks=needs_native), "onnxruntime"])
def steps(request):
    return request.param


@pytest.fixture(scope="module")
def load(steps):
    return LoadOptions(threads=1, gpt_steps=steps)


@pytest.fixture(scope="module")
def expected(tiny_bundle, steps, reference):
    """What requests sound like alone, by their numbers; made when asked for."""
    with Synthesizer.load(tiny_bundle, threads=1, gpt_steps=steps) as voice:
        made = {}

        def of(number):
            if number not in made:
                made[number] = alone(voice, **asked(number, reference))
            return made[number]

        yield of


@pytest.fixture
def engine(tiny_bundle):
    limits = EngineLimits(rows=8, queue=100)
    with SpeechEngine(load=LoadOptions(threads=1), limits=limits) as engine:
        engine.add_voice("me", tiny_bundle)
        yield engine


@pytest.mark.parametrize("beside", [False, True])
def test_mixed_requests_are_what_they_are_alone(tiny_bundle, load, expected, reference, beside):
    numbers = list(range(20))
    wanted = {number: expected(number) for number in numbers}
    with SpeechEngine(load=load, limits=EngineLimits(rows=8), beside=beside) as engine:
        for name in ("me", "the same again"):
            engine.add_voice(name, tiny_bundle)
        jobs = {}
        for number in numbers:
            voice = "me" if number % 4 else "the same again"
            jobs[number] = engine.submit(
                SpeechRequest(voice=voice, priority=number % 3, **asked(number, reference))
            )
            time.sleep(0.01 * (number % 5))
        for number, job in jobs.items():
            assert [c.samples.tobytes() for c in job] == wanted[number], number
        assert engine.stats().finished == len(numbers)
        assert engine.stats().tokens > engine.stats().steps


@pytest.mark.slow
@needs_native
def test_two_hundred_mixed_requests_are_what_they_are_alone(tiny_bundle, reference):
    rng = random.Random(0)
    load = LoadOptions(threads=2, gpt_steps="native")
    with Synthesizer.load(tiny_bundle, threads=2, gpt_steps="native") as voice:
        wanted = {number: alone(voice, **asked(number, reference)) for number in range(200)}
    with SpeechEngine(load=load, limits=EngineLimits(rows=16), beside=True) as engine:
        engine.add_voice("one", tiny_bundle)
        engine.add_voice("two", tiny_bundle)
        jobs = {}
        for number in rng.sample(range(200), 200):
            request = SpeechRequest(voice=rng.choice(("one", "two")), **asked(number, reference))
            jobs[number] = engine.submit(request)
            time.sleep(rng.choice((0, 0, 0.05, 0.2)))
        for number, job in jobs.items():
            assert [c.samples.tobytes() for c in job] == wanted[number], number


def test_sixteen_threads_a_third_of_which_leave(tiny_bundle, load, expected, reference):
    """Nothing is mixed up, nobody waits for ever, and nothing is left."""
    wanted = {number: expected(number) for number in range(12)}
    before = threading.active_count()
    with SpeechEngine(load=load, limits=EngineLimits(rows=6), beside=True) as engine:
        engine.add_voice("me", tiny_bundle)

        def hammer(i):
            number = i % 12
            job = engine.submit(SpeechRequest(voice="me", **asked(number, reference)))
            if i % 3:
                assert [c.samples.tobytes() for c in job] == wanted[number]
                return
            time.sleep(0.013 * (i % 7))
            job.cancel()
            assert list(job) == []
            assert job.wait(60)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(hammer, range(48)))
        stats = engine.stats()
        assert (stats.waiting, stats.running, stats.rows) == (0, 0, 0)
        assert stats.finished + stats.cancelled == stats.submitted == 48
    assert threading.active_count() == before


def test_chunks_come_to_an_event_loop(engine, reference):
    async def speak(number):
        job = engine.submit(SpeechRequest(voice="me", **asked(number, reference)))
        return [c.samples.tobytes() async for c in job]

    async def all_of_them():
        return await asyncio.gather(*map(speak, range(6)))

    with Synthesizer.load(engine._shelf._places["me"].path, threads=1) as voice:
        wanted = [alone(voice, **asked(number, reference)) for number in range(6)]
    assert asyncio.run(all_of_them()) == wanted


def test_leaving_an_event_loop_early_cancels(engine, reference):
    async def leave():
        job = engine.submit(SpeechRequest(voice="me", text=[PHONES] * 50, reference=reference, options=SHORT))
        chunks = aiter(job)
        await anext(chunks)
        await chunks.aclose()
        return job

    assert asyncio.run(leave()).wait(60)
    assert engine.stats().cancelled == 1


def test_text_is_read_as_it_comes(engine, reference):
    parts = ["Good morning. ", "How are you?"]
    heard_first = threading.Event()

    def typed():
        yield parts[0]
        assert heard_first.wait(60)  # the first sentence sounds before the second is there
        yield parts[1]

    request = SpeechRequest(voice="me", text=typed(), reference=reference, language="en", options=SHORT)
    sentences = []
    for chunk in engine.submit(request):
        sentences.append(chunk.sentence)
        heard_first.set()
    assert set(sentences) == {0, 1}


def test_a_seed_by_chance_is_named_and_repeats(engine, reference):
    options = SpeechOptions(max_tokens=10, seed=-1)
    job = engine.submit(SpeechRequest(voice="me", text=[PHONES], reference=reference, options=options))
    first = [c.samples.tobytes() for c in job]
    again = SpeechOptions(max_tokens=10, seed=job.seed)
    job = engine.submit(SpeechRequest(voice="me", text=[PHONES], reference=reference, options=again))
    assert [c.samples.tobytes() for c in job] == first
    assert job.done
    timing = job.timing
    assert timing.tokens == 10
    assert 0 <= timing.begun_s < timing.first_sound_s < timing.ended_s
    assert timing.audio_s == pytest.approx(0.4 + 0.3)


def test_errors_reach_who_asked_and_nobody_else(engine, reference):
    def broken():
        yield PHONES
        raise RuntimeError("the line went dead")

    good = [engine.submit(SpeechRequest(voice="me", **asked(n, reference))) for n in range(3)]
    for text, error in (
        ([np.array([10**6])], TextError),
        (broken(), RuntimeError),
        ([[]], TextError),
        ([17], TypeError),
    ):
        with pytest.raises(error):
            list(engine.submit(SpeechRequest(voice="me", text=text, reference=reference, options=SHORT)))
    assert all(list(job) for job in good)
    assert engine.stats().failed == 4


def test_what_cannot_be_asked_is_refused_at_once(engine, reference, tmp_path):
    with pytest.raises(UnknownVoice, match="voice 'you' is unknown; known voices: me"):
        engine.submit(SpeechRequest(voice="you", text=[PHONES], reference=reference))
    with pytest.raises(BundleError):
        engine.add_voice("nothing", tmp_path)
    with pytest.raises(ShapeError, match="without a language; name it, or give phrases"):
        SpeechRequest(voice="me", text="Hello", reference=reference)
    with pytest.raises(ShapeError, match="text: got 17, expected phrases, or a text with its language"):
        SpeechRequest(voice="me", text=17, reference=reference)
    with pytest.raises(ShapeError, match="reference: got str, expected Reference"):
        SpeechRequest(voice="me", text=[PHONES], reference="me.wav")
    with pytest.raises(ShapeError, match="priority"):
        SpeechRequest(voice="me", text=[PHONES], reference=reference, priority=1e9)
    with pytest.raises(ShapeError, match="deadline_s"):
        SpeechRequest(voice="me", text=[PHONES], reference=reference, deadline_s=0)
    with pytest.raises(ShapeError, match="rows: got 0"):
        EngineLimits(rows=0)


def typed_later(event):
    assert event.wait(60)
    yield PHONES


def test_a_full_queue(tiny_bundle, reference):
    typed = threading.Event()
    with SpeechEngine(load=LoadOptions(threads=1), limits=EngineLimits(rows=1, queue=1)) as engine:
        engine.add_voice("me", tiny_bundle)

        def submit():
            text = typed_later(typed)
            return engine.submit(SpeechRequest(voice="me", text=text, reference=reference, options=SHORT))

        jobs = [submit(), submit()]
        with pytest.raises(QueueFull, match="2 requests wait already, the queue takes 1"):
            submit()
        assert engine.stats().refused == 1
        typed.set()
        assert all(list(job) for job in jobs)


def test_a_deadline_passes_while_nothing_else_happens(engine, reference):
    typed = threading.Event()
    text = typed_later(typed)
    late = engine.submit(SpeechRequest(voice="me", text=text, reference=reference, deadline_s=0.2))
    with pytest.raises(DeadlinePassed, match=r"no sound within 0\.2 s"):
        next(late)
    typed.set()


def test_closing_speaks_on_or_ends_what_was_taken(tiny_bundle, reference):
    def begin(sentences):
        engine = SpeechEngine(load=LoadOptions(threads=1), limits=EngineLimits(rows=2))
        engine.add_voice("me", tiny_bundle)
        asked = SpeechRequest(voice="me", text=[PHONES] * sentences, reference=reference, options=SHORT)
        return engine, [engine.submit(asked) for _ in range(4)]

    engine, jobs = begin(3)
    engine.close()
    assert all({c.sentence for c in job} == {0, 1, 2} for job in jobs)
    with pytest.raises(EngineClosed, match="closed"):
        engine.submit(SpeechRequest(voice="me", text=[PHONES], reference=reference))
    engine, jobs = begin(1000)
    engine.close(drain=False)
    for job in jobs:
        with pytest.raises(JobCancelled, match="closed before"):
            list(job)
    engine, jobs = begin(1000)
    engine.close(timeout_s=0.01)
    assert all(job.done for job in jobs)


def test_voices_share_parts_and_leave_memory_when_it_is_short(tiny_bundle, reference):
    with SpeechEngine(load=LoadOptions(threads=1)) as engine:
        engine.add_voice("one", tiny_bundle)
        engine.add_voice("two", tiny_bundle)
        assert engine.voices() == ("one", "two")
        assert engine.stats().loaded == ()
        one, two = engine.voice("one"), engine.voice("two")
        assert one.open_graph("hubert") is two.open_graph("hubert")
        assert one.open_graph("sovits_encoder") is not two.open_graph("sovits_encoder")
        assert engine.stats().loaded == ("one", "two")
        size = engine.stats().memory_bytes // 2
    with SpeechEngine(load=LoadOptions(threads=1), limits=EngineLimits(memory_bytes=size)) as engine:
        for name in ("one", "two", "three"):
            engine.add_voice(name, tiny_bundle)
        for name in ("one", "two", "one", "three"):
            said = SpeechRequest(voice=name, text=[PHONES], reference=reference, options=SHORT)
            assert len(list(engine.submit(said))) > 0
            deadline = time.monotonic() + 30
            while engine.stats().loaded != (name,) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert engine.stats().loaded == (name,)
        with engine.using("two") as voice:
            engine.voice("three")
            assert voice.backend is not None  # it stays, though the limit is passed
        engine.remove_voice("one")
        with pytest.raises(UnknownVoice, match="known voices: three, two"):
            engine.voice("one")


def test_a_voice_that_is_replaced_speaks_on(engine, tiny_bundle, reference):
    said = SpeechRequest(voice="me", text=[PHONES] * 4, reference=reference, options=SHORT)
    job = engine.submit(said)
    next(job)
    engine.add_voice("me", tiny_bundle)
    later = engine.submit(said)
    assert {c.sentence for c in job} >= {1, 2, 3}
    assert {c.sentence for c in later} == {0, 1, 2, 3}
