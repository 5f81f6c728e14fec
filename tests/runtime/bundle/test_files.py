"""The store: what is written is there whole or not at all, and damage is named."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sovits_runtime.bundle.files import (
    SMALL_FILE,
    FileRecord,
    difference,
    differing,
    key_of,
    remove_parts,
    restore_folder,
    temporary_folder,
    write_file,
    write_folder,
    write_into,
    write_path,
)

DEAD = 999_999_999
KILLED = {
    "file": "with files.write_file(target) as f: f.write(b'new'); f.flush(); halt()",
    "path": "with files.write_path(target) as p: p.write_bytes(b'new'); halt()",
    "folder": "with files.write_folder(target) as p: (p / 'a').write_bytes(b'new'); halt()",
    "into": "with files.write_into(target, ['a']) as p: (p / 'a').write_bytes(b'new'); halt()",
}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def content(path):
    return {p.name: p.read_bytes() for p in path.iterdir()} if path.is_dir() else path.read_bytes()


def killed(code, target, marker):
    """Runs code that calls `halt` in a process that is killed there."""
    head = (
        "import sys, time; from pathlib import Path; from sovits_runtime.bundle import files\n"
        "target, marker = map(Path, sys.argv[1:])\n"
        "def halt(): marker.touch(); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", head + code, str(target), str(marker)])
    try:
        end = time.monotonic() + 120
        while not marker.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        assert marker.exists()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
@pytest.mark.parametrize("old", [False, True], ids=["new", "over an old one"])
@pytest.mark.parametrize("kind", KILLED)
def test_a_kill_in_the_middle_leaves_what_was_there(tmp_path, kind, old):
    place = tmp_path / "place"
    place.mkdir()
    target = place / "target"
    if old and kind in ("file", "path"):
        target.write_bytes(b"old")
    elif old:
        target.mkdir()
        (target / "a").write_bytes(b"old")
    before = content(target) if old else None
    killed(KILLED[kind], target, tmp_path / "marker")
    if not old:
        assert not target.exists()
    elif kind != "into":
        assert content(target) == before
    else:
        assert (target / "a").read_bytes() == b"old"
    if kind == "folder":  # the next write of the folder removes the leftover
        with write_folder(target) as folder:
            (folder / "a").write_bytes(b"newer")
        assert names(place) == ["target"]
        assert content(target) == {"a": b"newer"}


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_a_kill_between_the_two_renames_is_undone(tmp_path):
    target = tmp_path / "target"
    with write_folder(target) as folder:
        (folder / "a").write_bytes(b"old")
    code = (
        "import pathlib; rename = pathlib.Path.rename\n"
        "pathlib.Path.rename = lambda a, b: (rename(a, b), halt() if b.name.endswith('.old') else None)\n"
        "with files.write_folder(target) as p: (p / 'a').write_bytes(b'new')"
    )
    killed(code, target, tmp_path.parent / f"{tmp_path.name}-marker")
    assert not target.exists()
    restore_folder(target)
    assert content(target) == {"a": b"old"}
    with write_folder(target) as folder:
        (folder / "a").write_bytes(b"newer")
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("write", [write_file, write_path, write_folder, lambda t: write_into(t, ["a"])])
def test_an_error_leaves_nothing(tmp_path, write):
    with pytest.raises(KeyError), write(tmp_path / "target"):
        raise KeyError("stop")
    assert names(tmp_path) == []


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, write_file(tmp_path / "target"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "target")
    assert names(tmp_path) == []


def test_an_error_without_a_number_keeps_its_words(tmp_path):
    with pytest.raises(OSError, match="a sentence of ours"), write_file(tmp_path / "target"):
        raise OSError("a sentence of ours")


def test_content_is_synced_before_it_takes_its_name(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "target").exists()))
    with write_file(tmp_path / "target", sync=True) as file:
        file.write(b"x")
    assert seen == [False]
    assert (tmp_path / "target").read_bytes() == b"x"


def test_a_folder_is_replaced_and_keeps_what_is_to_move(tmp_path):
    target = tmp_path / "target"
    with write_folder(target) as folder:
        (folder / "engines").mkdir()
        (folder / "engines" / "plan").write_bytes(b"large")
        (folder / "gone").touch()
    with write_folder(target, move=("engines", "none")) as folder:
        (folder / "a").touch()
    assert names(target) == ["a", "engines"]
    assert (target / "engines" / "plan").read_bytes() == b"large"
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("keep", [True, False])
def test_of_two_that_make_a_folder_one_stays(tmp_path, keep):
    target = tmp_path / "target"
    with write_folder(target, keep=keep) as mine:
        (mine / "a").write_bytes(b"mine")
        with write_folder(target) as other:
            (other / "a").write_bytes(b"other")
    assert content(target) == {"a": b"other" if keep else b"mine"}
    assert names(tmp_path) == ["target"]


def test_leftovers_of_the_dead_go_and_those_of_others_stay(tmp_path):
    dead = tmp_path / f".target.{DEAD}-0123abcd.part"
    alike = tmp_path / f".target.other.{DEAD}-0123abcd.part"
    running = tmp_path / f".target.{os.getppid()}-0123abcd.part"
    strange = tmp_path / ".target.part"
    for folder in (dead, alike, running, strange):
        folder.mkdir()
    with temporary_folder(tmp_path / "target") as first, temporary_folder(tmp_path / "target") as second:
        assert first.is_dir()  # of this process, and in use
        assert first != second
        assert not dead.exists()
    assert names(tmp_path) == sorted([alike.name, running.name, strange.name])
    remove_parts(tmp_path)  # by whoever holds the folder
    assert names(tmp_path) == [strange.name]


def test_a_process_of_the_same_number_before_this_one_is_dead(tmp_path):
    leftover = tmp_path / f".target.{os.getpid()}-0123abcd.part"
    leftover.mkdir()
    with temporary_folder(tmp_path / "target"):
        assert not leftover.exists()


def test_files_land_in_a_folder_that_may_not_be_written_beside(tmp_path):
    """As of a volume that is mounted: what is being written lies within."""
    target = tmp_path / "volume"
    target.mkdir()
    (target / "mine").write_bytes(b"stays")
    with write_into(target, ["a", "b"]) as part:
        assert part.parent == target
        (part / "a").write_bytes(b"1")
        (part / "b").write_bytes(b"2")
    assert content(target) == {"a": b"1", "b": b"2", "mine": b"stays"}


@pytest.mark.parametrize("size", [1000, SMALL_FILE + 1000])
def test_a_record_names_what_became_of_its_file(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    record = FileRecord.of(path)
    assert FileRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert record.problem(path) == record.problem(path, whole=True) == ""
    path.write_bytes(b"x" + bytes(size - 1))
    assert record.problem(path) == "was changed since it was built"
    path.write_bytes(bytes(size - 1))
    assert record.problem(path) == f"has {size - 1} bytes, expected {size}"
    path.unlink()
    assert record.problem(path) == "is missing"


def test_what_samples_miss_the_whole_file_shows(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(SMALL_FILE + 1000))
    record = FileRecord.of(path)
    with path.open("r+b") as file:
        file.seek(10_001)
        file.write(b"x")
    assert record.problem(path) == ""
    assert record.problem(path, whole=True) == "was changed since it was built"


def test_keys_and_differences():
    made, wanted = {"a": 1, "b": [1], "c": "x"}, {"a": 1, "b": [2], "d": None}
    assert key_of(made, 16) == key_of(dict(reversed(made.items())), 16) != key_of(wanted, 16)
    assert key_of(made, 12) == key_of(made, 16)[:12]
    assert differing(made, wanted) == ["b", "c"]
    assert difference(made, wanted, ("a", "b")) == "b is [2], it was built for [1]"
    assert difference(made, made) == ""
    assert len(difference({"a": "x" * 500}, {"a": ""})) < 200


def test_keys_are_those_that_lie_on_disks():
    """A change here would make every engine and every prepacked graph anew."""
    fields = {"version": "1.7.1.116", "cuda": 12, "graph": "ü", "flags": ["A"], "profile": {"x": [[1], [2]]}}
    assert key_of(fields, 16) == "d15cc4fb49442b05"


@pytest.mark.parametrize("failing", ["engines", "voice"])
def test_a_folder_that_cannot_take_its_place_leaves_the_older_one(tmp_path, monkeypatch, failing):
    target = tmp_path / "voice"
    (target / "engines").mkdir(parents=True)
    (target / "engines" / "plan").write_bytes(b"plan")
    (target / "a").write_bytes(b"old")
    rename = Path.rename

    def refuse(self, to):
        if Path(to).name == failing and self.name != f".{failing}.old" and ".old" not in str(to):
            raise PermissionError(errno.EACCES, "in use", str(self))
        return rename(self, to)

    def write():
        with write_folder(target, move=("engines",)) as folder:
            (folder / "a").write_bytes(b"new")
            monkeypatch.setattr(Path, "rename", refuse)

    with pytest.raises(PermissionError, match="in use"):
        write()
    monkeypatch.undo()
    assert names(tmp_path) == ["voice"]
    assert (target / "a").read_bytes() == b"old"
    assert (target / "engines" / "plan").read_bytes() == b"plan"
