"""The console player: into a file, through a pretended loudspeaker, and without either."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from sovits_runtime import Chunk, SpeechOptions
from sovits_runtime.audio.files import read_audio
from sovits_runtime.speech.chunk_stream import ChunkStream

PHONES = "HH AH0 L OW1 ."
OPTIONS = SpeechOptions(max_tokens=60)


def run(play, tiny_bundle, saved_reference, *more):
    play.main([str(tiny_bundle), str(saved_reference), *more])


def test_writes_what_the_voice_says(play, voice, reference, tiny_bundle, saved_reference, tmp_path, capsys):
    out = tmp_path / "hello.wav"
    run(play, tiny_bundle, saved_reference, "--phones", PHONES, "--max-seconds", "2.4", "--out", str(out))
    samples, rate = read_audio(out)
    spoken = [c.samples for c in voice.stream([PHONES.split()], reference, options=OPTIONS)]
    assert rate == 32000
    np.testing.assert_allclose(samples[:, 0], np.concatenate(spoken), atol=1e-4)
    assert capsys.readouterr().out.startswith("first sound after 0.")


def test_an_error_is_one_line_and_leaves_no_file(play, tiny_bundle, saved_reference, tmp_path):
    with pytest.raises(SystemExit, match="no phones given"):
        run(play, tiny_bundle, saved_reference, "--phones", " ", "--out", str(tmp_path / "no.wav"))
    assert not list(tmp_path.iterdir())


class Device:
    """What sounddevice offers, as far as it is used."""

    def __init__(self, rate, *, channels, dtype):
        self.asked = (rate, channels, dtype)
        self.played, self.open = [], False

    def __enter__(self):
        self.open = True
        return self

    def __exit__(self, *_):
        self.open = False

    def write(self, samples):
        assert self.open
        self.played.append(samples)


def pretend(monkeypatch, device_class):
    devices = []

    def opened(*args, **kwargs):
        devices.append(device_class(*args, **kwargs))
        return devices[-1]

    fake = SimpleNamespace(OutputStream=opened, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return devices


def test_plays_every_chunk_and_stops_the_device(play, tiny_bundle, saved_reference, monkeypatch, capsys):
    devices = pretend(monkeypatch, Device)
    run(play, tiny_bundle, saved_reference, "--phones", PHONES, "--max-seconds", "2.4")
    (device,) = devices
    assert device.asked == (32000, 1, "float32")
    assert sum(map(len, device.played)) == 60 * 1280 + 9600
    assert not device.open
    assert "the buffer" in capsys.readouterr().out


def test_a_loudspeaker_that_fails_ends_the_program(play, monkeypatch):
    class Unplugged(Device):
        def write(self, samples):
            raise OSError("unplugged")

    pretend(monkeypatch, Unplugged)
    freed = []

    def make(closed):
        try:
            while True:
                yield Chunk(np.zeros(8, np.float32), 32000, sentence=0)
        finally:
            freed.append(True)

    with pytest.raises(SystemExit, match="the loudspeaker failed: unplugged"):
        play.play(ChunkStream(make), play.Loudspeaker(32000))
    assert freed


def test_without_sounddevice_it_says_what_to_install(play, tiny_bundle, saved_reference, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SystemExit, match="pip install sounddevice"):
        run(play, tiny_bundle, saved_reference, "--phones", PHONES)


def test_the_listener_counts_silence_but_not_the_wait_before_the_first_sound(play):
    listener = play.Listener()
    for now in (5.0, 5.5, 7.25, 7.3):  # a second of sound each
        listener.hear(Chunk(np.zeros(32000, np.float32), 32000, sentence=0), now)
    assert listener.first == 5.0
    assert (listener.gaps, listener.gaps_s) == (1, 0.25)


@pytest.mark.parametrize("wrong", ["nan", "inf", "0", "-1", "x"])
def test_a_time_that_makes_no_sense_is_wrong_use(play, capsys, wrong):
    with pytest.raises(SystemExit) as exit_:
        play.main(["voice", "me.npz", "Hello", "--max-seconds", wrong])
    assert exit_.value.code == 2
    assert f"got {wrong!r}, expected 0.1 to 3600 seconds" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_one_line(play, tiny_bundle, saved_reference, tmp_path):
    where = tmp_path / "no" / "a.wav"
    with pytest.raises(SystemExit, match="No such file"):
        run(play, tiny_bundle, saved_reference, "--phones", PHONES, "--max-seconds", "1", "--out", str(where))
