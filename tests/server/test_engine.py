"""The engine of a server: what the runtime's gives, its errors as clients know them, slow listeners, voices in turn."""

import asyncio
import threading
import time

import numpy as np
import pytest

from sovits_runtime import ChunkOptions, EngineLimits, Phrase, SpeechOptions, SpeechRequest
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.engine.scheduler import AHEAD_S
from sovits_runtime.errors import BundleError, TextError
from sovits_server.core.engine import Engine
from sovits_server.problems import BusyError, NotThereError, TooLateError

PHRASES = [Phrase(["HH", "AH0", "L", "OW1", "."]), Phrase(["HH", "AY1", "."])]
SHORT = SpeechOptions(max_tokens=20, pause_s=0)
CHUNKS = ChunkOptions(first_tokens=4, lookahead_tokens=2)
LOAD = LoadOptions(threads=1)


@pytest.fixture
def make(tiny_bundle):
    made = []

    def make(*names, **limits):
        made.append(Engine(LOAD, EngineLimits(**limits)))
        for name in names:
            made[-1].add_voice(name, tiny_bundle)
        return made[-1]

    yield make
    for engine in made:
        engine.close(drain=False)


@pytest.fixture
def engine(make):
    return make("tiny", rows=2, queue=4)


def request(reference, *, text=PHRASES, chunks=CHUNKS, options=SHORT, **more):
    more.setdefault("voice", "tiny")
    return SpeechRequest(text=text, reference=reference, options=options, chunks=chunks, **more)


def sound(job):
    return np.concatenate([chunk.samples for chunk in job])


def endless():
    """Sentences without end."""
    while True:
        yield PHRASES[0]


def once(event):
    """Sentences that somebody has yet to type."""
    assert event.wait(60)
    yield from PHRASES


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def test_whole_sentences_and_chunks_are_those_of_the_voice_alone(engine, voice, reference):
    options = SpeechOptions(max_tokens=40, pause_s=0, seed=3)
    whole = [s.samples for s in voice.synthesize_each(PHRASES, reference, options=options)]
    chunks = [c.samples for c in voice.stream(PHRASES, reference, chunks=CHUNKS, options=options)]
    got = list(engine.submit(request(reference, chunks=None, options=options)))
    assert [c.sentence for c in got] == [0, 1]
    assert all(c.stop_reason for c in got)
    for mine, alone in zip(got, whole, strict=True):
        np.testing.assert_array_equal(mine.samples, alone)
    mine = sound(engine.submit(request(reference, options=options)))
    np.testing.assert_array_equal(mine, np.concatenate(chunks))


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
    typed = threading.Event()
    waiting = [engine.submit(request(reference, text=once(typed))) for _ in range(2 + 4)]
    with pytest.raises(BusyError, match="6 requests wait already, the queue takes 4") as caught:
        engine.submit(request(reference))
    assert caught.value.retry_after_s
    left = waiting.pop(1)
    left.cancel()
    assert left.done
    assert list(left) == []
    waiting.append(engine.submit(request(reference)))
    typed.set()
    assert all(len(sound(job)) for job in waiting)


@pytest.mark.parametrize("chunks", [CHUNKS, None])
def test_cancelling_ends_at_the_next_token(engine, reference, chunks):
    options = SpeechOptions(pause_s=0)
    job = engine.submit(request(reference, text=endless(), chunks=chunks, options=options))
    until(lambda: engine.stats().running == 1)
    threading.Thread(target=job.cancel).start()
    list(job)
    until(lambda: job.done)
    assert engine.stats().running == 0


def test_an_event_loop_that_is_left_cancels(engine, reference):
    async def leave():
        job = engine.submit(request(reference, text=endless()))
        chunks = aiter(job)
        await anext(chunks)
        await chunks.aclose()
        return job

    job = asyncio.run(leave())
    until(lambda: job.done)
    assert engine.stats().cancelled == 1


def test_a_listener_that_is_slow_gives_its_place_to_others(make, reference):
    engine = make("tiny", rows=1, queue=4)
    slow = engine.submit(request(reference, text=endless()))
    until(lambda: engine.stats().audio_s >= AHEAD_S)
    quick = sound(engine.submit(request(reference)))
    assert len(quick)
    assert not slow.done
    longest = SHORT.max_tokens * 0.04
    assert engine.stats().audio_s <= AHEAD_S + 4 * longest  # two sentences of each; the slow one stands still
    heard, chunks = 0.0, iter(slow)
    while heard < AHEAD_S + 2 * longest:  # it goes on with its listener
        heard += next(chunks).duration_s
    slow.cancel()
    until(lambda: slow.done)


def test_sound_that_comes_too_late_is_an_error(engine, reference):
    typed = threading.Event()
    late = engine.submit(request(reference, text=once(typed), deadline_s=0.2))
    with pytest.raises(TooLateError, match=r"no sound within 0\.2 s"):
        list(late)
    typed.set()


def test_what_goes_wrong_reaches_the_listener_alone(engine, reference, tmp_path):
    def broken():
        yield PHRASES[0]
        raise TextError("no such word")

    async def listen():
        return [c async for c in engine.submit(request(reference, text=broken()))]

    with pytest.raises(TextError, match="no such word"):
        list(engine.submit(request(reference, text=broken())))
    with pytest.raises(TextError, match="no such word"):
        asyncio.run(listen())
    assert len(sound(engine.submit(request(reference))))
    with pytest.raises(NotThereError, match=r"^there is no such voice$"):  # who else is there is not told
        engine.submit(request(reference, voice="nobody"))
    with pytest.raises(NotThereError), engine.lease("nobody"):
        pass
    with pytest.raises(BundleError):
        engine.add_voice("nobody", tmp_path)


def test_a_voice_that_is_added_again_stays_open(engine, tiny_bundle):
    with engine.lease("tiny") as first:
        pass
    engine.add_voice("tiny", tiny_bundle)
    with engine.lease("tiny") as again:
        assert again is first


def test_voices_beyond_the_memory_are_closed_but_never_in_use(make, reference):
    engine = make("a", "b", memory_bytes=1)
    with engine.lease("a") as first:
        with engine.lease("b"):
            assert set(engine.stats().loaded) == {"a", "b"}
        until(lambda: engine.stats().loaded == ("a",))
        assert len(sound(engine.submit(request(reference, voice="b"))))
        assert len(sound(engine.submit(request(reference, voice="a"))))
        with engine.lease("a") as again:
            assert again is first
    until(lambda: engine.stats().loaded == ())
    assert len(sound(engine.submit(request(reference, voice="a"))))


def test_closing_waits_or_cuts_off(make, reference):
    for drain in (True, False):
        engine = make("tiny", rows=1)
        job = engine.submit(request(reference, text=PHRASES if drain else endless()))
        until(lambda: engine.stats().running == 1 or job.done)  # noqa: B023
        engine.close(drain=drain)
        assert job.done
        if drain:
            assert len(sound(job))
        else:
            with pytest.raises(BusyError, match="going down"):  # half of it is not the whole
                list(job)
        with pytest.raises(BusyError, match="going down"):
            engine.submit(request(reference))
