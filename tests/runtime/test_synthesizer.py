import json
import threading

import numpy as np
import pytest

from sovits_runtime import Reference, SamplingOptions, SpeechOptions, Synthesizer
from sovits_runtime.audio.files import read_audio
from sovits_runtime.errors import (
    AudioError,
    BackendError,
    BundleError,
    GenerationError,
    ShapeError,
    TextError,
)
from sovits_runtime.t2s.generator import TokenStream, seeded_noise

PHONES = ["HH", "AH0", "L", "OW1", "."]
SHORT = SpeechOptions(max_tokens=20)


def tokens_of(tokens, stop_reason) -> TokenStream:
    def made():
        yield from tokens
        return stop_reason

    return TokenStream(made())


def test_speaks_the_given_number_of_tokens(voice, reference):
    spoken = voice.synthesize(PHONES, reference, options=SHORT)
    assert len(spoken.tokens) == 20
    assert spoken.stop_reason == "max_tokens"
    assert len(spoken.samples) == 20 * 1280 + int(32000 * 0.3)
    assert np.abs(spoken.samples).max() > 0


def test_same_seed_same_speech_bit_for_bit(voice, reference):
    first, second = (voice.synthesize(PHONES, reference, options=SHORT) for _ in range(2))
    assert first.samples.tobytes() == second.samples.tobytes()
    other = voice.synthesize(PHONES, reference, options=SpeechOptions(max_tokens=20, seed=1))
    assert other.tokens.tolist() != first.tokens.tolist()


def test_threads_do_not_disturb_each_other(voice, reference):
    alone = {
        seed: voice.synthesize(PHONES, reference, options=SpeechOptions(max_tokens=15, seed=seed))
        for seed in range(4)
    }
    together = {}

    def speak(seed):
        together[seed] = voice.synthesize(PHONES, reference, options=SpeechOptions(max_tokens=15, seed=seed))

    threads = [threading.Thread(target=speak, args=(seed,)) for seed in alone]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for seed, spoken in alone.items():
        assert together[seed].samples.tobytes() == spoken.samples.tobytes()


@pytest.mark.parametrize(("speed", "frames"), [(1.0, 40), (2.0, 21), (0.5, 81)])
def test_speed_sets_the_length(voice, reference, speed, frames):
    options = SpeechOptions(max_tokens=20, speed=speed, pause_s=0)
    assert len(voice.synthesize(PHONES, reference, options=options).samples) == frames * 640


def test_each_sentence_comes_as_soon_as_it_is_ready(voice, reference):
    stream = voice.synthesize_each([PHONES, PHONES[:2]], reference, options=SHORT)
    first = next(stream)
    assert first.samples.tobytes() == voice.synthesize(PHONES, reference, options=SHORT).samples.tobytes()
    assert len(list(stream)) == 1


def test_reference_is_cached_on_disk_by_content(voice, reference, demo_files, tiny_bundle):
    path = tiny_bundle / "references" / f"{reference.key}.npz"
    saved = Reference.load(path)
    assert saved.prompt.tolist() == reference.prompt.tolist()
    with Synthesizer.load(tiny_bundle, threads=1) as fresh:
        phones = json.loads(demo_files.reference.read_text(encoding="utf-8"))["phones"]
        again = fresh.reference(demo_files.reference_wav.read_bytes(), phones)
        assert again.style.tobytes() == reference.style.tobytes()
        assert fresh._reference_encoder is None, "the cached reference was not used"


def test_only_the_latest_references_stay_in_memory(tiny_bundle, demo_files, monkeypatch):
    monkeypatch.setattr("sovits_runtime.speech.reference.REMEMBERED", 2)
    with Synthesizer.load(tiny_bundle, threads=1) as fresh:
        made = [fresh.reference(demo_files.reference_wav, PHONES[: n + 1]) for n in range(3)]
        again = fresh.reference(demo_files.reference_wav, PHONES[:2])
        assert list(fresh._references._remembered) == [made[2].key, again.key]
        assert again is made[1]


def test_a_reference_as_the_original_makes_it_is_another_one(tiny_bundle, demo_files):
    """Its recording comes to HuBERT by another resampler; it has a key of its own, and nothing else differs."""
    with Synthesizer.load(tiny_bundle, threads=1) as fresh:
        usual = fresh.reference(demo_files.reference_wav, PHONES)
        official = fresh.reference(demo_files.reference_wav, PHONES, official=True)
        assert fresh.reference(demo_files.reference_wav, PHONES, official=True) is official
        samples, rate = read_audio(demo_files.reference_wav.read_bytes(), "reference")
        encoder = fresh.reference_encoder
        assert official.prompt.tolist() == encoder.tokens(encoder.ssl(samples, rate, official=True)).tolist()
        heard = [encoder.ssl(samples, rate, official=told) for told in (False, True)]
    assert rate != 16000
    assert not np.array_equal(heard[0], heard[1][:, : heard[0].shape[1]])
    assert official.key != usual.key
    np.testing.assert_array_equal(official.style, usual.style)


def test_several_recordings_average_their_styles(voice, reference, demo_files):
    wav = demo_files.reference_wav
    same = voice.reference(wav, more_recordings=[wav])
    np.testing.assert_allclose(same.style, reference.style, atol=1e-6)
    assert len(same.prompt) == 0, "no transcript, no prompt"


def test_a_voice_that_ends_at_once_is_retried_and_reported(voice, reference, monkeypatch, caplog):
    calls = []

    def ended(*args, **kwargs):
        calls.append(1)
        return tokens_of([], "eos")

    monkeypatch.setattr(Synthesizer, "tokens", ended)
    with pytest.raises(GenerationError, match="ended before the first token; try another seed or reference"):
        voice.synthesize(PHONES, reference)
    assert len(calls) == 3
    assert "attempt 2" in caplog.text


def test_a_runaway_is_retried_and_reported(voice, reference, monkeypatch):
    results = iter([tokens_of([0] * 1500, "max_tokens"), tokens_of(range(12), "eos")])
    monkeypatch.setattr(Synthesizer, "tokens", lambda *a, **k: next(results))
    spoken = voice.synthesize(PHONES, reference)
    assert spoken.attempts == 2
    assert spoken.stop_reason == "eos"


def test_a_stream_does_not_repeat_a_runaway(voice, reference, monkeypatch, caplog):
    """What was given out cannot be taken back."""
    monkeypatch.setattr(Synthesizer, "tokens", lambda *a, **k: tokens_of([0] * 60, "max_tokens"))
    *_, last = voice.stream([PHONES], reference)
    assert last.stop_reason == "max_tokens"
    assert "did not end within" in caplog.text


@pytest.mark.parametrize(
    ("phones", "message"),
    [
        ([], "no phones"),
        (np.array([0, 732]), "0 to 731"),
        (np.array([-1]), "0 to 731"),
        ([1, 2], "expected symbols"),
    ],
)
def test_bad_phones_are_refused(voice, reference, phones, message):
    with pytest.raises(TextError, match=message):
        voice.synthesize(phones, reference)


def test_wrong_bert_features_are_refused(voice, reference):
    with pytest.raises(TextError, match=r"\[5, 1024\]"):
        voice.synthesize(PHONES, reference, bert=np.zeros((4, 1024), np.float32))


def test_recording_of_wrong_length_is_refused(voice):
    from sovits_runtime import Audio

    short = Audio(np.full(32000, 0.1, np.float32), 32000).encode()
    with pytest.raises(AudioError, match=r"1.00 s"):
        voice.reference(short, PHONES)


def test_damaged_saved_reference_is_refused(tmp_path, reference):
    path = tmp_path / "r.npz"
    reference.save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BundleError, match="not a saved reference"):
        Reference.load(path)


@pytest.mark.parametrize(
    "option", [{"top_k": -1}, {"top_p": 0.0}, {"temperature": float("nan")}, {"repetition_penalty": 0}]
)
def test_bad_sampling_options_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        SamplingOptions(**option)


def test_a_closed_voice_says_so(tiny_bundle, reference):
    voice = Synthesizer.load(tiny_bundle, threads=1)
    stream = voice.stream([["HH", "AY1"]], reference)
    voice.close()
    voice.close()
    calls = (
        lambda: voice.synthesize(["HH", "AY1"], reference),
        lambda: list(voice.synthesize_each([["HH", "AY1"]], reference)),
        lambda: next(stream),
        lambda: voice.reference_encoder,
        lambda: voice.decoder,
        lambda: voice.open_graph("bert"),
    )
    for call in calls:
        with pytest.raises(BackendError, match="this voice is closed; load it again"):
            call()
    assert voice.describe()["device"] == "cpu"


def test_noise_of_a_step_is_that_of_the_step():
    noise = seeded_noise(np.random.default_rng(0), 4)
    noise(0)
    with pytest.raises(ShapeError, match="got step 2, expected 1"):
        noise(2)
