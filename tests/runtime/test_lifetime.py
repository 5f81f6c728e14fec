"""A voice that is closed at work, forked, loaded over and over, and asked by many threads at once."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from sovits_runtime import ChunkOptions, Reference, SamplingOptions, SpeechOptions, Synthesizer
from sovits_runtime.aio import stream_async
from sovits_runtime.errors import BackendError
from sovits_runtime.speech.lifetime import Lifetime
from sovits_runtime.speech.reference import ReferenceStore
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS

PHONES = ["HH", "AH0", "L", "OW1", "."]
CLOSED = "this voice is closed; load it again"
LONG = SpeechOptions(SamplingOptions(min_tokens=MAX_NEW_TOKENS), max_tokens=MAX_NEW_TOKENS)
WHOLE = ChunkOptions(first_tokens=2 * MAX_NEW_TOKENS)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def own_voice(tiny_bundle):
    voice = Synthesizer.load(tiny_bundle, threads=1)
    yield voice
    voice.close()


def slow_steps(voice, monkeypatch):
    """Has a step take 10 ms, and returns what was made."""
    made, steps = [], voice.text_to_semantic.steps

    def slow(*args, **kwargs):
        for step in steps(*args, **kwargs):
            made.append(step.token)
            time.sleep(0.01)
            yield step

    monkeypatch.setattr(voice.text_to_semantic, "steps", slow)
    return made


REQUESTS = {
    "synthesize": lambda voice, me: voice.synthesize(PHONES, me, options=LONG),
    "generate": lambda voice, me: voice.generate(PHONES, me, options=LONG),
    "each": lambda voice, me: list(voice.synthesize_each([PHONES], me, options=LONG)),
    "many": lambda voice, me: list(voice.synthesize_many([PHONES], me, options=LONG)),
    "stream": lambda voice, me: list(voice.stream([PHONES], me, chunks=WHOLE, options=LONG)),
    "tokens": lambda voice, me: list(voice.tokens(voice.phone_ids(PHONES), me, bert=None, options=LONG)),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_closing_ends_a_request_at_its_next_token(own_voice, reference, monkeypatch, request_):
    made, ends = slow_steps(own_voice, monkeypatch), []

    def speak():
        try:
            ends.append(request_(own_voice, reference))
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=speak)
    thread.start()
    while len(made) < 3:
        time.sleep(0.002)
    own_voice.close()
    count = len(made)
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(ends[0], BackendError), ends
    assert CLOSED in str(ends[0])
    assert len(made) == count < 100, "it went on after the voice was closed"


def test_closing_waits_for_a_graph_that_runs(own_voice, reference, monkeypatch):
    running, done = threading.Event(), []
    speak = own_voice.decoder.speak

    def slow(*args, **kwargs):
        running.set()
        time.sleep(0.2)
        samples = speak(*args, **kwargs)
        done.append(len(samples))
        return samples

    monkeypatch.setattr(own_voice.decoder, "speak", slow)
    options = SpeechOptions(max_tokens=12)
    thread = threading.Thread(
        target=own_voice.synthesize, args=(PHONES, reference), kwargs={"options": options}
    )
    thread.start()
    assert running.wait(20)
    own_voice.close()
    assert done == [12 * 1280], "the voice was freed while its decoder ran"
    thread.join()


def test_a_stream_that_nobody_reads_from_is_freed_with_its_voice(own_voice, reference):
    stream = own_voice.stream([PHONES], reference, options=SpeechOptions(max_tokens=90))
    tokens = own_voice.tokens(own_voice.phone_ids(PHONES), reference, bert=None, options=LONG)
    next(stream)
    next(iter(tokens))
    model = own_voice.text_to_semantic
    assert not model._pool
    own_voice.close()
    assert len(model._pool) == 2
    for left in (stream, tokens):
        with pytest.raises(BackendError, match=CLOSED):
            list(left)


def test_a_stream_that_was_closed_before_its_voice_is_at_its_end(own_voice, reference):
    stream = own_voice.stream([PHONES], reference)
    stream.close()
    own_voice.close()
    assert list(stream) == []


def test_a_stream_in_asyncio_ends_with_the_error(own_voice, reference, monkeypatch):
    made = slow_steps(own_voice, monkeypatch)

    async def speak():
        stream = own_voice.stream([PHONES], reference, chunks=WHOLE, options=LONG)
        async with aclosing(stream_async(stream)) as chunks:
            reading = asyncio.ensure_future(anext(chunks))
            while len(made) < 3:
                await asyncio.sleep(0.005)
            await asyncio.to_thread(own_voice.close)
            await reading

    with pytest.raises(BackendError, match=CLOSED):
        asyncio.run(speak())


def test_a_voice_can_be_closed_from_within_a_request(own_voice, reference):
    def phrases():
        yield PHONES
        own_voice.close()
        yield PHONES

    stream = own_voice.stream(phrases(), reference, options=SpeechOptions(max_tokens=12))
    with pytest.raises(BackendError, match=CLOSED):
        list(stream)


def test_two_threads_close_at_once():
    lifetime, inside = Lifetime(forks=True), threading.Barrier(2)

    def close():
        with lifetime.work():
            inside.wait()
            lifetime.end()

    threads = [threading.Thread(target=close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_bert_of_a_closed_voice_is_not_run(own_voice):
    features = own_voice._bert
    own_voice.close()
    with pytest.raises(BackendError, match=CLOSED):
        features._run(np.zeros((1, 3), np.int64))


@linux
def test_many_loads_and_closes_leave_nothing(tiny_bundle, reference):
    from sovits_runtime.machine.process_memory import resident_bytes

    marks = []
    gc.collect()
    gc.disable()  # nothing may wait for the collector: threads of sessions would, and gigabytes of a large voice
    try:
        for number in range(14):
            with Synthesizer.load(tiny_bundle, threads=2) as voice:
                voice.synthesize(PHONES, reference, options=SpeechOptions(max_tokens=12))
            del voice
            if number >= 4:
                marks.append((resident_bytes(private=True), len(list(Path("/proc/self/task").iterdir()))))
    finally:
        gc.enable()
    assert {threads for _, threads in marks} == {marks[0][1]}
    assert marks[-1][0] - marks[0][0] < 15e6


def test_references_of_many_voices_from_many_threads(tiny_bundle, monkeypatch):
    """The memory of them is full all the time, so that every call drops one."""
    from sovits_runtime.bundle import Bundle

    store = ReferenceStore(Bundle.open(tiny_bundle))
    monkeypatch.setattr("sovits_runtime.speech.reference.REMEMBERED", 2)
    monkeypatch.setattr("sovits_runtime.speech.reference.reference_key", lambda recordings, *_: recordings)

    class Files:
        def get(self, key, **_):
            return key

    store._files = Files()
    errors, interval = [], sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def ask(first):
        for key in range(first, first + 3000):
            try:
                assert store.get(key % 50, None, None, encoder=None) == key % 50
            except BaseException as error:
                errors.append(error)
                return

    try:
        threads = [threading.Thread(target=ask, args=(11 * i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []


FORK = """
import os, sys, threading
from sovits_runtime import Reference, SpeechOptions, Synthesizer
phones, options = {phones!r}, SpeechOptions(max_tokens=30)
voice = Synthesizer.load({bundle!r}, threads=2, gpt_steps={steps!r})
me = Reference.load({saved!r})
said = voice.synthesize(phones, me, options=options).samples.tobytes()
child = os.fork()
if child == 0:
    same = voice.synthesize(phones, me, options=options).samples.tobytes() == said
    streamed = sum(len(chunk.samples) for chunk in voice.stream([phones], me, options=options))
    {end}
    sys.exit(0 if same and streamed else 3)  # and not os._exit: everything is freed
same = voice.synthesize(phones, me, options=options).samples.tobytes() == said
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if same else 5)
"""


@forks
@pytest.mark.parametrize("steps", ["auto", "onnxruntime"])
@pytest.mark.parametrize("end", ["pass", "voice.close()"])
def test_a_forked_process_speaks_and_ends(tiny_bundle, reference, tmp_path, steps, end):
    saved = tmp_path / "me.npz"
    reference.save(saved)
    code = FORK.format(phones=PHONES, bundle=str(tiny_bundle), steps=steps, saved=str(saved), end=end)
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        try:
            assert process.wait(60) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            pytest.fail("the forked process waits for threads that it has not")


@forks
def test_a_fork_cannot_take_over_a_voice_on_a_gpu(monkeypatch):
    on_gpu, on_cpu = Lifetime(forks=False), Lifetime(forks=True)
    process = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: process + 1)
    with on_cpu.work():
        pass
    with pytest.raises(BackendError, match=r"loaded on a GPU by another process.*spawn"), on_gpu.work():
        pass


def test_a_reference_of_another_version_is_refused(own_voice, reference):
    from dataclasses import replace

    wrong = replace(reference, phones=np.full_like(reference.phones, 999))
    assert isinstance(wrong, Reference)
    with pytest.raises(ValueError, match=r"reference, phones: got ids 999 to 999, expected 0 to 731"):
        own_voice.synthesize(PHONES, wrong)
