from functools import partial

import numpy as np
import pytest

from sovits_runtime import Phrase, SamplingOptions, SpeechOptions, TokenSequence
from sovits_runtime.bundle.model_spec import MODEL_SPECS
from sovits_runtime.errors import ShapeError
from sovits_runtime.speech.noise import seeded_normal

PHONES = (["HH", "AH0", "L", "OW1", "."], ["B", "AY1", "."], ["HH", "AY1"])
GREEDY = SpeechOptions(SamplingOptions(top_k=1), max_tokens=12, pause_s=0.05)


def recorded(shapes):
    """Noise that depends on nothing but the number of the call, and keeps the shapes asked for."""

    def draw(shape):
        shapes.append(shape)
        return np.random.default_rng(len(shapes)).standard_normal(shape).astype(np.float32)

    return draw


def test_a_batch_is_decoded_in_one_go_and_cut_by_tokens(voice, reference):
    shapes = []
    spoken = list(voice.synthesize_many(PHONES, reference, options=GREEDY, noise=recorded(shapes)))
    tokens = np.concatenate([s.tokens for s in spoken])
    assert shapes == [(1, voice.decoder.latent_channels, 2 * len(tokens))]
    phones = np.concatenate([voice.phone_ids(p) for p in PHONES])
    noise = recorded([])(shapes[0])
    whole = voice.decoder.decode(tokens, phones, style=reference.style, noise=noise)
    pause = round(32000 * GREEDY.pause_s)
    heard = np.concatenate([s.samples[: len(s.samples) - pause] for s in spoken])
    np.testing.assert_array_equal(heard, whole)
    assert all((s.samples[-pause:] == 0).all() for s in spoken)


def test_batches_follow_each_other_in_order(voice, reference):
    shapes = []
    spoken = list(
        voice.synthesize_many(PHONES, reference, batch_size=2, options=GREEDY, noise=recorded(shapes))
    )
    assert len(shapes) == 2
    for sentence, phones in zip(spoken, PHONES, strict=True):
        np.testing.assert_array_equal(
            sentence.tokens, voice.generate(phones, reference, options=GREEDY).tokens
        )


def test_at_another_speed_a_batch_is_decoded_one_by_one(voice, reference):
    options = SpeechOptions(SamplingOptions(top_k=1), max_tokens=12, speed=1.2)
    joined = list(voice.synthesize_many(PHONES, reference, options=options, noise=recorded([])))
    alone = list(voice.synthesize_each(PHONES, reference, options=options, noise=recorded([])))
    for a, b in zip(joined, alone, strict=True):
        np.testing.assert_array_equal(a.samples, b.samples)


def test_given_noise_replaces_the_seed(voice, reference):
    def silent(shape):
        return np.zeros(shape, np.float32)

    first, second = (
        voice.synthesize(
            PHONES[0],
            reference,
            options=SpeechOptions(GREEDY.sampling, seed=s, max_tokens=12),
            noise=silent,
        )
        for s in (1, 2)
    )
    np.testing.assert_array_equal(first.samples, second.samples)


def test_a_phrase_carries_its_bert_features(voice, reference):
    bert = (30 * np.random.default_rng(0).standard_normal((5, 1024))).astype(np.float32)
    (with_bert,) = voice.synthesize_each([Phrase(PHONES[0], bert)], reference, options=GREEDY)
    expected = voice.synthesize(PHONES[0], reference, bert=bert, options=GREEDY)
    np.testing.assert_array_equal(with_bert.tokens, expected.tokens)
    assert with_bert.tokens.tolist() != voice.synthesize(PHONES[0], reference, options=GREEDY).tokens.tolist()


def test_tokens_of_any_origin_can_be_spoken(voice, reference):
    utterance = TokenSequence(np.arange(9), voice.phone_ids(PHONES[1]))
    spoken = voice.decode(utterance, reference, options=SpeechOptions(pause_s=0))
    assert len(spoken.samples) == 9 * 1280
    assert spoken.tokens.tolist() == list(range(9))


def test_a_longer_draw_begins_with_a_shorter_one():
    short, long = (seeded_normal(np.random.default_rng(3))((1, 4, n)) for n in (5, 9))
    np.testing.assert_array_equal(long[:, :, :5], short)


@pytest.mark.parametrize("steps", [0, 1001])
def test_flow_steps_out_of_range_are_refused(steps):
    with pytest.raises(ShapeError, match="flow_steps"):
        SpeechOptions(flow_steps=steps)


@pytest.mark.parametrize("asked", [{"flow_steps": 4}, {"guidance": 1.3}])
def test_options_of_flow_matching_are_refused_by_a_voice_without_it(voice, reference, asked):
    options = SpeechOptions(max_tokens=12, **asked)
    with pytest.raises(ShapeError, match="v5dev and v5turbo take it and this voice is v2; leave it out"):
        voice.synthesize(PHONES[0], reference, options=options)


@pytest.mark.parametrize("call", ["generate", "tokens", "open_row", "stream"])
def test_they_are_refused_before_a_token_is_made(voice, reference, monkeypatch, call):
    def made(*args, **named):
        pytest.fail("tokens were asked of the GPT")

    for name in ("tokens", "open_row"):
        monkeypatch.setattr(voice.text_to_semantic, name, made)
    ids, options = voice.phone_ids(PHONES[0]), SpeechOptions(guidance=1.3)
    calls = {
        "stream": lambda: list(voice.stream([ids], reference, options=options)),
        **{
            name: partial(getattr(voice, name), ids, reference, bert=None, options=options)
            for name in ("generate", "tokens", "open_row")
        },
    }
    with pytest.raises(ShapeError, match=r"guidance: got 1\.3"):
        calls[call]()


@pytest.mark.parametrize("version", MODEL_SPECS)
def test_which_version_takes_which(version):
    taken = []
    for name, asked in (("flow_steps", 4), ("guidance", 1.3)):
        try:
            SpeechOptions(**{name: asked}).check_version(MODEL_SPECS[version])
            taken.append(name)
        except ShapeError as error:
            assert f"this voice is {version}" in str(error)  # noqa: PT017
    expected = {"v3": ["flow_steps"], "v4": ["flow_steps"]}
    both = ["flow_steps", "guidance"] if version in ("v5dev", "v5turbo") else []
    assert taken == expected.get(version, both)


def test_nothing_to_decode_is_refused(voice, reference):
    with pytest.raises(ShapeError, match="at least one"):
        voice.decode_joined([], reference)
