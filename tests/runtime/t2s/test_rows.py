"""Rows of a batch: the tokens of each are those of its own stream, whatever steps them."""

import numpy as np
import pytest

from sovits_runtime import SamplingOptions
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.rows import StreamRows, row_maker

LENGTH = 12
ENDLESS = SamplingOptions(min_tokens=1000)


def arguments(voice, seed):
    rng = np.random.default_rng(seed)
    model = voice.text_to_semantic
    phones = rng.integers(0, voice.spec.n_symbols, 5 + seed)
    bert = np.zeros((len(phones), model.bert_width), np.float32)
    return (phones, bert, rng.integers(0, model.vocab - 1, 3 * seed)), {
        "options": ENDLESS,
        "noise": seeded_noise(np.random.default_rng(seed), model.vocab),
    }


def stream(voice, seed):
    inputs, named = arguments(voice, seed)
    return list(voice.text_to_semantic.tokens(*inputs, **named, max_tokens=LENGTH))


@pytest.mark.parametrize("maker", [row_maker, StreamRows])
@pytest.mark.parametrize("which", ["voice", "graph_voice"])
def test_rows_join_and_leave(request, which, maker):
    """Row n joins at step n; each leaves with its twelfth token."""
    voice = request.getfixturevalue(which)
    rows, made = maker(voice.text_to_semantic), {}
    opened = {}
    for step in range(LENGTH + 4):
        if step < 4:
            inputs, named = arguments(voice, step)
            opened[step] = rows.open_row(*inputs, **named)
            made[step] = [opened[step].first().token]
        seeds = [seed for seed in opened if len(made[seed]) < LENGTH]
        for seed, one in zip(seeds, rows.step_rows([opened[seed] for seed in seeds]), strict=True):
            made[seed].append(one.token)
    for seed, row in opened.items():
        row.close()
        row.close()
        assert made[seed] == stream(voice, seed)


def test_one_row_that_fails_fails_alone(voice):
    model = voice.text_to_semantic
    rows = row_maker(model)
    opened = []
    for seed in range(3):
        inputs, named = arguments(voice, seed)
        opened.append(rows.open_row(*inputs, **named))
        opened[-1].first()
    opened[1].state.arrays["next_token"][0] = 10**6  # what a damaged graph could give
    first, broken, last = rows.step_rows(opened)
    assert isinstance(broken, ShapeError | BackendError)
    assert [first.token, last.token] == [stream(voice, 0)[1], stream(voice, 2)[1]]
