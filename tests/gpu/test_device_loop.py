"""The token scheduler on a device that runs everything late and in a hostile order, against the host's own loop."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from fake_device import FakeDevice, view

from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.t2s.device_loop import DeviceTextToSemantic
from sovits_runtime.t2s.device_slot import TokenSlot
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.sampling import SamplingOptions

POLICIES = ("first", "last", "early", 0, 1)
LONG = SamplingOptions(min_tokens=10_000)


def make(engines, policy="first", **options) -> DeviceTextToSemantic:
    return DeviceTextToSemantic(FakeDevice(policy), engines, **options)


@pytest.fixture(scope="module")
def voice(graph_voice):
    return graph_voice


@pytest.fixture(scope="module")
def request_(voice):
    """Phones, BERT features and prompt: 20 + 30 rows of cache."""
    rng = np.random.default_rng(3)
    width = voice.text_to_semantic.bert_width
    return rng.integers(0, 300, 20), rng.standard_normal((20, width), np.float32), rng.integers(0, 1024, 30)


def noise(voice, seed=5):
    return seeded_noise(np.random.default_rng(seed), voice.text_to_semantic.vocab)


@pytest.fixture(scope="module")
def expected(voice, request_):
    """200 tokens of the host's loop on the CPU."""
    return voice.text_to_semantic.generate(*request_, options=LONG, noise=noise(voice), max_tokens=200).tokens


@pytest.mark.parametrize("policy", POLICIES)
def test_tokens_equal_those_of_the_host_loop(voice, gpt_engines, request_, expected, policy):
    """200 tokens cross both longer caches and three blocks of noise."""
    t2s = make(gpt_engines, policy)
    for count in (200, 1, 2, 64, 65):
        got = t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=count)
        assert got.stop_reason == "max_tokens"
        assert got.tokens.tolist() == expected[:count].tolist()


@pytest.mark.parametrize("poll", [1, 3, 63, 64, 500])
def test_any_interval_between_looks_gives_the_same(voice, gpt_engines, request_, expected, poll):
    got = make(gpt_engines, poll_steps=poll).generate(
        *request_, options=LONG, noise=noise(voice), max_tokens=150
    )
    assert got.tokens.tolist() == expected[:150].tolist()


@pytest.mark.parametrize("end", [0, 1, 7, 8, 9, 70])
def test_tokens_after_the_end_are_dropped_exactly(voice, gpt_engines, request_, end):
    """The end of speech is forced at one step; the CPU's loop decides what is right."""
    vocab = voice.text_to_semantic.vocab

    def biased(seed=4):
        source = seeded_noise(np.random.default_rng(seed), vocab)

        def draw(step):
            row = source(step)
            row[0, -1] = 1e-20 if step == end else 1e20
            return row

        return draw

    options = SamplingOptions(top_k=0, min_tokens=0)
    want = voice.text_to_semantic.generate(*request_, options=options, noise=biased(), max_tokens=120)
    assert (want.stop_reason, len(want.tokens)) == ("eos", end)
    t2s = make(gpt_engines, 2)
    for _ in range(2):
        got = t2s.generate(*request_, options=options, noise=biased(), max_tokens=120)
        assert (got.stop_reason, got.tokens.tolist()) == ("eos", want.tokens.tolist())


def test_steps_are_captured_once_a_length_and_replayed(voice, gpt_engines, request_):
    device = FakeDevice()
    t2s = DeviceTextToSemantic(device, gpt_engines)
    t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=200)
    # 199 steps; the first on each of the three caches is enqueued to warm the engine up
    assert (device.captures, device.launches) == (3, 196)
    t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=100)
    assert (device.captures, device.launches) == (3, 196 + 99)
    assert t2s.fallback == ""


def test_without_capture_steps_are_enqueued_and_it_is_said(voice, gpt_engines, request_, expected):
    problem = "cudaErrorStreamCaptureUnsupported (900): operation not permitted when stream is capturing"
    t2s = DeviceTextToSemantic(FakeDevice(capture_problem=problem), gpt_engines)
    got = t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=150)
    assert got.tokens.tolist() == expected[:150].tolist()
    assert t2s.fallback == problem
    strict = DeviceTextToSemantic(FakeDevice(capture_problem=problem), gpt_engines, strict=True)
    with pytest.raises(BackendError, match="cannot be captured as a CUDA graph: cudaErrorStream"):
        strict.generate(*request_, options=LONG, noise=noise(voice), max_tokens=9)


def test_a_capture_that_another_thread_spoilt_is_tried_again(voice, gpt_engines, request_, expected):
    device = FakeDevice()
    device.spoilt_captures = 1
    t2s = DeviceTextToSemantic(device, gpt_engines)
    got = t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=150)
    assert got.tokens.tolist() == expected[:150].tolist()
    assert (t2s.fallback, device.captures) == ("", 3)


def test_what_a_request_leaves_in_the_caches_harms_no_other(voice, gpt_engines, request_, expected):
    """Rows past the last one are masked, but zero times what is not a number is not a number."""
    device = FakeDevice()
    t2s = DeviceTextToSemantic(device, gpt_engines)
    broken = (request_[0], np.full_like(request_[1], np.nan), request_[2])
    t2s.generate(*broken, options=LONG, noise=noise(voice), max_tokens=150)
    got = t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=150)
    assert got.tokens.tolist() == expected[:150].tolist()


def test_requests_share_engines_and_no_buffers(voice, gpt_engines, request_):
    """Four requests at once on two slots, with different noise and lengths."""
    device = FakeDevice(7)
    t2s = DeviceTextToSemantic(device, gpt_engines, slots=2)
    results: dict[int, list[int]] = {}

    def run(seed):
        result = t2s.generate(*request_, options=LONG, noise=noise(voice, seed), max_tokens=40 + 20 * seed)
        results[seed] = result.tokens.tolist()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        want = voice.text_to_semantic.generate(
            *request_, options=LONG, noise=noise(voice, seed), max_tokens=40 + 20 * seed
        )
        assert results[seed] == want.tokens.tolist()
    assert device.peak <= t2s.memory_bytes == 2 * t2s.slot_bytes


def test_an_error_fails_its_request_and_no_other(voice, gpt_engines, request_, expected):
    device = FakeDevice()
    t2s = DeviceTextToSemantic(device, gpt_engines)
    device.fail_after = 90
    with pytest.raises(BackendError, match="cudaErrorIllegalAddress"):
        t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=150)
    got = t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=150)
    assert got.tokens.tolist() == expected[:150].tolist()


def test_too_little_memory_is_an_error_and_leaves_nothing(voice, gpt_engines, request_):
    device = FakeDevice(limit=1000)
    t2s = DeviceTextToSemantic(device, gpt_engines)
    for _ in range(2):
        with pytest.raises(BackendError, match="cudaErrorMemoryAllocation"):
            t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=5)
    device.limit = 1 << 40
    t2s.generate(*request_, options=LONG, noise=noise(voice), max_tokens=5)
    t2s.close()
    assert device.used == 0


def test_requests_beyond_the_engines_are_refused_before_anything_runs(voice, gpt_engines, request_):
    phones, bert, prompt = request_
    t2s = make(gpt_engines)
    draw = {"options": LONG, "noise": noise(voice)}
    with pytest.raises(ShapeError, match="256 cache rows; split the text"):
        t2s.generate(np.tile(phones, 12), np.tile(bert, (12, 1)), prompt, **draw)
    with pytest.raises(ShapeError, match="prompt: got 301, the engines take 0 to 300"):
        t2s.generate(phones, bert, np.zeros(301, np.int64), **draw)
    with pytest.raises(ShapeError, match="needs more than the 256 cache rows"):
        t2s.generate(*request_, **draw, max_tokens=250)
    draw["noise"] = noise(voice)
    short = t2s.generate(*request_, **draw, max_tokens=207)  # 50 rows, and one for each token but the last
    assert len(short.tokens) == 207


@pytest.mark.parametrize("policy", ["first", 3])
def test_single_steps_equal_those_of_the_host_loop(voice, gpt_engines, request_, policy):
    """Forced and free, as verification runs them; logits too."""
    forced = np.random.default_rng(0).integers(0, 1024, 70)
    t2s = make(gpt_engines, policy)
    for given in (forced, None):
        args = {"options": SamplingOptions(min_tokens=3), "forced": given}
        want = voice.text_to_semantic.steps(*request_, **args, noise=noise(voice))
        got = t2s.steps(*request_, **args, noise=noise(voice))
        for _ in range(71):
            a, b = next(want), next(got)
            assert (a.token, a.stop) == (b.token, b.stop)
            np.testing.assert_allclose(a.logits, b.logits, atol=1e-5)
        if given is not None:
            assert next(got, None) is None
        got.close()


def test_an_empty_prompt(voice, gpt_engines):
    t2s = voice.text_to_semantic
    phones, bert = np.array([5]), np.zeros((1, t2s.bert_width), np.float32)
    args = (phones, bert, np.zeros(0, np.int64))
    want = t2s.generate(*args, options=LONG, noise=noise(voice), max_tokens=30)
    got = make(gpt_engines).generate(*args, options=LONG, noise=noise(voice), max_tokens=30)
    assert got.tokens.tolist() == want.tokens.tolist()


def test_noise_is_not_overwritten_before_it_is_on_the_device(gpt_engines):
    device = FakeDevice()
    slot = TokenSlot(device, gpt_engines, capture=True, strict=False)
    slot.noise_staging(0)[...] = 1
    slot.send_noise(0)
    slot.noise_staging(2)[...] = 2  # the same pinned rows
    slot.stream.synchronize()
    assert (view(slot.arrays["noise_block"]) == 1).all()
