"""`sovits-export reference`."""

from importlib.util import find_spec

import numpy
import pytest
import soundfile

from sovits_runtime.speech.reference import Reference


def test_a_reference_is_saved_and_spoken_from(run, tiny_bundle, demo_files, tmp_path):
    saved, once, again = (tmp_path / name for name in ("me.npz", "once.wav", "again.wav"))
    said = ("--phones", "HH AH0 L OW1 .", "--max-seconds", "0.8")
    recording = ("--ref", demo_files.reference_wav, "--ref-phones", demo_files.reference)
    made = run(
        "reference", tiny_bundle, demo_files.reference_wav, "--phones", demo_files.reference, "-o", saved
    )
    assert made.exit_code == 0, made.output
    for reference, out in ((recording, once), (("--reference", saved), again)):
        result = run("speak", tiny_bundle, *reference, *said, "-o", out)
        assert result.exit_code == 0, result.output
    assert again.read_bytes() == once.read_bytes()


@pytest.mark.skipif(
    not all(map(find_spec, ("pronouncing", "g2p_en", "wordsegment"))), reason="the extra en is not installed"
)
def test_its_transcript_comes_from_text(run, tiny_bundle, demo_files, tmp_path):
    saved = tmp_path / "me.npz"
    text = ("--text", "The river ☃.", "--lang", "en")
    made = run("reference", tiny_bundle, demo_files.reference_wav, *text, "-o", saved)
    assert made.exit_code == 0, made.output
    assert made.stderr.count("note: ") == 1
    assert len(Reference.load(saved).phones) > 5


def test_a_transcript_of_several_phone_sentences_is_refused(
    run, tiny_bundle, demo_files, two_sentences, tmp_path
):
    recording, saved = demo_files.reference_wav, tmp_path / "me.npz"
    result = run("reference", tiny_bundle, recording, "--phones", two_sentences, "-o", saved)
    assert result.exit_code == 1
    assert "got 2 phone sentences, expected one for a transcript" in result.stderr
    assert not saved.exists()


def test_a_transcript_without_its_language_is_wrong_use(run):
    result = run("reference", "nowhere", "a.wav", "--text", "a", "-o", "b.npz")
    assert result.exit_code == 2, result.output
    assert "needs its language" in result.output


def test_a_place_that_cannot_be_written_is_named(run, tiny_bundle, demo_files, tmp_path):
    out = tmp_path / "no" / "such" / "me.npz"
    result = run("reference", tiny_bundle, demo_files.reference_wav, "-o", out)
    assert result.exit_code == 1
    assert str(out.parent) in result.output
    assert "check the path" in result.output


def test_a_transcript_of_half_the_recording_is_named(run, tiny_bundle, demo_files, tmp_path, caplog):
    said = ("--phones", "DH AH0 R IH1 V ER0 .")
    made = run("reference", tiny_bundle, demo_files.reference_wav, *said, "-o", tmp_path / "me.npz")
    assert made.exit_code == 0, made.output
    assert (
        f"{demo_files.reference_wav}: the reference's transcript has 6 spoken phones for 5.0 s" in caplog.text
    )


def test_a_recording_beyond_reason_is_refused(run, tiny_bundle, tmp_path):
    loud, out = tmp_path / "loud.wav", tmp_path / "me.npz"
    soundfile.write(loud, numpy.full(80000, 3e38, numpy.float32), 16000, subtype="FLOAT")
    result = run("reference", tiny_bundle, loud, "--phones", "AA1", "-o", out)
    assert result.exit_code == 1, result.output
    assert f"error: {loud}: got samples of up to 3e+38, expected 1.0 at full scale" in result.stderr
    assert not out.exists()
