"""Packs as archives: names in every encoding, and what a stranger may have put into one."""

import io
import stat
import tarfile
import zipfile

import pytest

from sovits_exporter.folders import archives
from sovits_exporter.folders.archives import place_in, unpack
from sovits_runtime.errors import CheckpointError

MORNING = "早上好，今天天气真不错。"


@pytest.fixture
def pack(weights, make_clip, tmp_path):
    """The files of a pack, with Chinese names and spaces: name in the archive -> file."""
    folder = tmp_path / "pack"
    return {
        "派蒙 一/派蒙 一-e10.ckpt": weights.put("v2", folder / "g.ckpt"),
        "派蒙 一/派蒙 一_e8_s1.pth": weights.put("v2", folder / "s.pth"),
        f"派蒙 一/{MORNING}.wav": make_clip(folder / "c.wav"),
        "派蒙 一/read me.exe": make_clip(folder / "x.wav"),
    }


class NamedZip(zipfile.ZipInfo):
    """An entry whose name is written in an encoding of one's choice, without the flag of UTF-8."""

    encoding = "cp936"

    def _encodeFilenameFlags(self):  # noqa: N802 - the name is zipfile's
        return self.filename.encode(self.encoding), self.flag_bits & ~0x800


def make_zip(path, files, encoding: str | None = None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            content = file.read_bytes()
            if encoding is None:
                archive.writestr(name, content)
            else:
                info = NamedZip(name)
                info.encoding = encoding
                archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize("encoding", [None, "cp936", "utf-8"])
def test_zip(pack, search, tmp_path, encoding):
    found = search(make_zip(tmp_path / "派蒙.zip", pack, encoding))
    assert {name: voice["references"]["default"]["text"] for name, voice in found.items()} == {
        "派蒙 一": MORNING
    }


@pytest.mark.parametrize(
    ("encoding", "name", "words", "language"),
    [
        ("cp932", "八重神子", "おはようございます。いい天気ですね。", "ja"),
        ("cp950", "鍾離", "早安，今天的天氣真是不錯。", "zh"),
        ("cp936", "鍾離", "早安，今天的天氣真是不錯。", "zh"),
        ("cp936", "八重神子", "おはようございます。いい天気ですね。", "ja"),
        ("cp936", "钟离", "早上好，今天天气真不错。", "zh"),
    ],
)
def test_a_zip_of_another_windows(pack, search, tmp_path, encoding, name, words, language):
    """Names in the code pages of Japan and Taiwan are read as what they are, and not as GBK."""
    gpt, sovits, wav, _ = pack.values()
    files = {
        f"{name}/{name}-e5.ckpt": gpt,
        f"{name}/{name}_e5_s9.pth": sovits,
        f"{name}/{words}.wav": wav,
    }
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for place, file in files.items():
            info = NamedZip(place)
            info.encoding = encoding
            archive.writestr(info, file.read_bytes(), zipfile.ZIP_DEFLATED)
    ((found, voice),) = search(tmp_path / "a.zip").items()
    said = voice["references"]["default"]
    assert (found, said["text"], said["language"]) == (name, words, language)


def test_an_archive_of_an_archive(pack, refusal, tmp_path):
    inner = make_zip(tmp_path / "inner.zip", pack, None)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(inner, "voices/inner.zip")
        archive.writestr("readme.txt", "hello")
    code, said = refusal("build", "--from", tmp_path / "outer.zip")
    assert (code, "but another archive, 'voices/inner.zip'; unpack it" in said) == (1, True)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.xz"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp936"])
def test_tar(pack, search, tmp_path, suffix, encoding):
    path = tmp_path / f"voice.{suffix}"
    mode = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.xz": "w:xz"}[suffix]
    with tarfile.open(path, mode, encoding=encoding, format=tarfile.GNU_FORMAT) as archive:
        for name, file in pack.items():
            if suffix != "tar.xz" or not name.endswith(".pth"):
                archive.add(file, name)
    if suffix == "tar.xz":  # slow to pack: without its SoVITS it is only unpacked
        unpack(path, tmp_path / "out")
        assert (tmp_path / "out" / "派蒙 一" / f"{MORNING}.wav").is_file()
        return
    assert search(path)["派蒙 一"]["references"]["default"]["text"] == MORNING


def test_7z(pack, search, tmp_path):
    py7zr = pytest.importorskip("py7zr")
    path = tmp_path / "voice.7z"
    with py7zr.SevenZipFile(path, "w", filters=[{"id": py7zr.FILTER_COPY}]) as archive:
        for name, file in pack.items():
            archive.write(file, name)
    assert search(path)["派蒙 一"]["references"]["default"]["text"] == MORNING


def test_7z_without_py7zr_names_the_package(refusal, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "py7zr", None)
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    code, said = refusal("build", "--from", tmp_path / "a.7z", "--list")
    assert (code, 'takes py7zr to unpack; pip install "sovits-export[7z]"' in said) == (1, True)


def test_a_folder_of_archives(pack, search, tmp_path):
    (tmp_path / "packs").mkdir()
    make_zip(tmp_path / "packs" / "一.zip", pack, "cp936")
    make_zip(tmp_path / "packs" / "b.zip", {n.replace("派蒙 一", "b"): f for n, f in pack.items()})
    assert list(search(tmp_path / "packs")) == ["b", "派蒙 一"]


def test_only_what_a_voice_is_made_of_is_taken_out(pack, tmp_path):
    unpack(make_zip(tmp_path / "a.zip", pack), tmp_path / "out")
    names = sorted(path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert names == [".ckpt", ".pth", ".wav"]


@pytest.mark.parametrize(
    "name",
    [
        "../a.pth",
        "a/../../b.pth",
        "/etc/a.pth",
        "\\a.pth",
        "..\\a.pth",
        "C:\\a.pth",
        "c:a.pth",
        "a\n.pth",
        "",
        "//host/a.pth",
    ],
)
def test_names_that_lead_elsewhere(refusal, tmp_path, name):
    assert place_in(name) is None
    if not name:
        return
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    code, said = refusal("build", "--from", tmp_path / "a.zip", "--list")
    assert (code, "leads out of its folder; take another copy of the pack" in said) == (1, True)
    assert len(said.strip().splitlines()) <= 2


@pytest.mark.parametrize("name", ["con.wav", "NUL.ckpt", "a/com1.pth"])
def test_names_of_devices_are_changed(name):
    assert str(place_in(name)).rsplit("/", 1)[-1].startswith("_")


def test_a_question_in_a_name_stays_where_the_system_can_write_it(monkeypatch):
    assert str(place_in("a?/b: c.wav")) == "a?/b: c.wav"
    monkeypatch.setattr(archives.os, "name", "nt")
    assert str(place_in("a?/b: c.wav")) == "a_/b_ c.wav"


def test_links_and_devices(refusal, tmp_path):
    info = zipfile.ZipInfo("a.pth")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    for kind, name in (
        (tarfile.SYMTYPE, "s"),
        (tarfile.LNKTYPE, "h"),
        (tarfile.CHRTYPE, "c"),
        (tarfile.FIFOTYPE, "p"),
    ):
        entry = tarfile.TarInfo("a.pth")
        entry.type, entry.linkname = kind, "/etc/passwd"
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            tar.addfile(entry)
    for path in sorted([*tmp_path.glob("*.tar"), tmp_path / "a.zip"]):
        code, said = refusal("build", "--from", path, "--list")
        assert (code, "is a link or a device, which no voice pack needs" in said) == (1, True), path


def test_bombs(refusal, tmp_path, monkeypatch):
    with (
        zipfile.ZipFile(tmp_path / "ratio.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.pth", "w") as out,
    ):
        for _ in range(80):
            out.write(bytes(1 << 20))
    with zipfile.ZipFile(tmp_path / "text.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", bytes(archives._MOST_TEXT_BYTES + 1))
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for at in range(20):
            archive.writestr(f"{at}.txt", b"")
    monkeypatch.setattr(archives, "_MOST_ENTRIES", 10)
    monkeypatch.setattr(archives, "_MOST_RATIO", 5)
    for name, why in (
        ("ratio", "far more than its own size"),
        ("text", "bytes)"),
        ("many", "more than 10 entries"),
    ):
        code, said = refusal("build", "--from", tmp_path / f"{name}.zip", "--list")
        assert (code, why in said, "is no voice pack as people share them" in said) == (1, True, True), said


def test_a_size_that_lies(tmp_path, monkeypatch):
    """An entry that unpacks to more than its header says is stopped while it is written."""
    monkeypatch.setattr(archives, "_SMALL", 1000)
    monkeypatch.setattr(archives, "_MOST_RATIO", 1)
    path = tmp_path / "a.zip"
    path.write_bytes(b"")
    entry = archives._Entry("a.pth", 10, lambda: io.BytesIO(bytes(5000)))
    with pytest.raises(CheckpointError, match="larger than they are said to be"):
        archives._take(path, iter([entry]), tmp_path / "out")


def test_a_full_disk_is_said_before_anything_is_written(refusal, pack, tmp_path, monkeypatch):
    monkeypatch.setattr(
        archives.shutil, "disk_usage", lambda folder: __import__("types").SimpleNamespace(free=1 << 20)
    )
    code, said = refusal("build", "--from", make_zip(tmp_path / "a.zip", pack), "--list")
    assert (code, "1 MiB free; name a larger disk in TMPDIR" in said) == (1, True)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.7z"])
def test_an_archive_that_is_cut_off(refusal, pack, tmp_path, name):
    if name.endswith("7z"):
        pytest.importorskip("py7zr")
    whole = make_zip(tmp_path / "whole.zip", pack).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] if name == "a.zip" else b"\x1f\x8b" + bytes(100))
    code, said = refusal("build", "--from", tmp_path / name, "--list")
    assert (code, "cannot be unpacked" in said, "download it again" in said) == (1, True, True), said


def test_a_password(refusal, tmp_path):
    info = zipfile.ZipInfo("a.pth")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"x")
        info.flag_bits |= 1
    code, said = refusal("build", "--from", tmp_path / "a.zip", "--list")
    assert (code, "is protected by a password" in said) == (1, True), said


def test_nothing_of_an_archive_stays_behind(pack, search, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    search(make_zip(tmp_path / "a.zip", pack))
    assert list((tmp_path / "tmp").iterdir()) == []
