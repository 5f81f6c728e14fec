"""No command writes over what it reads: bundles, recordings, saved references."""

import json
import os
import shutil

import pytest

from sovits_runtime.bundle import Bundle

links = pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")


@pytest.fixture
def voice(tiny_bundle, tmp_path):
    """The tiny voice, its files linked."""
    shutil.copytree(tiny_bundle.parent / "shared", tmp_path / "shared", copy_function=os.link)
    shutil.copytree(tiny_bundle, tmp_path / "voice", copy_function=os.link)
    if os.name == "posix":
        (tmp_path / "link").symlink_to("voice")
    return tmp_path / "voice"


def refused(result):
    assert result.exit_code == 1, result.output
    assert "would replace" in result.output
    assert len(result.output.strip().splitlines()) == 1
    return True


@pytest.mark.parametrize("output", ["voice", "./voice", "x/../voice", pytest.param("link", marks=links)])
@pytest.mark.parametrize("precision", [["--fp16"], ["--precision", "int8"]])
def test_a_conversion_spares_its_source(run, voice, monkeypatch, output, precision):
    monkeypatch.chdir(voice.parent)
    (voice.parent / "x").mkdir()
    before = Bundle.open(voice).digest
    assert refused(run("convert", "voice", "-o", output, *precision))
    if os.name == "posix":
        assert refused(run("convert", "link", "-o", output, *precision))
    assert Bundle.open(voice).digest == before
    assert not voice.is_symlink()


def test_a_conversion_spares_what_it_is_to_be_like_and_what_it_reads(run, voice):
    other = shutil.copytree(voice, voice.parent / "other", copy_function=os.link)
    assert refused(run("convert", voice, "--fp16", "--like", other, "-o", other))
    (other / "me.wav").write_bytes(b"RIFF")
    assert refused(run("convert", voice, "--fp16", "--wav", other / "me.wav", "-o", other))
    assert (other / "me.wav").is_file()


def test_a_build_spares_its_checkpoints(run, voice, demo_files):
    for file in (demo_files.gpt, demo_files.sovits):
        shutil.copy(file, voice / file.name)
    gpt, sovits = voice / demo_files.gpt.name, voice / demo_files.sovits.name
    assert refused(run("build", "--gpt", gpt, "--sovits", sovits, "-o", voice))
    assert gpt.is_file()


def test_shared_parts_do_not_lie_in_what_is_replaced(run, voice, demo_files):
    options = ["--gpt", demo_files.gpt, "--sovits", demo_files.sovits, "--shared", voice / "shared"]
    result = run("build", *options, "-o", voice)
    assert result.exit_code == 1
    assert "lies within" in result.output


def test_a_refit_spares_its_source(run, voice):
    from sovits_engines.refit_voice import refit_voice
    from sovits_runtime.errors import SovitsError

    bundle = Bundle.open(voice)
    with pytest.raises(SovitsError, match="would replace"):
        refit_voice(bundle, bundle, None)


def test_recordings_and_saved_references_are_spared(run, voice, demo_files):
    wav = shutil.copy(demo_files.reference_wav, voice.parent / "me.wav")
    phones = ["--ref-phones", demo_files.reference, "--phones", demo_files.target]
    content = wav.read_bytes()
    assert refused(run("speak", voice, "--ref", wav, *phones, "-o", wav))
    assert refused(run("reference", voice, wav, "--phones", demo_files.reference, "-o", wav))
    assert refused(run("speak", voice, "--ref", wav, *phones, "-o", voice.parent / "a.wav", "--picture", wav))
    assert wav.read_bytes() == content


def test_what_a_user_put_into_a_bundle_stays_when_it_is_built_again(tiny_bundle, tmp_path):
    """A model card, a repository's `.git`: a new build replaces what a build wrote."""
    from sovits_exporter.building.writer import _staying

    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").touch()
    for name in ("engines", "graphs", "golden", "prepacked", "references"):
        (tmp_path / name).mkdir()
    (tmp_path / "manifest.json").write_text(json.dumps({}), encoding="utf-8")
    assert sorted(_staying(tmp_path)) == [".git", "README.md", "engines"]
