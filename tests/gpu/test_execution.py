"""Graphs in execution slots on the fake device, and sound made while tokens decode."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from fake_device import FakeDevice
from fake_engine import OrtEngine

from sovits_runtime.bundle.graph_spec import DimRange
from sovits_runtime.errors import ShapeError
from sovits_runtime.gpu.execution import DeviceGraph, ExecutionSlot
from sovits_runtime.gpu.pool import SlotPool
from sovits_runtime.speech.hifigan_decoder import HifiganDecoder
from sovits_runtime.t2s.device_loop import DeviceTextToSemantic
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.sampling import SamplingOptions

LARGEST = {"tokens": 80, "phones": 40, "state_frames": 160, "frames": 160}
NAMES = ("sovits_encoder", "sovits_flow", "sovits_vocoder")


@pytest.fixture(scope="module")
def sound_engines(tiny):
    def engine(name):
        spec = tiny.graph_spec(name)
        dims = tuple(DimRange(d.name, d.min, d.min, LARGEST[d.name]) for d in spec.dims)
        return OrtEngine(tiny.graph_path(name), dataclasses.replace(spec, dims=dims))

    return {name: engine(name) for name in NAMES}


def decoder(device, engines, slots=1) -> HifiganDecoder:
    pool = SlotPool(lambda: ExecutionSlot(device, engines), slots)
    return HifiganDecoder(*(DeviceGraph(engines[name], pool, name) for name in NAMES))


def request_of(voice, seed: int, tokens: int = 30):
    rng = np.random.default_rng(seed)
    style = rng.standard_normal((1, voice.decoder.vocoder.spec.tensor("style").shape[1], 1)).astype(
        np.float32
    )
    noise = rng.standard_normal((1, voice.decoder.latent_channels, 2 * tokens)).astype(np.float32)
    phones = rng.integers(0, 300, 12)
    return (rng.integers(0, 1024, tokens), phones), {"style": style, "noise": noise}


@pytest.mark.parametrize("policy", ["first", "last", 1])
def test_sound_equals_that_of_the_cpu(voice, sound_engines, policy):
    """A shorter request after a longer one: nothing of the longer one may be left."""
    ours = decoder(FakeDevice(policy), sound_engines)
    for seed, tokens in ((0, 80), (1, 1), (2, 30)):
        arguments, options = request_of(voice, seed, tokens)
        expected = voice.decoder.decode(*arguments, **options)
        assert np.array_equal(ours.decode(*arguments, **options), expected)


def test_requests_longer_than_the_engines_are_refused(voice, sound_engines):
    arguments, options = request_of(voice, 0, 81)
    with pytest.raises(ShapeError, match="tokens is 81, the engine takes at most 80"):
        decoder(FakeDevice(), sound_engines).decode(*arguments, **options)


@pytest.mark.parametrize("policy", ["first", "last", "early", 5])
def test_sound_is_made_while_the_next_tokens_decode(voice, gpt_engines, sound_engines, policy):
    """Two threads on one device: each has its own stream and buffers."""
    device = FakeDevice(policy)
    t2s, ours = DeviceTextToSemantic(device, gpt_engines), decoder(device, sound_engines)
    rng = np.random.default_rng(3)
    inputs = (rng.integers(0, 300, 9), np.zeros((9, t2s.bert_width), np.float32), rng.integers(0, 1024, 9))

    def sampling():
        return {
            "options": SamplingOptions(min_tokens=10_000),
            "noise": seeded_noise(np.random.default_rng(1), t2s.vocab),
            "max_tokens": 60,
        }

    sounds: list[np.ndarray] = []
    requests = [request_of(voice, seed) for seed in range(3)]
    thread = threading.Thread(target=lambda: sounds.extend(ours.decode(*a, **o) for a, o in requests))
    thread.start()
    tokens = t2s.generate(*inputs, **sampling()).tokens
    thread.join()
    assert tokens.tolist() == voice.text_to_semantic.generate(*inputs, **sampling()).tokens.tolist()
    for (arguments, options), sound in zip(requests, sounds, strict=True):
        assert np.array_equal(sound, voice.decoder.decode(*arguments, **options))
    assert device.used > 0
    t2s.close()
    ours.encoder._slots.close()  # the one pool of all three graphs
    assert device.used == 0
