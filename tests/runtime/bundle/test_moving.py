"""What a program keeps open is tried again, and named where it stays open."""

from __future__ import annotations

import mmap
import threading
import time

import pytest

from sovits_runtime.bundle import moving
from sovits_runtime.bundle.files import write_file, write_folder
from sovits_runtime.bundle.moving import InUseError, remove_tree, rename

TOLD = "cannot be replaced or removed while a program has it open; close what uses it, then try again"


def test_a_file_that_is_mapped_is_named(like_windows, tmp_path):
    target = tmp_path / "weights"
    target.write_bytes(bytes(4096))
    with target.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        with pytest.raises(InUseError, match=TOLD) as caught, write_file(target) as new:
            new.write(b"new")
        assert caught.value.filename == str(target)
        with pytest.raises(InUseError) as caught:
            remove_tree(tmp_path)
        assert caught.value.filename == str(tmp_path)
    assert target.read_bytes() == bytes(4096)
    assert caught.value.strerror == f"{TOLD}, or check your rights there"
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]
    assert like_windows


def test_what_is_closed_meanwhile_is_no_trouble(like_windows, monkeypatch, tmp_path):
    monkeypatch.setattr(moving, "PATIENCE_S", 30.0)
    target = tmp_path / "voice"
    target.mkdir()
    file = (target / "graph").open("wb")
    closing = threading.Timer(0.2, file.close)
    closing.start()
    with write_folder(target) as folder:
        (folder / "new").touch()
    closing.join()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert like_windows


def test_what_only_garbage_holds_is_let_go(like_windows, tmp_path):
    class Session:
        def __init__(self):
            self.file, self.itself = (tmp_path / "old" / "graph").open("wb"), self

    (tmp_path / "old").mkdir()
    Session()
    with pytest.warns(ResourceWarning):
        rename(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new" / "graph").is_file()


def test_elsewhere_a_refusal_is_what_the_system_says_at_once(monkeypatch, tmp_path):
    def refuse(source, target):
        raise PermissionError(13, "not yours", str(target))

    monkeypatch.setattr(moving.os, "replace", refuse)
    monkeypatch.setattr(moving, "OPEN_FILES_STAY", False)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited"))
    with pytest.raises(PermissionError, match="not yours") as caught:
        rename(tmp_path / "a", tmp_path / "b")
    assert not isinstance(caught.value, InUseError)
