"""From what people have to speech, in two commands: the bundle carries the reference, and speaks with nothing else."""

import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sovits_exporter.demo.demo import REFERENCE_TEXT
from sovits_runtime import Reference, SpeechOptions, Synthesizer
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BundleError

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("pronouncing", "g2p_en", "wordsegment"))), reason="the extra en is not installed"
)
SHORT = ("--max-seconds", "0.48", "--threads", "1")
BRIEF = SpeechOptions(max_tokens=12)
NAME = "磨坊 voice"


@pytest.fixture(scope="module")
def installed(demo_files, folder) -> Path:
    """GPT-SoVITS with a voice that was trained in it, and its training clip."""
    root = folder / "GPT-SoVITS"
    parts = root / "GPT_SoVITS" / "pretrained_models"
    for place, file in (
        (root / "GPT_weights_v2" / f"{NAME}-e15.ckpt", demo_files.gpt),
        (root / "SoVITS_weights_v2" / f"{NAME}_e8_s96.pth", demo_files.sovits),
        (root / "logs" / NAME / "5-wav32k" / "a.wav", demo_files.reference_wav),
    ):
        place.parent.mkdir(parents=True)
        os.link(file, place)
    shutil.copytree(demo_files.hubert, parts / demo_files.hubert.name)
    lines = f"a.wav\tDH AH0\tNone\t{REFERENCE_TEXT}\n"
    (root / "logs" / NAME / "2-name2text.txt").write_text(lines, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def made(installed, demo_files, run, folder):
    """The bundle of `build --from`, with one emotion more, and what the command printed."""
    happy = ("--add-ref", "happy", demo_files.reference_wav, REFERENCE_TEXT)
    ref = ("--ref", demo_files.reference_wav, "--ref-text", REFERENCE_TEXT, "--keep-clip")
    result = run("build", "--from", installed, "-o", folder / "out" / NAME, "--no-verify", *ref, *happy)
    assert result.exit_code == 0, result.output
    return folder / "out" / NAME, result.stdout


@pytest.fixture
def speak(made, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def speak(*arguments):
        return run("speak", made[0], *arguments, *SHORT)

    return speak


@pytest.fixture
def copied(made, tmp_path):
    shutil.copytree(made[0].parent / "shared", tmp_path / "shared")
    return Path(shutil.copytree(made[0], tmp_path / "voice"))


def test_the_last_line_of_a_build_can_be_run(made):
    bundle, printed = made
    assert printed.splitlines()[-1] == f"try it:  sovits-export speak '{bundle}' 'Good morning.'"


def test_it_speaks_with_nothing_but_a_text(speak, tmp_path):
    result = speak("Good morning.")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{NAME}.wav: ")
    samples, rate = soundfile.read(tmp_path / f"{NAME}.wav")
    assert rate == 32000
    assert np.abs(samples).max() > 1e-4


def test_nothing_is_overwritten_that_was_not_named(speak, tmp_path):
    (tmp_path / f"{NAME}.wav").write_text("mine", encoding="utf-8")
    (tmp_path / f"{NAME}-2.wav").write_text("mine too", encoding="utf-8")
    result = speak("Good morning.")
    assert result.exit_code == 0, result.output
    assert f"{NAME}-3.wav: " in result.stdout
    assert f"({NAME}.wav is there already, and stays)" in result.stdout
    assert [(tmp_path / f"{NAME}{n}.wav").read_text(encoding="utf-8") for n in ("", "-2")] == [
        "mine",
        "mine too",
    ]


def test_each_reference_is_asked_for_by_name(speak, made, run):
    for option in ("--emotion", "--reference"):
        result = speak("Good morning.", option, "happy", "-o", "a.wav")
        assert result.exit_code == 0, result.output
    wrong = speak("Good morning.", "--emotion", "sad", "-o", "b.wav")
    assert wrong.exit_code == 1
    assert "carries no reference 'sad'; it has default, happy" in wrong.stderr
    assert "voice    happy (en, with its recording), says: The river" in run("inspect", made[0]).stdout


def test_a_recording_still_overrides(speak, demo_files):
    said = ("--ref", demo_files.reference_wav, "--ref-text", REFERENCE_TEXT)
    assert speak("Good morning.", *said, "--lang", "en", "-o", "a.wav").exit_code == 0
    assert speak("Good morning.", *said, "--ref-lang", "en", "-o", "b.wav").exit_code == 0
    result = speak("Good morning.", *said, "-o", "c.wav")
    assert (result.exit_code, "give --lang" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("Good morning.", "--text", "Good night."), "not both"),
        ((), "exactly one of --text, --text-file and --phones"),
        (("Hi.", "--ref-text", "a", "--ref-lang", "en"), "a transcript needs its recording"),
    ],
)
def test_wrong_use(speak, arguments, told):
    result = speak(*arguments)
    assert (result.exit_code, told in result.stderr) == (2, True), result.output


def test_python_says_it_in_one_line(made, demo_files):
    with Synthesizer.load(made[0], threads=1) as voice:
        assert voice.stored.names == ("default", "happy")
        default = voice.say("Good morning.", options=BRIEF)
        happy = voice.say("Good morning.", reference="happy", options=BRIEF)
        assert np.array_equal(default.samples, happy.samples)  # of one recording
        fresh = voice.reference_from_text(demo_files.reference_wav, REFERENCE_TEXT, language="en")
        assert np.array_equal(
            default.samples, voice.say("Good morning.", reference=fresh, options=BRIEF).samples
        )
        with pytest.raises(BundleError, match="carries no reference 'sad'"):
            voice.say("Good morning.", reference="sad")


def test_a_stored_reference_is_compared_like_any_other_file(copied):
    bundle = Bundle.open(copied)
    stored = bundle.stored_reference()
    path = copied / stored.file
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=stored.file):
        Bundle.open(copied, full=True)
    path.unlink()
    with pytest.raises(BundleError, match=stored.file):
        Bundle.open(copied)


def test_a_reference_of_another_recording_is_not_taken_for_it(copied):
    """Even where somebody made the digests fit: the manifest binds a reference by what it was made from."""
    bundle = Bundle.open(copied)
    other = Reference.load(copied / bundle.stored_reference().file)
    object.__setattr__(other, "key", "0" * 32)
    other.save(copied / bundle.stored_reference().file)
    with (
        Synthesizer.load(made_to_fit(copied), threads=1) as voice,
        pytest.raises(BundleError, match="holds the reference 000"),
    ):
        voice.say("Good morning.")


def made_to_fit(folder: Path) -> Path:
    from sovits_runtime.bundle import MANIFEST, manifest_digest
    from sovits_runtime.bundle.files import file_record

    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"] = {name: file_record(folder / name) for name in manifest["files"]}
    manifest["digest"] = manifest_digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("references", "told"),
    [
        ([{"name": "a", "file": "voice/gone.npz", "key": "k"}], "which is not among its files"),
        ([{"name": "a", "file": "../x.npz", "key": "k"}], "a path within its folder"),
        ([{"name": "", "file": "manifest.json", "key": "k"}], "a name of 1 to 64"),
        ([{"name": "a"}], "file is missing"),
        ({}, "expected a list"),
    ],
)
def test_a_manifest_of_anybody(copied, references, told):
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "references": references}), encoding="utf-8")
    with pytest.raises(BundleError, match=told):
        Bundle.open(made_to_fit(copied))


def test_a_bundle_of_an_earlier_release_opens_and_says_what_it_lacks(copied, run, tmp_path):
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["references"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert Bundle.open(made_to_fit(copied)).references == ()
    result = run("speak", copied, "Good morning.", "-o", tmp_path / "a.wav")
    assert result.exit_code == 2
    assert "this bundle carries no reference: give --ref (a recording)" in result.stderr


def test_several_voices_are_built_once_and_share_parts(made, installed, run, folder, monkeypatch):
    """`--all` leaves alone what is built, so it goes on where it was interrupted."""
    built = []
    monkeypatch.setattr(
        "sovits_exporter.building.build.build", lambda request, progress: built.append(request)
    )
    monkeypatch.setattr("sovits_exporter.cli.build_from.is_built", lambda request, *, fp32: True)
    result = run("build", "--from", installed, "--all", "-o", folder / "out")
    assert result.exit_code == 0, result.output
    assert f"{folder / 'out' / NAME}: is built already of these files" in result.stdout
    assert built == []


def test_what_counts_as_built(made, installed, demo_files, run, folder, tmp_path):
    from dataclasses import replace

    from sovits_exporter.building.request import BuildRequest, ReferenceRequest
    from sovits_exporter.cli.build_from import is_built

    said = [
        ReferenceRequest(recording=demo_files.reference_wav, name=n, text=REFERENCE_TEXT)
        for n in ("default", "happy")
    ]
    request = BuildRequest(
        gpt=demo_files.gpt, sovits=demo_files.sovits, output=made[0], references=tuple(said)
    )
    assert is_built(request, fp32=True)
    assert not is_built(request, fp32=False)
    assert not is_built(replace(request, references=()), fp32=True)
    assert not is_built(replace(request, gpt=demo_files.sovits), fp32=True)
    assert not is_built(replace(request, output=tmp_path / "elsewhere"), fp32=True)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ((), ["default", "生气"]),
        (("happy",), ["default", "happy", "生气"]),
        (("default", "生气"), ["default", "生气"]),
    ],
)
def test_given_recordings_join_those_that_were_found(given, names):
    from sovits_exporter.building.request import ReferenceRequest
    from sovits_exporter.cli.build_from import _together

    found = [ReferenceRequest(recording=Path("found.wav"), name=name) for name in ("default", "生气")]
    mine = [ReferenceRequest(recording=Path("mine.wav"), name=name) for name in given]
    both = _together(found, mine)
    assert [reference.name for reference in both] == names
    assert {r.name for r in both if r.recording == Path("mine.wav")} == set(given)


def test_a_speaker_that_is_missing_is_said_before_anything_is_made(speak, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "miniaudio", None)
    result = speak("Good morning.", "--play")
    assert result.exit_code == 1
    assert 'pip install "sovits-export[play]", or write a file instead' in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_play_gives_the_speaker_every_sample_and_writes_no_file(speak, monkeypatch, tmp_path):
    from sovits_exporter.cli import player

    heard = []

    class Speaker:
        """A device that asks for 1000 frames at a time, in a thread of its own, as a real one does."""

        def __init__(self, **options):
            self.rate = options["sample_rate"]

        def start(self, frames):
            import threading

            self.going = True
            self.thread = threading.Thread(target=self._run, args=(frames,))
            self.thread.start()

        def _run(self, frames):
            while self.going:
                heard.append(frames.send(1000))

        def close(self):
            self.going = False
            self.thread.join()

    fake = __import__("types").SimpleNamespace(
        PlaybackDevice=Speaker,
        SampleFormat=__import__("types").SimpleNamespace(SIGNED16=2),
        MiniaudioError=OSError,
    )
    monkeypatch.setitem(__import__("sys").modules, "miniaudio", fake)
    result = speak("Good morning.", "--play")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("played: ")
    assert list(tmp_path.iterdir()) == []
    assert speak("Good morning.", "-o", "a.wav").exit_code == 0
    file, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    played = np.frombuffer(b"".join(heard), np.int16)
    sounding = np.flatnonzero(file)
    start = np.flatnonzero(played)[0] - sounding[0]
    assert np.array_equal(played[start : start + len(file)], file)
    assert player.Player.__doc__


def test_a_conversion_keeps_the_references(made, tmp_path):
    from sovits_exporter.building.steps import Steps
    from sovits_exporter.building.writer import write_bundle

    source = Bundle.open(made[0])
    with write_bundle(tmp_path / "voice", tmp_path / "shared", Steps(lambda *step: None)) as writer:
        writer.copy_rest(source)
        writer.copy_golden(source)
        writer.finish(source.manifest, None)
    converted = Bundle.open(tmp_path / "voice", full=True)
    assert converted.references == source.references
    for stored in converted.references:
        assert (tmp_path / "voice" / stored.file).read_bytes() == (made[0] / stored.file).read_bytes()


def test_the_server_speaks_with_nothing_else(made, demo_files, tmp_path):
    """The bundle's references are the voice's; one that the operator gives goes first."""
    pytest.importorskip("starlette")
    from live_server import running

    from sovits_server.config import load_config

    quick = {
        "bundles": [made[0]],
        "max_seconds": 0.48,
        "cache_mb": 0,
        "threads": 1,
        "port": 0,
        "open_lists": True,
    }
    asked = {"input": "Good morning.", "response_format": "pcm", "seed": 3}
    with running(load_config(quick, environment={})) as live, live.client() as client:
        voices = client.get("/v1/audio/voices").json()
        assert "happy" in json.dumps(voices)
        own = client.post("/v1/audio/speech", json=asked)
        assert own.status_code == 200, own.text
        assert client.post("/v1/audio/speech", json=asked).content == own.content
        happy = client.post("/v1/audio/speech", json={**asked, "emotion": "happy"})
        assert happy.status_code == 200, happy.text
    given = {**quick, "ref": demo_files.reference_wav, "ref_text": "Another text of it.", "ref_lang": "en"}
    with running(load_config(given, environment={})) as live, live.client() as client:
        other = client.post("/v1/audio/speech", json=asked)
        assert other.status_code == 200
        assert other.content != own.content
