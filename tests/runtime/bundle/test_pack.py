"""Voice packs: what was built comes back bit for bit, whoever packed it; what is wrong is named in one line."""

import hashlib
import json
import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime import Synthesizer
from sovits_runtime.bundle import Bundle, manifest_digest
from sovits_runtime.bundle.files import FileRecord
from sovits_runtime.bundle.pack import packs_folder
from sovits_runtime.bundle.pack_members import check_pack
from sovits_runtime.errors import BundleError


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def small(tiny_bundle, folder) -> Path:
    """A bundle whose files are those of the tiny voice, large ones shrunk: none is run here. Do not change it."""
    place = folder / "small"
    manifest = json.loads((tiny_bundle / "manifest.json").read_text(encoding="utf-8"))
    shared = tiny_bundle.parent / "shared"
    for part in manifest["shared"].values():
        part["files"] = written(shared / part["folder"], folder / "shared" / part["folder"], part["files"])
    manifest["files"] = written(tiny_bundle, place, manifest["files"])
    manifest["digest"] = manifest_digest(manifest)
    (place / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return place


def written(source, target, names):
    """Writes files of a bundle, large ones made small, and returns their records."""
    rng, records = np.random.default_rng(1), {}
    for name in names:
        content = (source / name).read_bytes()
        if len(content) > 200_000:
            content = rng.normal(size=70_000).astype("<f2").astype("<f4").tobytes()
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        records[name] = FileRecord.of(path).to_json()
    return records


@pytest.fixture(scope="module")
def pack(small, folder) -> Path:
    """It as one file; do not change it."""
    path = folder / "tiny.sovits"
    run("pack", small, "-o", path, "--name", "tiny", "--licence", "CC-BY-4.0")
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOVITS_EXPORT_CACHE", str(tmp_path / "cache"))


def refused(path, *arguments):
    """What the command line says, in one line, and nothing is left in the cache."""
    lines = run("inspect", path, *arguments, code=1).strip().splitlines()
    assert len(lines) == 1, lines
    left = [p for p in packs_folder().rglob("*.onnx")] if packs_folder().exists() else []
    assert not [p for p in left if "parts" not in p.parts], left
    return lines[0]


def rewritten(pack, target, change):
    """A copy of a pack with other members.

    Args:
        change: Takes the members, name -> content, and changes them.
    """
    with zipfile.ZipFile(pack) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def with_manifest(members, change):
    """Changes the manifest of a pack, as somebody does who knows how its digest is made."""
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    manifest["digest"] = manifest_digest(manifest)
    members["manifest.json"] = json.dumps(manifest).encode()
    members["pack.json"] = json.dumps(
        {**json.loads(members["pack.json"]), "digest": manifest["digest"]}
    ).encode()


# There and back


def test_a_pack_is_the_bundle_bit_for_bit(pack, small):
    bundle, original = Bundle.open(pack, full=True), Bundle.open(small)
    assert bundle.manifest == original.manifest
    for name in original.manifest["files"]:
        assert (bundle.path / name).read_bytes() == (small / name).read_bytes()
    for name in original.graph_names:
        assert bundle.graph_path(name).read_bytes() == original.graph_path(name).read_bytes()
    assert check_pack(pack) > pack.stat().st_size


def test_it_speaks_as_the_bundle_does(tiny_bundle, tmp_path, voice, reference):
    run("pack", tiny_bundle, "-o", tmp_path / "tiny.sovits")
    with Synthesizer.load(tmp_path / "tiny.sovits", threads=1) as packed:
        mine = packed.synthesize(["HH", "AY1", "."], reference)
    assert (mine.samples == voice.synthesize(["HH", "AY1", "."], reference).samples).all()


def test_it_is_unpacked_once_and_parts_that_voices_share_once_for_all(pack):
    first = Bundle.open(pack)
    weights = first.graph_path("hubert").with_suffix(".weights")
    times = {path: path.stat().st_mtime_ns for path in packs_folder().rglob("*") if path.is_file()}
    assert Bundle.open(pack).path == first.path
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert weights.stat().st_nlink == 2  # the part, and this bundle's link to it


def test_what_was_damaged_in_the_cache_is_unpacked_again(pack):
    bundle = Bundle.open(pack)
    file = bundle.path / "graphs" / "gpt_step.onnx"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    assert Bundle.open(pack).path == bundle.path
    assert file.read_bytes() == content


def test_the_same_bundle_gives_the_same_bytes(pack, small, tmp_path):
    run("pack", small, "-o", tmp_path / "tiny.sovits", "--name", "tiny", "--licence", "CC-BY-4.0")
    assert (tmp_path / "tiny.sovits").read_bytes() == pack.read_bytes()


def test_without_its_shared_parts_it_takes_those_of_another_pack_or_those_beside_it(pack, small, tmp_path):
    light = tmp_path / "light" / "tiny.sovits"
    light.parent.mkdir()
    said = run("pack", small, "-o", light, "--name", "tiny", "--without-shared")
    assert "needs the shared parts" in said
    assert light.stat().st_size < pack.stat().st_size
    assert "refers to shared parts" in run("inspect", light, code=1)
    shutil.copytree(small.parent / "shared", light.parent / "shared")
    assert Bundle.open(light).shared == light.parent / "shared"
    shutil.rmtree(light.parent / "shared")
    run("inspect", light, "--shared", small.parent / "shared")
    Bundle.open(pack)
    assert Bundle.open(light).graph_path("hubert").is_file()


def test_a_folder_for_a_hub_has_a_card_and_opens(small, tmp_path):
    folder = tmp_path / "hub"
    run("pack", small, "--folder", "-o", folder, "--name", "小雨", "--licence", "fan use only")
    assert sorted(p.name for p in folder.iterdir()) == [".gitattributes", "README.md", "小雨.sovits"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: other\n")
    for words in ("# 小雨", "fan use only", "chinese-hubert-base (TencentGameMate): MIT", "demo-gpt.ckpt"):
        assert words in card
    assert Bundle.open(folder).digest == Bundle.open(small).digest


def test_pack_says_what_it_did_for_machines(small, tmp_path):
    answer = CliRunner().invoke(main, ["pack", str(small), "-o", str(tmp_path / "a.sovits"), "--json"])
    told = json.loads(answer.stdout)
    assert told["bytes"] == (tmp_path / "a.sovits").stat().st_size
    assert told["sha256"] == hashlib.sha256((tmp_path / "a.sovits").read_bytes()).hexdigest()


def test_a_damaged_bundle_is_not_packed(small, tmp_path):
    shutil.copytree(small.parent / "shared", tmp_path / "shared")
    copied_bundle = Path(shutil.copytree(small, tmp_path / "voice"))
    path = copied_bundle / "graphs" / "gpt.weights"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "was changed since it was built" in run("pack", copied_bundle, "-o", tmp_path / "a.sovits", code=1)
    assert not (tmp_path / "a.sovits").exists()


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", 'a"b', "a\nb"])
def test_names_that_are_no_file_names_are_refused(small, name):
    assert "is no name for a pack" in run("pack", small, "--name", name, code=1)


# Downloads that went wrong


def test_half_a_download_a_web_page_and_an_lfs_pointer_are_named(pack, tmp_path):
    path = tmp_path / "a.sovits"
    path.write_bytes(pack.read_bytes()[:-1000])
    assert "the voice pack is damaged" in refused(path)
    path.write_bytes(b"<!doctype html><html>")
    assert "not a voice pack, which is a zip file; get the pack again" in refused(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 44324\n")
    assert "is a Git LFS pointer" in refused(path)
    path.write_bytes(b"")
    assert "not a voice pack" in refused(path)


def test_every_byte_counts(pack, tmp_path):
    """A flipped byte is found, or is one that nothing depends on; none is a defect."""
    good, path, found = pack.read_bytes(), tmp_path / "a.sovits", 0
    for at in range(10, len(good), len(good) // 40):
        bad = bytearray(good)
        bad[at] ^= 0x55
        path.write_bytes(bad)
        try:
            check_pack(path)
        except BundleError as error:
            found += str(error).startswith(str(path))
    assert found > 30


# Packs of strangers


def test_a_manifest_that_was_changed_is_refused(pack, tmp_path):
    def change(members):
        members["manifest.json"] = members["manifest.json"].replace(b'"v2"', b'"v1"', 1)

    assert "its digest does not match" in refused(rewritten(pack, tmp_path / "a.sovits", change))


def test_a_manifest_of_another_bundle_is_refused(pack, tmp_path):
    def change(members):
        info = json.loads(members["pack.json"])
        members["pack.json"] = json.dumps({**info, "digest": "0" * 64}).encode()

    assert "is of another bundle than" in refused(rewritten(pack, tmp_path / "a.sovits", change))


def test_a_file_that_was_changed_is_refused_also_with_its_zip_checksum_right(pack, tmp_path):
    def change(members):
        members["graphs/gpt_step.onnx"] = members["graphs/gpt_step.onnx"][:-1] + b"x"

    said = refused(rewritten(pack, tmp_path / "a.sovits", change))
    assert "graphs/gpt_step.onnx in the voice pack is not the file that its manifest lists" in said


def test_a_shared_part_under_anothers_name_is_no_danger_to_others(pack, small, tmp_path):
    """Its folder in the cache is named by its content, so that other voices do not take it for theirs."""

    def change(members):
        def swap(manifest):
            part = manifest["shared"]["hubert"]
            name = next(name for name in part["files"] if name.endswith(".onnx"))
            member = f"shared/{part['folder']}/{name}"
            members[member] = b"evil"
            digest = hashlib.sha256(b"evil").hexdigest()
            part["files"][name] = {"bytes": 4, "sha256": digest, "sampled": digest}

        with_manifest(members, swap)

    evil = Bundle.open(rewritten(pack, tmp_path / "evil.sovits", change))
    honest = Bundle.open(pack)
    assert evil.graph_path("hubert").read_bytes() == b"evil"
    assert honest.graph_path("hubert").read_bytes() == Bundle.open(small).graph_path("hubert").read_bytes()


@pytest.mark.parametrize("name", ["../evil", "/evil", "C:/evil", "a\\..\\..\\evil", "graphs/../../evil"])
@pytest.mark.parametrize("listed", [False, True])
def test_paths_lead_nowhere_outside(pack, tmp_path, name, listed):
    def change(members):
        members[name] = b"evil"
        digest = hashlib.sha256(b"evil").hexdigest()
        if listed:
            record = {"bytes": 4, "sha256": digest, "sampled": digest}
            with_manifest(members, lambda manifest: manifest["files"].update({name: record}))

    said = refused(rewritten(pack, tmp_path / "a.sovits", change))
    assert ("a name in files is" in said) if listed else ("which its manifest does not list" in said)
    assert not [path for path in tmp_path.rglob("evil*")]


def test_a_link_in_a_zip_stays_what_it_is_a_file_with_a_name_in_it(pack, tmp_path):
    """What it leads to is compared with the digest like any content, and no link is made."""
    path = tmp_path / "a.sovits"
    with zipfile.ZipFile(pack) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name)
            content = old.read(name)
            if name == "graphs/gpt_step.onnx":
                entry.external_attr, content = 0o120777 << 16, b"/etc/passwd"
            new.writestr(entry, content)
    assert "is not the file that its manifest lists" in refused(path)


def test_members_that_are_missing_needless_or_there_twice_are_refused(pack, tmp_path):
    path = tmp_path / "a.sovits"
    assert "lacks graphs/gpt_step.onnx" in refused(
        rewritten(pack, path, lambda m: m.pop("graphs/gpt_step.onnx"))
    )
    assert "holds x.py, which" in refused(rewritten(pack, path, lambda m: m.update({"x.py": b"1"})))
    shutil.copy(pack, path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("graphs/gpt_step.onnx", b"another")
    assert "holds a file twice" in refused(path)


def test_a_bomb_is_refused_before_it_is_unpacked(pack, tmp_path):
    """Gigabytes of zeros, with the right digest in the manifest."""

    def change(members):
        digest = "0" * 64
        record = {"bytes": 1 << 40, "sha256": digest, "sampled": digest}
        with_manifest(members, lambda manifest: manifest["files"].update({"zeros": record}))
        members["zeros"] = b""

    assert "no honest voice pack" in refused(rewritten(pack, tmp_path / "a.sovits", change))


def test_a_member_that_goes_on_after_its_size_is_read_no_further(pack, tmp_path, monkeypatch):
    def change(members):
        digest = "0" * 64
        record = {"bytes": 10, "sha256": digest, "sampled": digest}
        with_manifest(members, lambda manifest: manifest["files"].update({"zeros": record}))
        members["zeros"] = bytes(30 << 20)

    path = tmp_path / "a.sovits"
    with zipfile.ZipFile(pack) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    read = []
    inner = zipfile.ZipExtFile.read
    monkeypatch.setattr(
        zipfile.ZipExtFile, "read", lambda self, n=-1: read.append((self.name, n)) or inner(self, n)
    )
    assert "zeros in the voice pack is not the file" in refused(path)
    assert sum(name == "zeros" for name, _ in read) <= 2


def test_no_room_is_said_before_anything_is_written(pack, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda place: shutil._ntuple_diskusage(10, 10, 0))
    assert "make room, or name another folder with $SOVITS_EXPORT_CACHE" in refused(pack)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"schema": 9, "kind": "sovits-export voice", "name": "", "digest": "x"}', b"\xff"],
)
def test_whatever_pack_json_holds_is_told_in_one_line(pack, tmp_path, content):
    path = rewritten(pack, tmp_path / "a.sovits", lambda m: m.update({"pack.json": content}))
    assert "a.sovits: " in refused(path)


def test_a_digest_that_is_a_path_names_no_folder(pack, tmp_path):
    def change(members):
        info = json.loads(members["pack.json"])
        members["pack.json"] = json.dumps({**info, "digest": "../" * 21 + "x"}).encode()

    assert "the digest in pack.json is none" in refused(rewritten(pack, tmp_path / "a.sovits", change))


def test_planes_of_strangers_are_refused_in_one_line(pack, tmp_path):
    bombs = {
        "bomb": struct.pack("<BII", 1, 1000, 2),
        "kind": struct.pack("<BII", 9, 0, 0),
        "size": struct.pack("<BII", 0, 0, 1 << 30),
        "deflated": zlib.compress(bytes(1 << 20)),
    }
    for content in bombs.values():
        path = rewritten(
            pack, tmp_path / "a.sovits", lambda m, c=content: m.update({"graphs/gpt.weights.planes": c})
        )
        assert "the voice pack is damaged" in refused(path)


def test_a_zip_of_something_else_and_an_encrypted_one_are_named(pack, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("voice.ckpt", b"x")
    assert "is a file, expected the folder of a bundle" in refused(path)
    content = bytearray(pack.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 4)
    path = tmp_path / "locked.sovits"
    path.write_bytes(content)
    assert "the voice pack is damaged" in refused(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are of POSIX")
def test_a_pipe_is_no_pack(tmp_path):
    os.mkfifo(tmp_path / "a.sovits")
    assert "a.sovits" in refused(tmp_path / "a.sovits")
