import weakref

import numpy as np
import pytest

from sovits_runtime import Synthesizer
from sovits_runtime.backends.native import library
from sovits_runtime.bundle.session import CPU_CACHE_QUANTUM
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.host_loop import SPARE
from sovits_runtime.t2s.sampling import MIN_TEMPERATURE, SamplingOptions

needs_native = pytest.mark.skipif(library() is None, reason="sovits-export-native is not installed")
GREEDY = SamplingOptions(top_k=1)


def probabilities(logits, seen, options):
    """The official sampling rule in NumPy: the distribution float32 [V] that a token is sampled from."""
    x = logits.astype(np.float64)
    penalty = options.repetition_penalty
    x = np.where(seen, np.where(x < 0, x * penalty, x / penalty), x)
    if options.top_p < 1:
        order = np.argsort(-x, kind="stable")
        drop = np.cumsum(_softmax(x[order])) > options.top_p
        drop[0] = False
        x[order[drop]] = -np.inf
    x = x / max(options.temperature, MIN_TEMPERATURE)
    k = min(options.top_k or len(x), len(x))
    x[x < np.sort(x)[-k]] = -np.inf
    return _softmax(x).astype(np.float32)


def _softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


@pytest.fixture(params=[pytest.param("native", marks=needs_native), "onnxruntime"])
def voice(tiny_bundle, request):
    """With native kernels, and without."""
    with Synthesizer.load(tiny_bundle, threads=1, gpt_steps=request.param) as synthesizer:
        yield synthesizer


@pytest.fixture
def inputs(voice):
    rng = np.random.default_rng(3)
    t2s = voice.text_to_semantic
    phones = rng.integers(0, 300, 20)
    return phones, rng.standard_normal((20, t2s.bert_width)).astype(np.float32), rng.integers(0, 1024, 30)


def noise_of_one(vocab):
    return lambda _: np.ones((1, vocab), np.float32)


def test_caches_of_many_requests_are_not_kept(voice, inputs):
    """After a rush a server has the memory that it had before; what is left serves the next few."""
    t2s = voice.text_to_semantic
    noise = noise_of_one(t2s.vocab)
    rows = [t2s.open_row(*inputs, options=GREEDY, noise=noise) for _ in range(SPARE + 4)]
    caches = [weakref.ref(row.state) for row in rows]
    for row in rows:
        row.first()
        row.close()
    del row
    rows.clear()
    assert sum(cache() is not None for cache in caches) == SPARE


def test_cache_growth_changes_nothing(voice, inputs, monkeypatch):
    """A run that crosses several cache sizes equals one whose cache is large from the start."""
    t2s = voice.text_to_semantic
    count = 3 * CPU_CACHE_QUANTUM
    args = {"options": GREEDY, "noise": noise_of_one(t2s.vocab), "max_tokens": count}
    grown = t2s.generate(*inputs, **args).tokens
    monkeypatch.setattr(t2s.step, "cache_quantum", 2048)
    monkeypatch.setattr(t2s, "_pool", [])
    large = t2s.generate(*inputs, **args).tokens
    assert len(grown) == count
    assert grown.tolist() == large.tolist()


def test_a_used_cache_leaves_no_trace(voice, inputs):
    t2s = voice.text_to_semantic
    args = {"options": GREEDY, "noise": noise_of_one(t2s.vocab), "max_tokens": 40}
    before = t2s.generate(*inputs, **args).tokens
    other = tuple(np.flip(x, 0).copy() for x in inputs)
    t2s.generate(*other, **{**args, "max_tokens": 200})
    assert t2s.generate(*inputs, **args).tokens.tolist() == before.tolist()


def test_empty_prompt_and_single_phone(voice):
    t2s = voice.text_to_semantic
    bert = np.zeros((1, t2s.bert_width), np.float32)
    tokens = t2s.generate(
        np.array([5]),
        bert,
        np.zeros(0, np.int64),
        options=GREEDY,
        noise=noise_of_one(t2s.vocab),
        max_tokens=12,
    ).tokens
    assert len(tokens) >= 11


def test_forced_steps_end_after_one_more(voice, inputs):
    t2s = voice.text_to_semantic
    noise = noise_of_one(t2s.vocab)
    free = t2s.generate(*inputs, options=GREEDY, noise=noise, max_tokens=15).tokens
    steps = list(t2s.steps(*inputs, options=GREEDY, noise=noise, forced=free[:10]))
    assert [s.token for s in steps] == free[:11].tolist()


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(),
        SamplingOptions(0, 0.7, 0.8, 1.0),
        SamplingOptions(5, 0.9, 1.5, 1.2),
        SamplingOptions(1, 1.0, 0.0, 2.0),
        SamplingOptions(2000, 0.05, 1.0, 1.35),
    ],
)
def test_draws_in_the_graph_follow_the_rule_in_numpy(voice, inputs, options):
    """Teacher-forced: each draw must be the argmax of p / noise by the independent NumPy rule."""
    t2s = voice.text_to_semantic
    rng = np.random.default_rng(0)
    noise = seeded_noise(rng, t2s.vocab)
    noises = [noise(i) for i in range(31)]
    forced = rng.integers(0, 1024, 30)
    seen = np.zeros(t2s.vocab, np.bool_)
    seen[inputs[2]] = True
    for i, step in enumerate(t2s.steps(*inputs, options=options, noise=lambda i: noises[i], forced=forced)):
        columns = t2s.vocab - 1 if i < options.min_tokens else t2s.vocab
        p = probabilities(step.logits[:columns], seen[:columns], options)
        score = np.log(np.maximum(p, 1e-38)) - np.log(noises[i][0, :columns])
        best = np.sort(score)[-2:]
        if best[1] - best[0] > 1e-3:
            assert step.token == int(score.argmax())
        if i < 30:
            seen[forced[i]] = True


def test_end_of_speech_rules(voice, inputs):
    """No end before min_tokens; afterwards the end comes by draw or by leading the penalised logits."""
    t2s = voice.text_to_semantic
    eos = t2s.vocab - 1
    biased = np.ones((1, t2s.vocab), np.float32)
    biased[0, eos] = 1e-20  # p / noise explodes for the end, so it is drawn as soon as it may come
    options = SamplingOptions(top_k=0, min_tokens=7)
    result = t2s.generate(*inputs, options=options, noise=lambda _: biased, max_tokens=50)
    assert result.stop_reason == "eos"
    assert len(result.tokens) == 7
    assert eos not in result.tokens
