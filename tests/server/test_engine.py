"""The engine of threads: each request as if alone, queue, cancelling, slow listeners, voices that come and go."""

import asyncio
import threading
import time

import numpy as np
import pytest

from sovits_runtime import ChunkOptions, Phrase, SpeechOptions, Synthesizer
from sovits_runtime.errors import TextError
from sovits_server.core.engine import EngineLimits, SpeechRequest
from sovits_server.core.threads import ThreadedEngine
from sovits_server.problems import BusyError, NotThereError, TooLateError

PHRASES = [Phrase(["HH", "AH0", "L", "OW1", "."]), Phrase(["HH", "AY1", "."])]
SHORT = SpeechOptions(max_tokens=20, pause_s=0)
CHUNKS = ChunkOptions(first_tokens=4, lookahead_tokens=2)


def load(path):
    return Synthesizer.load(path, threads=1)


@pytest.fixture
def engine(tiny_bundle):
    engine = ThreadedEngine(load, EngineLimits(rows=2, queue=4))
    engine.add_voice("tiny", tiny_bundle)
    yield engine
    engine.close(drain=False)


def request(reference, *, phrases=PHRASES, chunks=CHUNKS, options=SHORT, **more):
    return SpeechRequest(more.pop("voice", "tiny"), phrases, reference, options, chunks, **more)


def sound(job):
    return np.concatenate([chunk.samples for chunk in job])


def endless(started=None):
    """Sentences without end."""
    while True:
        if started is not None:
            started.set()
        yield PHRASES[0]


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def test_whole_sentences_and_chunks_are_those_of_the_voice_alone(engine, voice, reference):
    options = SpeechOptions(max_tokens=40, pause_s=0, seed=3)
    whole = [s.samples for s in voice.synthesize_each(PHRASES, reference, options=options)]
    chunks = [c.samples for c in voice.stream(PHRASES, reference, chunks=CHUNKS, options=options)]
    got = list(engine.submit(request(reference, chunks=None, options=options)))
    assert [c.sentence for c in got] == [0, 1]
    assert all(c.last for c in got)
    for mine, alone in zip(got, whole, strict=True):
        np.testing.assert_array_equal(mine.samples, alone)
    np.testing.assert_array_equal(
        sound(engine.submit(request(reference, options=options))), np.concatenate(chunks)
    )


def test_requests_at_once_do_not_mix(engine, voice, reference):
    options = [SpeechOptions(max_tokens=20, pause_s=0, seed=seed) for seed in range(3)]
    alone = [
        np.concatenate([c.samples for c in voice.stream(PHRASES, reference, chunks=CHUNKS, options=o)])
        for o in options
    ]

    async def listen(seed):
        job = engine.submit(request(reference, options=options[seed]))
        return np.concatenate([c.samples async for c in job])

    async def run():
        return await asyncio.gather(*(listen(n % 3) for n in range(6)))

    for number, got in enumerate(asyncio.run(run())):
        np.testing.assert_array_equal(got, alone[number % 3])


def test_the_queue_is_bounded_and_cancelling_makes_room(engine, reference):
    started = [threading.Event() for _ in range(2)]
    running = [engine.submit(request(reference, phrases=endless(event))) for event in started]
    for event in started:
        assert event.wait(10)
    waiting = [engine.submit(request(reference)) for _ in range(4)]
    with pytest.raises(BusyError, match="4 requests are waiting already") as caught:
        engine.submit(request(reference))
    assert caught.value.retry_after_s
    waiting[1].cancel()
    assert waiting[1].done
    assert list(waiting[1]) == []
    last = engine.submit(request(reference))
    for job in running:
        job.cancel()
    assert all(len(sound(job)) for job in (waiting[0], waiting[2], waiting[3], last))


def test_higher_priority_goes_first(engine, reference):
    running = [engine.submit(request(reference, phrases=endless())) for _ in range(2)]
    until(lambda: engine.stats().running == 2)
    order = []

    def telling(name):
        order.append(name)
        yield PHRASES[0]

    jobs = [engine.submit(request(reference, phrases=telling("late"))),
            engine.submit(request(reference, phrases=telling("first"), priority=5))]  # fmt: skip
    running[0].cancel()
    for job in jobs:
        sound(job)
    assert order == ["first", "late"]


@pytest.mark.parametrize("chunks", [CHUNKS, None])
def test_cancelling_ends_at_the_next_token(engine, reference, chunks):
    job = engine.submit(
        request(reference, phrases=endless(), chunks=chunks, options=SpeechOptions(pause_s=0))
    )
    until(lambda: engine.stats().running == 1)
    threading.Thread(target=job.cancel).start()
    list(job)
    until(lambda: job.done)
    assert engine.stats().running == 0


def test_a_listener_that_is_slow_gives_its_thread_to_others(tiny_bundle, reference):
    engine = ThreadedEngine(load, EngineLimits(rows=1, queue=4), ahead_s=0.5)
    engine.add_voice("tiny", tiny_bundle)
    slow = engine.submit(request(reference, phrases=PHRASES * 6))
    quick = engine.submit(request(reference))
    assert len(sound(quick))
    assert not slow.done
    assert len(sound(slow)) == 6 * len(sound(engine.submit(request(reference))))
    forgotten = engine.submit(request(reference, phrases=endless()))
    until(lambda: engine.stats().running and not engine.stats().waiting)
    time.sleep(0.2)
    forgotten.cancel()
    until(lambda: forgotten.done)
    engine.close()


def test_a_turn_that_comes_too_late_is_an_error(engine, reference):
    running = [engine.submit(request(reference, phrases=endless())) for _ in range(2)]
    late = engine.submit(request(reference, deadline_s=0.01))
    time.sleep(0.05)
    for job in running:
        job.cancel()
    with pytest.raises(TooLateError, match=r"not its turn within 0\.01 s"):
        list(late)


def test_what_goes_wrong_reaches_the_listener_alone(engine, reference):
    def broken():
        yield PHRASES[0]
        raise TextError("no such word")

    job = engine.submit(request(reference, phrases=broken()))
    with pytest.raises(TextError, match="no such word"):
        list(job)
    assert len(sound(engine.submit(request(reference))))
    with pytest.raises(NotThereError):
        engine.submit(request(reference, voice="nobody"))


def test_voices_beyond_the_memory_are_closed_but_never_in_use(tiny_bundle, reference):
    engine = ThreadedEngine(load, EngineLimits(memory_bytes=1))
    for name in ("a", "b"):
        engine.add_voice(name, tiny_bundle)
    with engine.lease("a") as first:
        with engine.lease("b"):
            assert set(engine.stats().loaded) == {"a", "b"}
        assert len(sound(engine.submit(request(reference, voice="a"))))
        with engine.lease("b"):
            assert "a" in engine.stats().loaded
    with engine.lease("b"):
        pass
    assert list(engine.stats().loaded) == ["b"] or engine.stats().memory_bytes
    with engine.lease("a") as again:
        assert again is not first or "a" in engine.stats().loaded
        assert len(sound(engine.submit(request(reference, voice="a"))))
    engine.close()


def test_closing_waits_or_cuts_off(tiny_bundle, reference):
    for drain in (True, False):
        engine = ThreadedEngine(load, EngineLimits(rows=1))
        engine.add_voice("tiny", tiny_bundle)
        phrases = PHRASES if drain else endless()
        job = engine.submit(request(reference, phrases=phrases))
        until(lambda: engine.stats().running == 1 or job.done)  # noqa: B023
        engine.close(drain=drain)
        assert job.done
        assert bool(list(job)) == drain
        with pytest.raises(BusyError, match="going down"):
            engine.submit(request(reference))
