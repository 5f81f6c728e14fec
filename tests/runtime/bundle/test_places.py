"""What lies where a file is written: devices and pipes are written as they are, links followed, modes kept."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sovits_runtime.audio import Audio
from sovits_runtime.bundle.files import write_file, write_files
from sovits_runtime.bundle.places import refuse_source
from sovits_runtime.errors import AudioError, SovitsError
from sovits_runtime.speech.reference import Reference

posix = pytest.mark.skipif(os.name != "posix", reason="devices, pipes and modes are POSIX")
SOUND = Audio(np.zeros(320, np.float32), 32000)


def save_audio(path):
    SOUND.save(path)


def save_reference(path):
    ids = np.zeros(3, np.int64)
    zeros = np.zeros((3, 1024), np.float32)
    Reference("x", ids, zeros, ids, np.zeros((1, 4, 1), np.float32)).save(path)


def save_file(path):
    with write_file(path) as file:
        file.write(b"new")


def save_report(path):
    write_files(path.parent, {path.name: b"new", "other": b"1"})


SAVERS = [save_audio, save_reference, save_file, save_report]


@posix
@pytest.mark.parametrize("save", SAVERS)
def test_a_device_stays_one(tmp_path, save):
    device = tmp_path / "null.wav"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        device.symlink_to("/dev/null")
    save(device)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@posix
@pytest.mark.parametrize("save", SAVERS)
def test_who_reads_a_pipe_gets_the_content(tmp_path, save):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    save(pipe)
    reader.join(20)
    assert len(got) == 1
    assert got[0]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@posix
@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_and_a_mode_is_kept(tmp_path, save, there):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    real, link = elsewhere / "real.wav", tmp_path / "link.wav"
    link.symlink_to("elsewhere/real.wav")
    if there:
        real.write_bytes(b"old")
        real.chmod(0o600)
    save(link)
    assert link.is_symlink()
    assert real.read_bytes() not in (b"", b"old")
    if there:
        assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert [path.name for path in elsewhere.iterdir()] == ["real.wav"]


@posix
def test_secret_content_is_never_readable_by_others(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with write_file(path):
        (part,) = tmp_path.glob(".secret.*.part")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_stays(tmp_path):
    path = tmp_path / "mine.wav"
    path.write_bytes(b"old")
    path.chmod(0o400)
    with pytest.raises(AudioError, match=r"mine\.wav: cannot be written"):
        SOUND.save(path)
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files")
@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1"])
def test_an_open_file_is_written_through_a_pipe_and_refused_as_a_file(tmp_path, name):
    code = (
        "import sys, numpy as np; from sovits_runtime.audio import Audio\n"
        "Audio(np.zeros(320, np.float32), 32000).save(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, name]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.startswith(b"RIFF")
    with (tmp_path / "out.wav").open("wb") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    assert done.returncode == 1
    assert "stands for a file that is open" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]


def test_an_error_names_the_file_and_not_its_hidden_part(tmp_path):
    with pytest.raises(OSError, match="none") as caught:
        save_file(tmp_path / "none" / "a")
    assert caught.value.filename == str(tmp_path / "none" / "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder") as caught:
        save_file(tmp_path / "folder")
    assert caught.value.filename == str(tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_long_name_can_be_written(tmp_path):
    path = tmp_path / ("ü" * 124 + ".wav")
    save_file(path)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("output", ["source", "./source", "x/../source", "link", "."])
def test_what_is_read_is_not_written_over(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "source").mkdir()
    (tmp_path / "link").symlink_to("source")
    with pytest.raises(SovitsError, match="would replace source, of which it is to be made"):
        refuse_source(Path(output), [Path("source"), Path("x")])
    refuse_source(Path("another"), [Path("source")])
    refuse_source(Path("source/within"), [Path("source")])
