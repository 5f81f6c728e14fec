"""Every format, streamed and whole, decoded again: as many samples as went in, the same sound, no gap."""

import gc
import io
import os
import shutil
import struct
import subprocess
import sys

import av
import numpy as np
import pytest
import soundfile

from sovits_runtime.errors import AudioError, ShapeError
from sovits_server.problems import BadRequestError
from sovits_server.sound import FORMATS, Encoder, EncoderMissingError, can_write, writers

DELAYED = {"mp3": 1105, "aac": 1024}
"""Samples before the sound, of formats whose streams cannot say so."""
FRAME = {"mp3": 1152, "aac": 1024}


def tone(count, rate, hz=440.0):
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(count) / rate)).astype(np.float32)


def streamed(format, samples, rate, *, piece=3001, **options):
    encoder = Encoder(format, sample_rate=rate, **options)
    parts = [encoder.feed(samples[start : start + piece]) for start in range(0, len(samples), piece)]
    return encoder, [*parts, encoder.finish()]


def decoded(content, container=None):
    with av.open(io.BytesIO(content), format=container) as file:
        stream = file.streams.audio[0]
        frames = [frame.to_ndarray().reshape(-1) for frame in file.decode(stream)]
        wave = np.concatenate(frames)
        if wave.dtype == np.int16:
            wave = wave.astype(np.float32) / 32768.0
        return wave.astype(np.float32), stream.codec_context.sample_rate


def best_shift(wave, original, most):
    """Where `original` begins in `wave`."""
    head = original[: len(original) - most]
    scores = [float(np.dot(wave[shift : shift + len(head)], head)) for shift in range(most)]
    return int(np.argmax(scores))


def noise(count, rate):
    """Something that is nowhere like itself, so that a gap or a shift shows."""
    rng = np.random.default_rng(7)
    smooth = np.convolve(rng.standard_normal(count + 32), np.hanning(33) / 16, mode="valid")
    return (0.2 * smooth[:count]).astype(np.float32)


@pytest.mark.parametrize("rate", [24000, 32000, 48000])
@pytest.mark.parametrize("count", [1, 2304, 50001])
@pytest.mark.parametrize("format", ["flac", "wav"])
def test_lossless_formats_give_every_sample_back(format, count, rate):
    samples = noise(count, rate)
    encoder, parts = streamed(format, samples, rate)
    wave, decoded_rate = decoded(b"".join(parts))
    assert encoder.rate == decoded_rate == rate
    assert len(wave) == count
    assert np.abs(wave - samples).max() <= 0.5001 / 32768


@pytest.mark.parametrize("rate", [24000, 48000])
@pytest.mark.parametrize("count", [1, 960, 50001])
def test_opus_has_exactly_the_samples_that_went_in(count, rate):
    wave, decoded_rate = decoded(b"".join(streamed("opus", tone(count, rate), rate)[1]))
    assert decoded_rate == 48000  # that of every Opus decoder
    assert len(wave) == pytest.approx(count * 48000 / rate, abs=1)


def test_opus_of_a_voice_at_32_khz_is_resampled_and_keeps_its_pitch():
    encoder, parts = streamed("opus", tone(64000, 32000), 32000)
    wave, _ = decoded(b"".join(parts))
    assert encoder.rate == 48000
    assert len(wave) == pytest.approx(96000, abs=1)
    spectrum = np.abs(np.fft.rfft(wave[:48000]))
    assert int(np.argmax(spectrum)) == 440


def chirp(count, rate):
    """From 300 Hz to 3 kHz: nowhere like itself, and nothing that an encoder replaces, as it may do with noise."""
    phase = np.cumsum(np.linspace(300, 3000, count)) / rate
    return (0.3 * np.sin(2 * np.pi * phase)).astype(np.float32)


@pytest.mark.parametrize("rate", [24000, 32000, 48000])
@pytest.mark.parametrize("format", ["mp3", "aac"])
def test_streamed_frames_hold_the_sound_in_one_piece(format, rate):
    samples = chirp(50001, rate)
    wave, decoded_rate = decoded(b"".join(streamed(format, samples, rate)[1]))
    assert decoded_rate == rate
    assert 0 <= len(wave) - len(samples) <= DELAYED[format] + 2 * FRAME[format]
    shift = best_shift(wave, samples, 2400)
    heard = wave[shift : shift + len(samples)]
    heard = np.pad(heard, (0, len(samples) - len(heard)))
    inner = slice(2000, -2000)
    error = heard[inner] - samples[inner]
    assert np.std(error) < 0.1 * np.std(samples[inner])
    blocks = np.std(error[: len(error) // 500 * 500].reshape(-1, 500), axis=1)
    assert blocks.max() < 0.1 * np.std(samples), "a gap or a shift leaves more than all of it"


def test_a_whole_mp3_says_its_length_and_is_cut_to_it():
    samples = noise(50001, 32000)
    wave, _ = decoded(Encoder("mp3", sample_rate=32000).whole(samples))
    assert len(wave) == 50001
    assert best_shift(wave, samples, 100) == 0


def test_a_streamed_mp3_has_no_header_of_a_length_it_does_not_know():
    content = b"".join(streamed("mp3", tone(50000, 32000), 32000)[1])
    assert content[:2] == b"\xff\xfb"
    assert b"Xing" not in content
    assert b"Info" not in content
    assert b"ID3" not in content


def test_a_streamed_wav_has_the_sizes_that_ffmpeg_writes_to_a_pipe():
    parts = streamed("wav", tone(10000, 32000), 32000)[1]
    assert len(parts[0]) == 44 + 2 * 3001
    fields = struct.unpack("<4sI4s4sIHHIIHH4sI", parts[0][:44])
    assert fields[1] == fields[-1] == 0xFFFFFFFF
    assert fields[5:11] == (1, 1, 32000, 64000, 2, 16)


def test_a_whole_wav_is_read_by_everything():
    content = Encoder("wav", sample_rate=24000).whole(tone(4801, 24000))
    assert struct.unpack("<I", content[4:8])[0] == len(content) - 8
    samples, rate = soundfile.read(io.BytesIO(content))
    assert (len(samples), rate) == (4801, 24000)


@pytest.mark.parametrize("rate", [24000, 32000, 48000])
def test_pcm_has_the_rate_of_openai_and_raw_that_of_the_voice(rate):
    samples = tone(rate, rate)
    encoder, parts = streamed("pcm", samples, rate)
    pcm = np.frombuffer(b"".join(parts), "<i2") / 32768.0
    assert encoder.media_type == "audio/pcm;rate=24000"
    assert len(pcm) == 24000
    assert np.abs(pcm[1000:-1000] - tone(24000, 24000)[1000:-1000]).max() < 1e-3
    raw = np.frombuffer(b"".join(streamed("raw", samples, rate)[1]), "<i2")
    assert len(raw) == rate


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "ogg"])
def test_the_bytes_do_not_depend_on_how_the_samples_came(format):
    samples = noise(20000, 32000)
    small, large = (b"".join(streamed(format, samples, 32000, piece=n)[1]) for n in (701, 20000))
    assert small == large


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav", "pcm", "raw"])
def test_sound_is_sent_while_it_is_being_made(format):
    """Within a second of speech there are bytes, and later pieces bring more."""
    parts = streamed(format, noise(96000, 32000), 32000, piece=8000)[1]
    sizes = np.cumsum([len(part) for part in parts])
    assert sizes[3] > 0
    assert sizes[7] > sizes[3]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac"])
def test_a_stream_that_nobody_finishes_leaves_no_threads(format):
    """A client left. Nothing waits for the garbage collector, which a server may not run for long."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        before = set(os.listdir("/proc/self/task"))
        for _ in range(3):
            left, whole = (Encoder(format, sample_rate=32000) for _ in range(2))
            left.feed(noise(8000, 32000))
            whole.whole(noise(8000, 32000))
        del left, whole
        assert set(os.listdir("/proc/self/task")) <= before
    finally:
        if collecting:
            gc.enable()


def test_ogg_is_one_vorbis_file():
    samples = noise(50001, 32000)
    content = b"".join(streamed("ogg", samples, 32000)[1])
    wave, rate = soundfile.read(io.BytesIO(content))
    assert soundfile.info(io.BytesIO(content)).subtype == "VORBIS"
    assert (len(wave), rate) == (50001, 32000)


def test_minutes_of_vorbis_do_not_overflow_a_stack():
    code = (
        "import numpy as np; from sovits_server.sound import Encoder\n"
        "assert len(Encoder('ogg', sample_rate=32000).whole(np.zeros(32000 * 120, np.float32))) > 1000"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("format", ["ogg", "wav", "aac"])
def test_separate_pieces_are_whole_files(format):
    samples = noise(30000, 32000)
    _, parts = streamed(format, samples, 32000, piece=10000, separate=True)
    assert parts[-1] == b""
    for part in parts[:3]:
        wave, rate = decoded(part) if format == "aac" else soundfile.read(io.BytesIO(part))
        assert rate == 32000
        assert 10000 <= len(wave) <= 10000 + (3 * 1024 if format == "aac" else 0)


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_at_all_is_no_error(format):
    encoder = Encoder(format, sample_rate=32000)
    assert encoder.feed(np.zeros(0, np.float32)) == b""
    content = encoder.finish()
    assert bool(content) == (format in {"wav", "flac", "ogg"})  # of the others it is none


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav", "ogg"])
def test_ffprobe_knows_it(format, tmp_path):
    ffprobe = shutil.which("ffprobe")
    if ffprobe is None:
        pytest.skip("no ffprobe here")
    path = tmp_path / "sound"
    path.write_bytes(b"".join(streamed(format, tone(32000, 32000), 32000)[1]))
    command = [ffprobe, "-v", "error", "-show_entries", "stream=codec_name,channels", "-of", "csv=p=0", path]
    answer = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    names = {"wav": "pcm_s16le", "ogg": "vorbis"}
    assert answer.stdout.strip() == f"{names.get(format, format)},1"
    assert answer.stderr == ""


def test_the_rate_of_a_voice_that_a_format_lacks_goes_up():
    assert Encoder("mp3", sample_rate=20000).rate == 22050
    assert Encoder("mp3", sample_rate=96000).rate == 48000
    assert Encoder("flac", sample_rate=20000).rate == 20000


def test_without_pyav_soundfile_writes_what_it_can(monkeypatch):
    monkeypatch.setattr(writers, "has_av", lambda codec: False)
    samples = noise(50001, 24000)
    for format in ("mp3", "opus", "flac"):
        wave, _ = decoded(b"".join(streamed(format, samples, 24000)[1]))
        ratio = 2 if format == "opus" else 1
        assert len(wave) == pytest.approx(50001 * ratio, abs=2 * 1152 if format == "mp3" else 1)
    assert [name for name in FORMATS if not can_write(name)] == ["aac"]
    with pytest.raises(
        EncoderMissingError, match=r"ask for one of mp3, opus, flac, .*sovits-export\[serve\]"
    ):
        Encoder("aac", sample_rate=24000)


def test_without_both_plain_samples_are_left(monkeypatch):
    monkeypatch.setattr(writers, "has_av", lambda codec: False)
    monkeypatch.setattr(writers, "has_soundfile", lambda form: False)
    assert [name for name in FORMATS if can_write(name)] == ["wav", "pcm", "raw"]
    with pytest.raises(EncoderMissingError, match="format ogg: this server has no encoder"):
        Encoder("ogg", sample_rate=24000, separate=True)


@pytest.mark.parametrize("format", ["silk", "", "MP4", "x" * 5000, None, 3])
def test_an_unknown_format_is_named(format):
    with pytest.raises(BadRequestError, match="expected one of mp3, opus, aac") as error:
        Encoder(format, sample_rate=32000)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_no_sound_is_refused(format):
    encoder = Encoder(format, sample_rate=32000)
    with pytest.raises(AudioError, match="NaN"):
        encoder.feed(np.full(100, np.nan, np.float32)) + encoder.finish()
    for wrong in (np.zeros(10), np.zeros((10, 1), np.float32), [0.0], None):
        with pytest.raises(ShapeError, match=r"expected \[n\] float32|finished"):
            encoder.feed(wrong)


def test_a_finished_encoder_takes_nothing_more():
    encoder = Encoder("mp3", sample_rate=32000)
    encoder.finish()
    for again in (
        lambda: encoder.feed(tone(10, 32000)),
        encoder.finish,
        lambda: encoder.whole(tone(9, 32000)),
    ):
        with pytest.raises(ShapeError, match="finished already"):
            again()
