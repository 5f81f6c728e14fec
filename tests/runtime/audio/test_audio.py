from __future__ import annotations

import io
import itertools
import logging
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from sovits_runtime.audio import Audio, check_reference, files, hubert_wave, mono, reference_wave
from sovits_runtime.audio.files import read_audio
from sovits_runtime.errors import AudioError, ShapeError


def tone(seconds: float, rate: int, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int, file_format: str, subtype: str | None = None) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=file_format, subtype=subtype)
    return content.getvalue()


# --- reading ---


@pytest.mark.parametrize(
    ("file_format", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "PCM_16", 4e-5),
        ("WAV", "PCM_24", 2e-7),
        ("WAV", "PCM_32", 1e-7),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0),
        ("WAVEX", "PCM_16", 4e-5),
        ("FLAC", "PCM_24", 2e-7),
        ("AIFF", "PCM_16", 4e-5),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_reads_every_kind(file_format, subtype, tolerance, channels):
    wave = tone(0.25, 44100)[:, None] * np.linspace(0.5, 1.0, channels, dtype=np.float32)
    samples, rate = read_audio(encoded(wave, 44100, file_format, subtype))
    assert (samples.dtype, rate) == (np.float32, 44100)
    assert samples.shape == wave.shape
    np.testing.assert_allclose(samples, wave, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("file_format", "subtype"), [("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("WAV", "GSM610")]
)
def test_reads_lossy_kinds(file_format, subtype):
    rate = 48000 if subtype == "OPUS" else 8000 if subtype == "GSM610" else 32000
    samples, got_rate = read_audio(encoded(tone(1.0, rate), rate, file_format, subtype))
    assert got_rate == rate
    assert abs(len(samples) - rate) < 0.1 * rate
    middle = samples[len(samples) // 4 : len(samples) // 2, 0]
    np.testing.assert_allclose(np.sqrt(np.mean(middle**2)), 0.5 / np.sqrt(2), rtol=0.1)


def test_reads_from_path_bytes_and_file_whatever_the_name(tmp_path):
    wave = tone(0.1, 8000)
    content = encoded(wave, 8000, "WAV", "FLOAT")
    path = tmp_path / "声音.raw"
    path.write_bytes(content)
    with path.open("rb") as file:
        sources = [path, str(path), content, bytearray(content), io.BytesIO(content), file]
        for source in sources:
            samples, rate = read_audio(source)
            np.testing.assert_array_equal(samples[:, 0], wave)
            assert rate == 8000


def test_keeps_float_samples_above_one():
    samples, _ = read_audio(encoded(np.array([0.0, 1.75, -3.0]), 8000, "WAV", "FLOAT"))
    np.testing.assert_array_equal(samples[:, 0], np.array([0.0, 1.75, -3.0], np.float32))


def wav(rate: int = 8000, samples: np.ndarray | None = None) -> bytearray:
    return bytearray(encoded(tone(0.5, 8000) if samples is None else samples, rate, "WAV", "PCM_16"))


def with_rate(rate: int) -> bytes:
    content = wav()
    content[24:28] = rate.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"hello world" * 100, "no audio that can be decoded"),
        (bytes(5000), "no audio that can be decoded"),
        (bytes(wav()[:10]), "no audio that can be decoded"),
        (bytes(wav()[:30]), "No 'data' chunk"),
        (bytes(wav()[:44]), "without samples"),
        (bytes(wav(samples=np.zeros(0))), "without samples"),
        (encoded(tone(1, 8000), 8000, "FLAC")[:44], "no audio that can be decoded"),
        (encoded(tone(1, 8000), 8000, "FLAC")[:2000], "no audio that can be decoded"),
        (encoded(tone(1, 8000), 8000, "OGG")[:200], "no audio that can be decoded"),
        (encoded(tone(1, 8000), 8000, "MP3")[:50], "no audio that can be decoded"),
        (with_rate(0), "no audio that can be decoded"),
        (with_rate(1), "sample rate of 1 Hz, expected 4000 to 384000"),
        (with_rate(2**31 - 1), "sample rate of 2147483647 Hz"),
        (encoded(np.array([0, np.nan, np.inf, 0.5]), 8000, "WAV", "FLOAT"), "2 NaN or infinite samples of 4"),
        (b"\0\0\0\x20ftypM4A " + bytes(100), "M4A file .*ffmpeg -i"),
        (b"\xff\xf1\x50\x80" + bytes(100), "raw AAC.*ffmpeg -i"),
        (b"\x1aE\xdf\xa3" + bytes(100), "WebM.*ffmpeg -i"),
    ],
    ids=itertools.count(),  # encoded files hold the time they were written
)
def test_says_why_content_cannot_be_read(content, message):
    with pytest.raises(AudioError, match=message) as caught:
        read_audio(content)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("audio data: ")


def test_says_why_a_path_cannot_be_read(tmp_path):
    with pytest.raises(AudioError, match=r"missing\.wav: no such file"):
        read_audio(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="got a folder"):
        read_audio(tmp_path)
    with pytest.raises(AudioError, match="cannot be read"):
        read_audio("x" * 5000)
    (tmp_path / "page.wav").write_text("<html>not found</html>", encoding="utf-8")
    with pytest.raises(AudioError, match=r"page\.wav: got no audio"):
        read_audio(tmp_path / "page.wav")
    with (tmp_path / "page.wav").open() as file, pytest.raises(AudioError, match="mode 'rb'"):
        read_audio(file)


def test_stops_at_files_beyond_reason(monkeypatch):
    content = encoded(np.zeros(200000), 8000, "FLAC")
    monkeypatch.setattr(files, "_MAX_SAMPLES", 100000)
    with pytest.raises(AudioError, match="got more than 12 s of audio"):
        read_audio(content)
    with pytest.raises(AudioError, match="got more than 0 MiB"):
        read_audio(io.BytesIO(bytes(400001)))


def test_a_small_file_of_hours_is_stopped_after_minutes():
    """Silence: 40 minutes in a few hundred kilobytes."""
    content = encoded(np.zeros(2400 * 8000, np.int16), 8000, "FLAC")
    assert len(content) < 500_000
    with pytest.raises(AudioError, match="got more than 300 s of audio, expected a recording of seconds"):
        read_audio(content)
    with pytest.raises(AudioError, match="got more than 256 MiB"):
        read_audio(io.BytesIO(bytes((256 << 20) + 1)))


@pytest.mark.parametrize("level", [3e38, 1e30, -32768.0, 101.0])
def test_levels_beyond_reason_are_refused(level):
    wave = tone(4.0, 16000)
    wave[100] = level
    with pytest.raises(AudioError, match=r"got samples of up to .*, expected 1\.0 at full scale"):
        read_audio(encoded(wave, 16000, "WAV", "FLOAT"))


# --- Audio ---


def test_pcm16_rounds_and_never_wraps():
    samples = np.array([0, 1, -1, 2, -2, 1.49 / 32768, -1.51 / 32768, 32767.6 / 32768], np.float32)
    pcm = Audio(samples, 32000).to_pcm16()
    assert pcm.dtype == np.int16
    assert pcm.tolist() == [0, 32767, -32768, 32767, -32768, 1, -2, 32767]


def test_audio_refuses_what_is_no_speech():
    with pytest.raises(ShapeError, match=r"\(1, 3\)"):
        Audio(np.zeros((1, 3), np.float32), 32000)
    with pytest.raises(ShapeError, match="float64"):
        Audio(np.zeros(3), 32000)
    with pytest.raises(ShapeError, match="sample rate 0"):
        Audio(np.zeros(3, np.float32), 0)
    with pytest.raises(AudioError, match="1 NaN or infinite samples of 3"):
        Audio(np.array([0, np.nan, 0], np.float32), 32000)


def test_concatenate_joins_one_rate():
    one, two = Audio(tone(0.5, 8000), 8000), Audio(tone(0.25, 8000), 8000)
    joined = Audio.concatenate(part for part in (one, two))
    assert joined.duration_s == 0.75
    np.testing.assert_array_equal(joined.samples, np.concatenate([one.samples, two.samples]))
    with pytest.raises(AudioError, match=r"\[8000, 16000\]"):
        Audio.concatenate([one, Audio(tone(0.5, 16000), 16000)])
    with pytest.raises(AudioError, match="no parts"):
        Audio.concatenate([])


@pytest.mark.parametrize(
    ("name", "file_format", "subtype", "tolerance"),
    [
        ("out.wav", "WAV", "PCM_16", 2e-5),
        ("out.WAV", "WAV", "PCM_16", 2e-5),
        ("out", "WAV", "PCM_16", 2e-5),
        ("out.flac", "FLAC", "PCM_16", 2e-5),
        ("out.ogg", "OGG", "VORBIS", 0.05),
    ],
)
def test_save_follows_the_suffix(tmp_path, name, file_format, subtype, tolerance):
    speech = Audio(tone(0.5, 32000), 32000)
    speech.save(tmp_path / name)
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype, info.samplerate, info.channels) == (file_format, subtype, 32000, 1)
    samples, _ = read_audio(tmp_path / name)
    np.testing.assert_allclose(samples[:, 0], speech.samples, rtol=0, atol=tolerance)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_encode_survives_minutes_of_vorbis():
    # In one call of libsndfile this ends the process, so a process of its own tries it.
    program = (
        "import numpy as np; from sovits_runtime.audio import Audio;"
        "print(len(Audio(np.zeros(32000 * 120, np.float32), 32000).encode('ogg')) > 1000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True")


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "out.wav"
    path.write_bytes(b"old")

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(AudioError, match=r"out\.wav: cannot be written \(No space left"):
            Audio(tone(0.1, 8000), 8000).save(path)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("out.wav", b"old")]


def test_save_says_what_is_wrong(tmp_path):
    speech = Audio(tone(0.1, 8000), 8000)
    with pytest.raises(AudioError, match="'m4a', expected one of wav, flac, ogg, mp3"):
        speech.save(tmp_path / "out.m4a")
    with pytest.raises(AudioError, match="No such file"):
        speech.save(tmp_path / "nowhere" / "out.wav")
    with pytest.raises(AudioError, match="cannot be written"):
        speech.save(tmp_path)
    with pytest.raises(AudioError, match="no samples"):
        Audio(np.zeros(0, np.float32), 8000).save(tmp_path / "out.wav")
    with pytest.raises(AudioError, match="cannot write mp3 at 7 Hz"):
        Audio(speech.samples, 7).save(tmp_path / "out.mp3")
    assert list(tmp_path.iterdir()) == []


# --- reference recordings ---


@pytest.mark.parametrize(
    ("rate", "count"), [(16000, 48000), (16000, 160000), (44100, 132300), (44100, 441000)]
)
def test_reference_lengths_at_the_edges_pass(rate, count):
    check_reference(tone(count / rate, rate)[:, None], rate)


@pytest.mark.parametrize(
    ("rate", "count", "message"),
    [
        (16000, 47999, r"got 3\.00 s \(47999 samples at 16 kHz\)"),
        (16000, 160001, r"got 10\.00 s \(160001 samples at 16 kHz\)"),
        (44100, 44100, r"got 1\.00 s .*longer"),
        (44100, 44100 * 12, r"got 12\.00 s .*cut it"),
    ],
)
def test_reference_length_is_checked(rate, count, message):
    with pytest.raises(AudioError, match=message):
        check_reference(tone(count / rate, rate), rate)


def test_reference_must_be_heard(caplog):
    with pytest.raises(AudioError, match="got silence"):
        check_reference(np.zeros((80000, 2), np.float32), 16000)
    voice = tone(5, 16000)
    with pytest.raises(AudioError, match="cancel"):
        check_reference(np.stack([voice, -voice], axis=1), 16000)
    with caplog.at_level(logging.WARNING):
        check_reference(voice, 16000)
        assert caplog.text == ""
        check_reference(voice * np.float32(0.01), 16000)
        assert "very quiet" in caplog.text
        caplog.clear()
        check_reference(np.clip(voice * np.float32(8), -1, 1), 16000)
        assert "clipped" in caplog.text


def test_mono_averages_channels():
    samples = np.array([[1.0, 0.0, 0.5], [0.0, 0.0, -0.75]], np.float32)
    np.testing.assert_array_equal(mono(samples), np.array([0.5, -0.25], np.float32))
    np.testing.assert_array_equal(mono(samples[0]), samples[0])
    with pytest.raises(ShapeError, match=r"\(1, 2, 3\)"):
        mono(samples[None])


def test_hubert_wave_is_16_khz_with_a_silent_tail():
    plain = tone(3.2, 16000)
    wave = hubert_wave(np.stack([plain, plain], axis=1), 16000)
    np.testing.assert_array_equal(wave, np.pad(plain, (0, 9600)))

    wave = hubert_wave(tone(3.2, 44100), 44100)
    assert (wave.dtype, wave.shape) == (np.float32, (51200 + 9600,))
    np.testing.assert_array_equal(wave[51200:], 0)
    np.testing.assert_allclose(wave[500:50700], plain[500:50700], atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 100, 44101])
def test_hubert_wave_has_librosa_length(count):
    assert len(hubert_wave(tone(count / 44100, 44100), 44100)) == -(-count * 160 // 441) + 9600


@pytest.mark.parametrize(("peak", "divisor"), [(0.9, 1.0), (1.0, 1.0), (1.5, 1.5), (2.0, 2.0), (5.0, 2.0)])
def test_reference_wave_tames_peaks(peak, divisor):
    samples = tone(1, 32000, level=0.5)
    samples[100] = -peak
    wave = reference_wave(samples, 32000)
    assert wave.dtype == np.float32
    np.testing.assert_allclose(wave, samples / divisor, rtol=1e-6)


def test_reference_wave_is_32_khz_mono():
    left, right = tone(1, 48000), tone(1, 48000, level=0.1)
    wave = reference_wave(np.stack([left, right], axis=1), 48000)
    assert wave.shape == (32000,)
    np.testing.assert_allclose(wave[50:-50], tone(1, 32000, level=0.3)[50:-50], atol=5e-3)


def test_importing_loads_neither_soundfile_nor_soxr_nor_torch():
    program = (
        "import sys, sovits_runtime.audio, sovits_runtime.drawing.spectrogram_image;"
        "print(sorted({'soundfile', 'soxr', 'torch', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
