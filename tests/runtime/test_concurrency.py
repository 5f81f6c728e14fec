"""Many requests of one voice at once: each gets what it would get alone, whole or in part."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sovits_runtime import ChunkOptions, SpeechOptions, Synthesizer
from sovits_runtime.backends.native import library

PHONES = ["HH", "AH0", "L", "OW1", "."]
CHUNKS = ChunkOptions(first_tokens=4, most_tokens=6, lookahead_tokens=2)
needs_native = pytest.mark.skipif(library() is None, reason="sovits-export-native is not installed")


@pytest.fixture(scope="module", params=[pytest.param("native", marks=needs_native), "onnxruntime"])
def shared_voice(tiny_bundle, request):
    with Synthesizer.load(tiny_bundle, threads=1, gpt_steps=request.param) as voice:
        yield voice


def test_sixteen_threads_get_each_what_they_would_get_alone(shared_voice, reference):
    def speak(seed):
        options = SpeechOptions(seed=seed, max_tokens=5 + seed % 4, pause_s=0)
        return shared_voice.synthesize(PHONES, reference, options=options).samples.tobytes()

    seeds = [seed % 8 for seed in range(48)]
    alone = {seed: speak(seed) for seed in set(seeds)}
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(speak, seeds)) == [alone[seed] for seed in seeds]


def test_streams_that_others_close_gave_the_beginning_of_the_whole(shared_voice, reference):
    def stream(seed):
        options = SpeechOptions(seed=seed, max_tokens=20, pause_s=0)
        return shared_voice.stream([PHONES], reference, chunks=CHUNKS, options=options)

    whole = {seed: np.concatenate([c.samples for c in stream(seed)]) for seed in range(3)}

    def cut_off(number):
        chunks = stream(number % 3)
        closer = threading.Timer(0.002 * (number % 9), chunks.close)
        closer.start()
        heard = [chunk.samples for chunk in chunks]
        closer.join(60)
        assert not closer.is_alive()
        return number % 3, np.concatenate([np.zeros(0, np.float32), *heard])

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(cut_off, range(40)))
    for seed, heard in parts:
        np.testing.assert_array_equal(heard, whole[seed][: len(heard)])
    assert min(len(heard) for _, heard in parts) < len(whole[0])
