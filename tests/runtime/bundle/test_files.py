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

from sovits_runtime.bundle import replacing
from sovits_runtime.bundle.files import (
    SMALL_FILE,
    FileRecord,
    difference,
    differing,
    key_of,
    temporary_folder,
    write_file,
    write_folder,
    write_into,
    write_path,
)
from sovits_runtime.bundle.parts import DAY_S, sweep
from sovits_runtime.bundle.replacing import restore_folder

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
    with write_folder(place / "next") as folder:  # the next write removes the leftover
        (folder / "a").write_bytes(b"newer")
    assert names(place) == (["next", "target"] if old else ["next"])
    assert content(place / "next") == {"a": b"newer"}


HALTS = {
    "between two renames": (
        "replacing._exchange = lambda a, b: False; rename = os.replace\n"
        "def halting(a, b): rename(a, b); b.name.endswith('.old') and a == target and halt()\n"
        "os.replace = halting\n"
    ),
    "before the exchange": "replacing._exchange = lambda a, b: halt()\n",
    "after the exchange": (
        "swap = replacing._exchange\ndef halting(a, b): swap(a, b); halt()\nreplacing._exchange = halting\n"
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="kill -9, and two names that swap at once")
@pytest.mark.parametrize("when", HALTS)
def test_a_kill_while_a_folder_is_replaced_loses_nothing(tmp_path, when):
    """The older folder or the newer one is there at once, and the next build has what was to stay."""
    target = tmp_path / "target"
    with write_folder(target) as folder:
        (folder / "a").write_bytes(b"old")
        (folder / "kept").write_bytes(b"of the user")
    code = (
        f"import os; from sovits_runtime.bundle import replacing\n{HALTS[when]}"
        "with files.write_folder(target, move=['kept']) as p: (p / 'a').write_bytes(b'new')"
    )
    killed(code, target, tmp_path.parent / f"{tmp_path.name}-marker")
    restore_folder(target, move=["kept"])  # as whoever reads or builds next
    assert content(target)["a"] == (b"new" if when == "after the exchange" else b"old")
    assert content(target)["kept"] == b"of the user"
    with write_folder(target) as folder:
        (folder / "a").write_bytes(b"newer")
    assert names(tmp_path) == ["target"]


@pytest.mark.skipif(sys.platform != "linux", reason="two names that swap at once")
def test_a_reader_always_finds_a_folder_that_is_replaced(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "a").write_bytes(b"0")
    code = (
        "import sys; from pathlib import Path; from sovits_runtime.bundle.files import write_folder\n"
        "for i in range(200):\n"
        "    with write_folder(Path(sys.argv[1])) as p: (p / 'a').write_bytes(str(i).encode())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(target)]) as writer:
        read = 0
        while writer.poll() is None:
            assert (target / "a").read_bytes() is not None
            read += 1
    assert writer.returncode == 0
    assert read > 200


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
    with write_folder(tmp_path / "folder") as folder:
        (folder / "a").touch()
        monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "folder").exists()))
    assert seen == [False, False, False, True]  # a file, the folder; then the name of the folder
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


def left_by_dead(target, tmp_path, *, kind="folder"):
    """What a killed writer left."""
    killed(KILLED[kind], target, tmp_path.parent / f"{tmp_path.name}-{target.name}-marker")
    (part,) = target.parent.glob(f".{target.name}.*.part")
    return part


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_leftovers_of_the_dead_go_and_what_is_being_written_stays(tmp_path):
    dead = left_by_dead(tmp_path / "target", tmp_path)
    other = left_by_dead(tmp_path / "another.wav", tmp_path, kind="file")
    strange = tmp_path / ".target.part"
    strange.mkdir()
    with temporary_folder(tmp_path / "target") as first, temporary_folder(tmp_path / "target") as second:
        assert first.is_dir()
        assert first != second
        assert not dead.exists()
        assert not other.exists()
        code = (
            "import sys; from pathlib import Path; from sovits_runtime.bundle.parts import sweep\n"
            "sweep(Path(sys.argv[1]))"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
        assert first.is_dir()  # for another process too
    assert names(tmp_path) == [strange.name]


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_a_saved_file_sweeps_what_killed_saves_left(tmp_path):
    left_by_dead(tmp_path / "1.wav", tmp_path, kind="file")
    code = (
        "import sys; from pathlib import Path; from sovits_runtime.bundle.files import write_file\n"
        "with write_file(Path(sys.argv[1])) as f: f.write(b'x')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "2.wav")], check=True)
    assert names(tmp_path) == ["2.wav"]


@pytest.mark.parametrize("name", [".target.0123456789abcdef.part", ".target.999999999-0123abcd.part"])
def test_a_leftover_without_a_lock_goes_after_a_day(tmp_path, name):
    """Where there are no locks, or of an older release: it may still be being written."""
    leftover = tmp_path / name
    leftover.mkdir()
    (leftover / "a").write_bytes(b"x")
    sweep(tmp_path)
    assert leftover.exists()
    for path in (leftover, leftover / "a"):
        os.utime(path, (time.time() - 2 * DAY_S,) * 2)
    sweep(tmp_path)
    assert not leftover.exists()


def test_two_writers_with_one_number_do_not_take_each_other_for_dead(tmp_path, monkeypatch):
    """As in two containers, where every program is process 1."""
    code = (
        "import os, sys, time; from pathlib import Path; from sovits_runtime.bundle import files\n"
        "os.getpid = lambda: 1\n"
        "with files.write_folder(Path(sys.argv[1])) as p:\n"
        "    [((p / str(i)).write_bytes(b'x'), time.sleep(0.02)) for i in range(20)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "target")]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(names(tmp_path / "target")) == 20
    assert names(tmp_path) == ["target"]


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
@pytest.mark.parametrize("swaps", [False, True])
def test_a_folder_that_cannot_take_its_place_leaves_the_older_one(tmp_path, monkeypatch, failing, swaps):
    target = tmp_path / "voice"
    (target / "engines").mkdir(parents=True)
    (target / "engines" / "plan").write_bytes(b"plan")
    (target / "a").write_bytes(b"old")
    rename = os.replace

    def refuse(self, to):
        if Path(to).name == failing and self.name != f".{failing}.old" and (swaps or ".old" not in str(to)):
            raise PermissionError(errno.EACCES, "in use", str(self))
        return rename(self, to)

    def refuse_swap(a, b):
        raise PermissionError(errno.EACCES, "in use", str(a))

    def write():
        with write_folder(target, move=("engines",)) as folder:
            (folder / "a").write_bytes(b"new")
            monkeypatch.setattr(os, "replace", refuse)
            if not swaps:
                monkeypatch.setattr(replacing, "_exchange", lambda a, b: False)
            elif failing == "voice":
                monkeypatch.setattr(replacing, "_exchange", refuse_swap)

    with pytest.raises(PermissionError, match="in use"):
        write()
    monkeypatch.undo()
    assert names(tmp_path) == ["voice"]
    assert (target / "a").read_bytes() == b"old"
    assert (target / "engines" / "plan").read_bytes() == b"plan"
