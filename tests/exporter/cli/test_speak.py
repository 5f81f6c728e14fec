"""`sovits-export speak`."""

import json
import threading
from importlib.util import find_spec

import numpy
import pytest
import soundfile

from sovits_exporter.cli.speak import DeliveryOptions
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.text.pipeline import TextFrontend

needs_english = pytest.mark.skipif(
    not all(map(find_spec, ("pronouncing", "g2p_en", "wordsegment"))), reason="the extra en is not installed"
)
SHORT = ("--max-seconds", "0.48", "--threads", "1")
TWO_PIECES = "The first line of this page is a little longer.\nAnother line of this page follows here.\n"


@pytest.fixture(scope="module")
def saved(run, tiny_bundle, demo_files, folder):
    path = folder / "me.npz"
    made = run(
        "reference", tiny_bundle, demo_files.reference_wav, "--phones", demo_files.reference, "-o", path
    )
    assert made.exit_code == 0, made.output
    return path


def test_the_wav_and_the_picture_are_written_that_it_names(run, tiny_bundle, demo_files, tmp_path):
    out = tmp_path / "speech.wav"
    result = run(
        "speak", tiny_bundle, "--ref", demo_files.reference_wav, "--ref-phones", demo_files.reference,
        "--phones", "HH AH0 L OW1 .", "--max-seconds", "0.8", "-o", out, "--picture", tmp_path / "speech.png", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    samples, rate = soundfile.read(out)
    assert rate == 32000
    assert len(samples) / rate == pytest.approx(answer["duration_s"])
    assert answer["sentences"][0]["tokens"] == 20
    assert (tmp_path / "speech.png").read_bytes().startswith(b"\x89PNG")


def test_all_phone_sentences_of_a_file_are_spoken(run, tiny_bundle, saved, two_sentences, tmp_path):
    out = tmp_path / "a.wav"
    result = run("speak", tiny_bundle, "--reference", saved, "--phones", two_sentences, *SHORT, "-o", out)
    assert result.exit_code == 0, result.output
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["sentence 1", "sentence 2"]


def test_a_transcript_of_several_phone_sentences_is_refused(
    run, tiny_bundle, demo_files, two_sentences, tmp_path
):
    recording = ("--ref", demo_files.reference_wav, "--ref-phones", two_sentences)
    result = run("speak", tiny_bundle, *recording, "--phones", "HH AY1 .", *SHORT, "-o", tmp_path / "a.wav")
    assert result.exit_code == 1
    assert "got 2 phone sentences, expected one for a transcript" in result.stderr


@needs_english
def test_the_transcript_is_read_once_and_its_notes_are_shown_once(
    run, tiny_bundle, demo_files, tmp_path, monkeypatch
):
    read = []
    original = TextFrontend.transcript

    def transcript(frontend, text, language):
        read.append(text)
        return original(frontend, text, language)

    monkeypatch.setattr(TextFrontend, "transcript", transcript)
    result = run(
        "speak", tiny_bundle, "--ref", demo_files.reference_wav, "--ref-text", "The river ☃ runs.", "--text", "Hello.",
        "--lang", "en", *SHORT, "-o", tmp_path / "a.wav",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert read == ["The river ☃ runs."]
    assert result.stderr.count("note: ") == 1
    assert "dropped ☃" in result.stderr


@needs_english
@pytest.mark.parametrize("said", [("--text", TWO_PIECES, "--lang", "en"), ("--phones", "two.json")])
def test_tokens_of_the_next_sentence_are_made_beside_this_ones_sound(
    run, tiny_bundle, saved, two_sentences, tmp_path, monkeypatch, said
):
    """Where the backend leaves the host free, as a GPU does."""
    second, generated = threading.Event(), []
    generate, decode = Synthesizer.generate, Synthesizer.decode

    def generating(voice, phones, *arguments, **options):
        generated.append(phones)
        if len(generated) == 2:
            second.set()
        return generate(voice, phones, *arguments, **options)

    def decoding(voice, *arguments, **options):
        assert second.wait(20), "the second sentence waits for the sound of the first"
        return decode(voice, *arguments, **options)

    monkeypatch.setattr(CpuVoice, "overlaps", True)
    monkeypatch.setattr(Synthesizer, "generate", generating)
    monkeypatch.setattr(Synthesizer, "decode", decoding)
    monkeypatch.chdir(two_sentences.parent)
    result = run("speak", tiny_bundle, "--reference", saved, *said, *SHORT, "-o", tmp_path / "a.wav")
    assert result.exit_code == 0, result.output
    assert len(generated) == 2


@needs_english
def test_text_comes_from_a_file(run, tiny_bundle, saved, tmp_path):
    out, page = tmp_path / "a.wav", tmp_path / "page.txt"
    page.write_text("One line.\nAnother line here.\n", encoding="utf-8")
    result = run(
        "speak", tiny_bundle, "--reference", saved, "--text-file", page, "--lang", "en", "--cut", "cut0", *SHORT,
        "-o", out, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["sentences"]) == 2
    page.write_bytes(b"\xff\xfe")
    broken = run("speak", tiny_bundle, "--reference", saved, "--text-file", page, "--lang", "en", "-o", out)
    assert broken.exit_code == 1
    assert "UTF-8" in broken.output


SPEAK = ("speak", "nowhere", "--reference", "x.npz", "-o", "a.wav")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "exactly one of --text, --text-file and --phones"),
        (("--text", "a", "--phones", "AA1"), "exactly one of"),
        (("--text", "a"), "give --lang"),
        (("--text", "a", "--lang", "fr"), "--lang"),
        (("--phones", "AA1", "--ref-text", "a"), "needs its language"),
        (("--phones", "AA1", "--ref-text", "a", "--ref-phones", "AA1"), "not both"),
        (("--phones", "AA1", "--ref", "b.wav"), "either --ref"),
        (("--phones", "AA1", "--gpt-steps", "cuda"), "--gpt-steps"),
    ],
)
def test_wrong_use_is_named_with_exit_code_2(run, args, message):
    result = run(*SPEAK, *args)
    assert result.exit_code == 2, result.output
    assert message in result.output


@pytest.mark.parametrize(("seconds", "tokens"), [(None, None), (0.8, 20), (0.001, 1)])
def test_a_length_in_seconds_is_one_in_tokens(seconds, tokens):
    delivery = DeliveryOptions(
        seed=3,
        speed=1.5,
        top_k=1,
        top_p=0.5,
        temperature=0.7,
        repetition_penalty=1.1,
        flow_steps=8,
        guidance=1.5,
        max_seconds=seconds,
    )
    made = delivery.speech_options(25.0)
    assert (made.max_tokens, made.seed, made.speed, made.flow_steps, made.guidance) == (
        tokens,
        3,
        1.5,
        8,
        1.5,
    )
    assert (made.sampling.top_k, made.sampling.top_p, made.sampling.temperature) == (1, 0.5, 0.7)


def test_what_is_not_given_is_as_in_python(run, tiny_bundle, saved, tmp_path, monkeypatch):
    taken = []
    original = Synthesizer.synthesize_each

    def synthesize_each(voice, phrases, reference, *, options):
        taken.append(options)
        return original(voice, phrases, reference, options=options)

    monkeypatch.setattr(Synthesizer, "synthesize_each", synthesize_each)
    out = tmp_path / "a.wav"
    result = run("speak", tiny_bundle, "--reference", saved, "--phones", "HH AY1 .", *SHORT, "-o", out)
    assert result.exit_code == 0, result.output
    assert taken == [SpeechOptions(max_tokens=12)]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("seed", "-2"),
        ("seed", "99999999999999999999999"),
        ("speed", "nan"),
        ("speed", "0"),
        ("top-k", "9223372036854775808"),
        ("top-k", "-1"),
        ("top-p", "nan"),
        ("top-p", "2"),
        ("temperature", "inf"),
        ("repetition-penalty", "nan"),
        ("max-seconds", "nan"),
        ("max-seconds", "inf"),
        ("max-seconds", "0"),
        ("max-seconds", "61"),
        ("threads", "100000"),
        ("threads", "99999999999"),
    ],
)
def test_an_option_out_of_range_is_named_before_anything_is_opened(run, option, value):
    result = run(*SPEAK, "--phones", "AA1", f"--{option}", value)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith(f"error: {option.replace('-', '_')}: got ")
    assert len(result.stderr.splitlines()) == 1


def test_a_seed_by_chance_is_printed(run, tiny_bundle, saved, tmp_path):
    once, again = tmp_path / "once.wav", tmp_path / "again.wav"
    command = ("speak", tiny_bundle, "--reference", saved, "--phones", "HH AY1 .", *SHORT)
    drawn = run(*command, "--seed", "-1", "-o", once)
    assert drawn.exit_code == 0, drawn.output
    seed = drawn.stdout.rpartition(", seed ")[2].strip()
    repeated = run(*command, "--seed", seed, "-o", again, "--json")
    assert repeated.exit_code == 0, repeated.output
    assert json.loads(repeated.stdout)["sentences"][0]["seed"] == int(seed)
    assert again.read_bytes() == once.read_bytes()


def test_a_hostile_reference_is_refused_in_one_line(run, tiny_bundle, tmp_path):
    saved = tmp_path / "me.npz"
    numpy.savez(saved, allow_pickle=False, prompt=numpy.zeros(1_000_000, numpy.int64))
    result = run(
        "speak", tiny_bundle, "--reference", saved, "--phones", "AA1", *SHORT, "-o", tmp_path / "a.wav"
    )
    assert result.exit_code == 1, result.output
    assert "not a saved reference (it holds no " in result.stderr
    assert len(result.stderr.splitlines()) == 1
