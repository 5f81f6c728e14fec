"""The scripts that train and judge the demo voice: what can go wrong in them without being heard."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "tools" / "demo_voice"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(SCRIPTS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_no_sentence_of_the_test_is_trained_on():
    from corpus import with_pieces
    from sentences import sentences, vocabulary, words

    train, test = with_pieces(sentences(3000, test=False)), sentences(100, test=True)
    assert not {" ".join(words(t)) for t in train} & {" ".join(words(t)) for t in test}
    assert len(test) == len(set(test)) == 100
    known = set(vocabulary())
    assert {word for text in train + test for word in words(text)} <= known
    assert 300 <= len(known) <= 600
    assert sentences(20, test=True) == test[:20]


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("the red light", "the red light", 0),
        ("the red light", "the bread light", 1),
        ("the red light", "red light", 1),
        ("the red light", "the red red light on", 2),
        ("the red light", "", 3),
        ("a b c d", "b c d a", 2),
    ],
)
def test_wrong_words_are_counted_as_edits(said, heard, errors):
    from recogniser import edits

    assert edits(said.split(), heard.split()) == errors


def test_the_recognisers_grammar_gives_what_follows_a_word_nine_tenths():
    from recogniser import LEFT_OVER, word_pairs

    text = word_pairs(["Open the door.", "Open the window.", "Close the door."])
    pairs = [line.split() for line in text.split("\\2-grams:")[1].splitlines() if len(line.split()) == 3]
    shares: dict[str, float] = {}
    for log_share, first, _ in pairs:
        shares[first] = shares.get(first, 0) + 10 ** float(log_share)
    assert shares["the"] == pytest.approx(1 - LEFT_OVER, abs=1e-3)
    assert {(a, b): float(s) for s, a, b in pairs}["the", "door"] == pytest.approx(np.log10(0.6), abs=1e-3)


def test_phones_are_aligned_with_the_synthesizers_own():
    from corpus import _phone_ends

    sounds = ["pau", "hh", "ax", "l", "ow", "pau", "dh", "eh", "r", "pau"]
    ends = np.arange(1, 11, dtype=np.float32) / 10
    found = _phone_ends(["HH", "AH0", "L", "OW1", ",", "DH", "EH1", "R", "."], sounds, ends)
    assert found == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    lacking = _phone_ends(["HH", "AH0", "L", "OW1", "DH", "AE1", "R", "."], sounds, ends)  # no comma
    assert lacking[4:] == pytest.approx([0.7, 0.8, 0.9, 1.0])


@pytest.mark.parametrize("hz", [120.0, 180.0, 260.0])
def test_pitch_is_measured(hz):
    from features import FRAME, n_frames, pitch

    t = np.arange(16000) / 16000
    wave = sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 12)).astype(np.float32) * 0.1
    wave[:4000] = 0
    log_hz, voiced = pitch(wave, n_frames(len(wave)))
    spoken = slice(4000 // FRAME + 3, -3)
    assert voiced[spoken].all()
    assert not voiced[: 4000 // FRAME - 3].any()
    assert np.exp(log_hz[spoken]) == pytest.approx(hz, rel=0.02)


def test_a_narrow_flow_in_official_size_is_the_same_flow():
    from layout import FLOW_HIDDEN, sovits_config
    from pack import _widened, finished
    from prior import Prior

    from sovits_exporter.checkpoint.layout import sovits_layout
    from sovits_exporter.checkpoint.tensors import fold_weight_norm
    from sovits_exporter.modeling.flow import Flow

    torch.manual_seed(0)
    prior = Prior(torch.randn(1024, 48)).eval()
    style = torch.randn(1, 512, 1)
    for layer in prior.couplings():
        torch.nn.init.normal_(layer.post.weight, 0, 0.1)
    state = {}
    for i in range(0, 8, 2):
        name = f"flow.flows.{i}"
        part = {n: t for n, t in prior.state_dict().items() if n.startswith(f"{name}.")}
        state |= _widened(part, name, style)
    layout = {n: s for n, s in sovits_layout(sovits_config(), "v2").items() if n.startswith("flow.")}
    files = finished(state, layout)
    assert all(torch.isfinite(t).all() for t in files.values())
    folded = fold_weight_norm({n: t.float() for n, t in files.items()})
    wide = Flow(prior.flow.flows[0].post.out_channels * 2, 192, 512)
    wide.load_state_dict({n.removeprefix("flow."): t for n, t in folded.items()})
    x = torch.randn(1, 64, 40)
    with torch.inference_mode():
        narrow, official = prior.flow.reverse(x, style), wide.reverse(x, style)
    moved = (narrow - x).abs().mean()
    assert (official - narrow).abs().mean() < 0.06 * moved  # the grid's rounding, and nothing else
    silent = folded["flow.flows.0.enc.in_layers.0.weight"][FLOW_HIDDEN:192]
    assert not silent.any()


def test_a_packed_voice_can_be_taken_apart_and_packed_again(tmp_path):
    from pack import sovits_state
    from unpack import prior_state, tokens_model

    from sovits_exporter.checkpoint.official import load_sovits
    from sovits_exporter.checkpoint.pretrained import load_hubert
    from sovits_exporter.demo.demo import write_demo_voice

    files = write_demo_voice(tmp_path)
    packed = load_sovits(files.sovits).tensors
    tokens = tokens_model(packed, load_hubert(files.hubert), 5)
    parts = {
        "prior": prior_state(packed),
        "encoder": tokens.state_dict(),
        "vocoder": {n.removeprefix("dec."): t for n, t in packed.items() if n.startswith("dec.")},
        "style": {n.removeprefix("ref_enc."): t for n, t in packed.items() if n.startswith("ref_enc.")},
    }
    state = sovits_state(parts, torch.zeros(1, 512, 1), set(range(732)))
    assert set(packed) <= set(state)
    for name, tensor in packed.items():
        assert torch.equal(state[name], tensor), name


def test_the_flow_runs_backwards():
    from prior import Prior

    torch.manual_seed(1)
    prior = Prior(torch.randn(1024, 48)).eval()
    for layer in prior.couplings():
        torch.nn.init.normal_(layer.post.weight, 0, 0.1)
    z, style = torch.randn(1, 64, 30), torch.randn(1, 512, 1)
    with torch.inference_mode():
        there = prior.to_prior(z, style)
        assert (there - z).abs().max() > 0.1
        assert torch.allclose(prior.flow.reverse(there, style), z, atol=1e-5)


def test_the_training_forward_is_the_runtimes():
    """Rows side by side, padded, give each row's logits as the exported prefill computes them."""
    from gpt import forward, penalised, start
    from layout import gpt_config

    from sovits_exporter.modeling.eager import EagerOptions, sampling_inputs, seen_tokens
    from sovits_exporter.modeling.sampling import penalise
    from sovits_exporter.modeling.t2s import T2SConfig, Text2Semantic

    torch.manual_seed(2)
    t2s = Text2Semantic(T2SConfig.from_checkpoint(gpt_config())).eval()
    start(t2s)
    lengths, texts = (9, 14), (5, 7)
    phones, given = torch.randint(0, 732, (2, 7)), torch.randint(0, 1024, (2, 14))
    batch = {
        "phones": phones,
        "given": given,
        "text_len": torch.tensor(texts),
        "place": torch.zeros(2, 14, dtype=torch.int64),
        "text_from": torch.tensor(0),
        "audio_from": torch.tensor(0),
    }
    with torch.inference_mode():
        logits, _ = forward(t2s, batch)
        treated = penalised(logits, given, 1.35)
        later, _ = forward(t2s, batch, start=6)
        assert torch.equal(later, logits[:, 6:])
        assert torch.equal(penalised(later, given, 1.35, start=6), treated[:, 6:])
        for row, (n, t) in enumerate(zip(lengths, texts, strict=True)):
            bert = torch.zeros(1, t, 1024)
            hidden, _ = t2s.prefill_hidden(phones[row : row + 1, :t], bert, given[row : row + 1, :n])
            alone = t2s.ar_predict_layer(hidden)
            assert torch.allclose(logits[row, n - 1], alone[0], atol=2e-5)
            inputs = sampling_inputs(
                EagerOptions(min_tokens=0),
                n,
                seen_tokens(given[row : row + 1, :n], 1025),
                torch.ones(1, 1025),
            )
            assert torch.allclose(treated[row, n - 1], penalise(alone, inputs, 1024)[0], atol=2e-5)


def line(phones, places, first_token, prompt=()):
    """An utterance with running tokens, each at the given place among the phones."""
    from gpt import Line

    tokens = first_token + np.arange(len(places))
    return Line(np.array(phones), tokens, np.array(prompt, np.int64), np.array(places))


def test_two_utterances_are_joined_behind_a_phone_that_both_have():
    from gpt import Batches

    head = line([1, 2, 3, 9], [0, 0, 1, 2, 3], 100)
    tail = line([7, 2, 8, 4, 9], [0, 1, 1, 3, 4], 200)  # phone 8 is too short to have a token of its own
    batches = Batches([head, tail], head, np.zeros((1025, 1), np.int64), 0)
    drawn = [batches._spliced(head, tail) for _ in range(40)]
    for joined in (one for one in drawn if one is not head):
        assert joined.phones.tolist() == [1, 2, 8, 4, 9]
        assert joined.tokens.tolist() == [100, 101, 102, 203, 204]
        assert joined.place.tolist() == [0, 0, 1, 3, 4]
    assert 0 < sum(one is head for one in drawn) < 40  # not every phone of one is in the other
    assert batches._spliced(head, line([5, 6], [0, 1], 300)) is head


def test_rows_without_a_prompt_lie_where_they_would_behind_the_reference():
    from gpt import Batches

    own = line([1, 2, 3], [0, 1, 2, 2], 100)
    reference = line([4, 5], [0, 1], 300, prompt=[300, 301, 302])
    batches = Batches([own], reference, np.zeros((1025, 1), np.int64), 0, spliced=0.0)
    found = {
        (int(rows["text_from"]), int(rows["audio_from"]))
        for rows in (batches.draw(1, False) for _ in range(50))
    }
    assert found == {(0, 0), (2, 3)}
    prompted = batches.draw(1, prompted=True)  # no other recording can be one
    assert prompted["given"].tolist() == [[300, 301, 302, 100, 101, 102, 103]]
    assert prompted["wanted"].tolist() == [[301, 302, 100, 101, 102, 103, 1024]]
    assert int(prompted["start"]) == 2
    assert int(prompted["text_from"]) == int(prompted["audio_from"]) == 0
