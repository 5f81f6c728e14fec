"""Profiles: read, written, found without case, read again when they change; recordings of any length; hostile input."""

import json
import threading

import numpy as np
import pytest

from sovits_runtime.audio import Audio
from sovits_runtime.audio.files import read_audio
from sovits_runtime.errors import AudioError, ShapeError
from sovits_server.problems import BadRequestError, ConfigError, FailedError, NotThereError
from sovits_server.voices import Voice, VoiceReference, VoiceStore, read_profile, store, write_profile

RATE = 24000


def speech(seconds, *, level=0.3, pauses=True, rate=RATE):
    """Something like speech: noise in syllables, with a pause of 0.4 s after every 2 s."""
    rng = np.random.default_rng(3)
    time = np.arange(round(seconds * rate)) / rate
    wave = rng.standard_normal(len(time)) * np.abs(np.sin(2 * np.pi * 4 * time)) * level / 3
    if pauses:
        wave[(time % 2.4) > 2.0] *= 1e-4
    return wave.astype(np.float32)


def recording(seconds, **how):
    return Audio(speech(seconds, **how), RATE).encode("wav")


@pytest.fixture
def voices(tmp_path, tiny_bundle):
    folder = tmp_path / "voices"
    folder.mkdir()
    (folder / "Alice.toml").write_text(
        f'bundle = "{tiny_bundle.as_posix()}"\nlanguage = "en"\n', encoding="utf-8"
    )
    return VoiceStore(folder)


def test_a_profile_by_hand(tmp_path, tiny_bundle):
    (tmp_path / "take.wav").write_bytes(recording(4))
    (tmp_path / "a.toml").write_text(
        f'''
        name = "爱丽丝"
        bundle = "{tiny_bundle.as_posix()}"
        language = "zh"
        gain_db = -3
        picture = "a.png"
        [options]
        speed = 1.2
        top_k = 5
        [[references]]
        file = "take.wav"
        text = "早上好。"
        language = "zh"
        emotion = "开心"
        ''',
        encoding="utf-8",
    )
    voice = VoiceStore(tmp_path).get(" 爱丽丝")
    assert voice.references == (
        VoiceReference(
            name="take", path=tmp_path / "take.wav", text="早上好。", language="zh", emotion="开心"
        ),
    )
    assert (voice.gain_db, voice.picture, voice.emotions) == (-3.0, tmp_path / "a.png", ("开心",))
    options = voice.speech_options()
    assert (options.speed, options.sampling.top_k, options.sampling.top_p) == (1.2, 5, 1.0)


def test_names_are_found_without_case_and_with_either_form_of_accents(voices, tiny_bundle):
    voices.add(Voice(name="Zoë", bundle=tiny_bundle))
    assert voices.names() == ("Alice", "Zoë")
    assert voices.get("ZOE\u0308").name == "Zoë"
    assert voices.get("aLICE").name == "Alice"
    with pytest.raises(NotThereError, match=r"no voice 'bob'; there are: Alice, Zoë"):
        voices.get("bob")


def test_bundles_without_a_profile_are_voices(tmp_path, copied_bundle):
    """A bundle that a profile speaks for is not a voice a second time."""
    found = VoiceStore(tmp_path)
    assert found.names() == ("voice",)
    found.add(Voice(name="Alice", bundle=copied_bundle))
    assert found.names() == ("Alice",)
    assert (tmp_path / "Alice.toml").read_text(encoding="utf-8") == 'name = "Alice"\nbundle = "voice"\n'
    assert VoiceStore(None, bundles=[copied_bundle]).names() == ("voice",)
    with pytest.raises(BadRequestError, match="no folder of voices"):
        VoiceStore(None, bundles=[copied_bundle]).remove("voice")


def test_changes_on_disk_are_seen(voices):
    first = voices.generation
    assert voices.generation == first
    path = voices.folder / "Alice.toml"
    path.write_text(path.read_text(encoding="utf-8") + "gain_db = 2.5\n", encoding="utf-8")
    assert voices.get("alice").gain_db == 2.5
    (voices.folder / "Bob.toml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    assert voices.names() == ("Alice", "Bob")
    path.unlink()
    assert voices.names() == ("Bob",)
    assert voices.generation == first + 3


def test_a_profile_written_and_read_is_the_same(tmp_path, tiny_bundle):
    (tmp_path / "x.references").mkdir()
    take = tmp_path / "x.references" / "a.wav"
    take.write_bytes(recording(3))
    words = 'a "quoted" \\ back\tslash\nline \x7f é 你 🎵'
    voice = Voice(
        name="x",
        bundle=tiny_bundle,
        references=(
            VoiceReference(name="a", path=take, text=words, language="auto", emotion="happy", gain_db=1.5),
            VoiceReference(name="b", path=take, phones=("HH", "AY1", "'")),
        ),
        language="en",
        gain_db=-2.0,
        options={"speed": 1.25, "top_k": 7},
    )
    for name in ("x.toml", "x.json"):
        write_profile(voice, tmp_path / name)
        read = read_profile(tmp_path / name)
        assert read.references == voice.references
        assert (read.name, read.language, read.gain_db, read.options) == ("x", "en", -2.0, voice.options)
        assert read.bundle.samefile(tiny_bundle)
    assert (
        json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["references"][0]["file"]
        == "x.references/a.wav"
    )


def test_a_short_recording_is_kept_whole_with_its_words(voices):
    added = voices.add_reference("alice", recording(5), text="What is said.", language="en", emotion="Happy")
    assert added.reference.name == "Happy"
    assert added.reference.path == voices.folder / "Alice.references" / "Happy.wav"
    assert added.said.startswith("kept ")
    assert "cut" not in added.said
    again = VoiceStore(voices.folder).get("Alice").reference("happy")
    assert (again.text, again.language) == ("What is said.", "en")
    samples, rate = read_audio(again.path)
    assert rate == RATE
    assert len(samples) / rate == pytest.approx(5, abs=0.4)


def test_of_a_long_recording_the_best_part_is_kept_and_said(voices):
    wave = np.concatenate([np.clip(speech(12, level=9), -1, 1), speech(12)])
    added = voices.add_reference("Alice", Audio(wave, RATE).encode("flac"))
    samples, rate = read_audio(added.reference.path)
    assert 3 <= len(samples) / rate <= 10
    assert np.abs(samples).max() < 0.9, "the clipped half was chosen"
    assert " of 24.00 s; cut at pauses: " in added.said


def test_words_of_the_whole_are_not_taken_for_those_of_a_part(voices):
    added = voices.add_reference("Alice", recording(25), text="All twenty-five seconds.", language="en")
    assert added.reference.text == ""
    assert "the words given are those of the whole" in added.said


def test_silence_at_both_ends_goes_and_the_words_stay(voices):
    wave = np.concatenate([np.zeros(5 * RATE, np.float32), speech(5), np.zeros(4 * RATE, np.float32)])
    added = voices.add_reference("Alice", Audio(wave, RATE).encode(), text="All of it.", language="en")
    assert added.reference.text == "All of it."
    assert len(read_audio(added.reference.path)[0]) / RATE < 6
    assert "silence at its ends left out" in added.said


def test_a_version_that_needs_words_asks_for_those_of_the_part(voices, monkeypatch):
    monkeypatch.setattr(store, "transcript_needed", lambda bundle: "v4")
    with pytest.raises(BadRequestError, match=r"^text: a voice of v4 .* give what is said in the recording$"):
        voices.add_reference("Alice", recording(5))
    with pytest.raises(BadRequestError, match=r"give what is said from \d+\.\d to \d+\.\d s, or a recording"):
        voices.add_reference("Alice", recording(25), text="All of it.", language="en")
    assert voices.get("Alice").references == ()
    assert not list(voices.folder.glob("*/*"))


def test_the_first_reference_is_the_usual_one_and_names_go_before_emotions(voices):
    voices.add_reference("Alice", recording(4), reference_name="sad", emotion="angry")
    voices.add_reference("Alice", recording(4), reference_name="two", emotion="sad")
    alice = voices.get("Alice")
    assert [alice.reference(wanted).name for wanted in ("", "SAD", "Angry", "two")] == [
        "sad",
        "sad",
        "sad",
        "two",
    ]
    with pytest.raises(NotThereError, match="got the reference 'glad', expected one of sad, angry, two"):
        alice.reference("glad")


def test_a_reference_speaks(voices, voice, demo_files):
    phones = json.loads(demo_files.reference.read_text(encoding="utf-8"))["phones"]
    content = demo_files.reference_wav.read_bytes()
    with_words = voices.add_reference("Alice", content, phones=phones).reference.read(voice)
    without = voices.add_reference("Alice", content, reference_name="style").reference.read(voice)
    assert len(with_words.prompt) > 0
    assert len(without.prompt) == 0
    gone = voices.get("Alice").reference()
    gone.path.unlink()
    with pytest.raises(FailedError, match="the recording 'default' of this voice cannot be read") as error:
        gone.read(voice)
    assert str(voices.folder) not in str(error.value)


def test_what_is_removed_is_gone_and_the_bundle_stays(voices, tiny_bundle):
    voices.add_reference("Alice", recording(4), reference_name="one")
    voices.add_reference("Alice", recording(4), reference_name="two")
    assert [r.name for r in voices.remove_reference("alice", "ONE").references] == ["two"]
    assert [path.name for path in (voices.folder / "Alice.references").iterdir()] == ["two.wav"]
    voices.remove("ALICE")
    assert voices.names() == ()
    assert not list(voices.folder.glob("[!.]*"))
    assert (tiny_bundle / "manifest.json").exists()


def test_recordings_that_lie_elsewhere_are_not_removed(voices, tmp_path):
    mine = tmp_path / "mine.wav"
    mine.write_bytes(recording(4))
    path = voices.folder / "Alice.toml"
    path.write_text(
        path.read_text(encoding="utf-8") + f'[[references]]\nfile = "{mine.as_posix()}"\n', encoding="utf-8"
    )
    voices.remove("Alice")
    assert mine.exists()


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "../x",
        "a/b",
        "a\\b",
        ".x",
        "x.",
        "a\nb",
        "a\x00",
        "CON",
        "nul.txt",
        "x" * 65,
        "a:b",
        None,
        3,
        "\u202ea",
    ],
)
def test_names_that_a_file_system_takes_for_more_are_refused(name, voices, tiny_bundle):
    with pytest.raises(BadRequestError, match=r"^name: got "):
        voices.add(Voice(name=name, bundle=tiny_bundle))
    if isinstance(name, str) and name.strip():
        with pytest.raises(BadRequestError, match=r"^reference: got "):
            voices.add_reference("Alice", recording(4), reference_name=name)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", AudioError),
        (b"RIFF" + bytes(2000), AudioError),
        (bytes(100_000), AudioError),
        (recording(1), AudioError),
        (Audio(np.zeros(RATE * 5, np.float32), RATE).encode(), AudioError),
        (recording(4)[:3000], AudioError),
        (b"\x00\x00\x00\x18ftypmp42", AudioError),
    ],
)
def test_recordings_that_cannot_serve_leave_nothing(content, error, voices):
    with pytest.raises(error):
        voices.add_reference("Alice", content)
    assert voices.get("Alice").references == ()
    assert not list(voices.folder.glob("*/*"))


BROKEN = {
    "no TOML": "name = ",
    "an unknown field": 'color = "red"',
    "a number for a name": "name = 3",
    "a language": 'language = "klingon"',
    "an option": "[options]\nvolume = 3",
    "an option out of range": "[options]\nspeed = 1000",
    "a word for a number": '[options]\nspeed = "fast"',
    "an infinite gain": "gain_db = inf",
    "no recording": "[[references]]\nname = 'a'",
    "a missing recording": "[[references]]\nfile = 'a.wav'",
    "a table for a list": "references = {}",
    "a path for a name": 'name = "../x"',
    "no bundle": 'bundle = "nowhere"',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_profile_that_makes_no_sense_is_named_and_others_go_on(name, voices, tiny_bundle, caplog):
    text = BROKEN[name]
    if "bundle" not in text:
        text = f'bundle = "{tiny_bundle.as_posix()}"\n{text}'
    path = voices.folder / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.toml: ") as error:
        read_profile(path)
    assert "expected" in str(error.value) or "not a voice's profile" in str(error.value)
    assert voices.names() == ("Alice",)
    assert list(voices.problems()) == ["bad"]
    assert caplog.text.count("bad.toml") == 1
    with pytest.raises(NotThereError, match="the server's log says why") as told:
        voices.get("BAD")
    assert str(voices.folder) not in str(told.value)


def test_two_profiles_of_one_name(voices):
    (voices.folder / "b.json").write_text(
        json.dumps({"name": "ALICE", "bundle": str(voices.get("alice").bundle)}), encoding="utf-8"
    )
    assert voices.names() == ("Alice",)
    assert "there is a voice 'ALICE' already" in voices.problems()["b"]


def test_options_are_checked(tiny_bundle):
    voice = Voice(name="x", bundle=tiny_bundle, options={"speed": 99})
    with pytest.raises(ShapeError, match="speed"):
        voice.speech_options()
    with pytest.raises(BadRequestError, match="got 'volume', expected some of top_k"):
        Voice(name="x", bundle=tiny_bundle, options={"volume": 1}).speech_options()


def test_many_threads_add_and_none_is_lost(voices):
    content = recording(3.5)
    failed = []

    def work(number):
        try:
            VoiceStore(voices.folder).add_reference("Alice", content, reference_name=f"r{number}")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {r.name for r in voices.get("Alice").references} == {f"r{number}" for number in range(8)}
