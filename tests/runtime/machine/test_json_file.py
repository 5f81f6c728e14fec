"""JSON of strangers: whatever the file is, one of our errors says so, at once and in little memory."""

import os
import threading

import pytest

from sovits_runtime.errors import BundleError
from sovits_runtime.machine.json_file import is_lfs_pointer, open_regular, parse_json, read_json

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 44324\n"


def read(path, **options):
    return read_json(path, what="a list", error=BundleError, remedy="make it again", **options)


def put(path, content):
    path.write_bytes(content)
    return path


def test_what_is_json_is_read(tmp_path):
    path = put(tmp_path / "a.json", '{"a": [1, "ü", "\\ud83d\\ude00"]}'.encode())
    assert read(path) == {"a": [1, "ü", "😀"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"a.json: not a list \(Expecting value.*\); make it again"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'["\\ud800"]', "surrogates not allowed"),
        (b"\xff\xfe\xfa", "not a list"),
        (b"9" * 5000, "not a list"),
        (b"<!DOCTYPE html>\n<html>", "it is a web page"),
        (b" <HTML><body>", "it is a web page"),
        (POINTER, "is a Git LFS pointer, not the file itself; .*git lfs pull"),
    ],
)
def test_what_is_none_is_named(tmp_path, content, said):
    with pytest.raises(BundleError, match=said) as caught:
        read(put(tmp_path / "a.json", content))
    assert "\n" not in str(caught.value)


def test_a_long_file_is_not_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(BundleError, match=f"it has {3 << 30} bytes, expected at most 16777216"):
        read(tmp_path / "a.json")
    with pytest.raises(BundleError, match="it has 6 bytes, expected at most 5"):
        read(put(tmp_path / "b.json", b"[1, 2]"), most_bytes=5)


@pytest.mark.skipif(os.name != "posix", reason="pipes with names are POSIX")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    answers = []

    def attempt():
        with pytest.raises(BundleError, match="is not a regular file"):
            read(tmp_path / "a.json")
        answers.append(True)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(20)
    assert answers == [True]


def test_folders_and_missing_files_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(BundleError, match=r"not a list \(.*\); make it again"):
            read(path)
        with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
            open_regular(path)


def test_pointers_of_git_lfs_are_known(tmp_path):
    assert is_lfs_pointer(put(tmp_path / "a", POINTER))
    assert not is_lfs_pointer(put(tmp_path / "b", b"version"))
    assert not is_lfs_pointer(tmp_path / "none")


@pytest.mark.parametrize("content", ["[" * 200_000, b"[" * 200_000, '"\\udfff"', "{", b"\xff"])
def test_content_that_cannot_be_read_is_a_value_error(content):
    with pytest.raises(ValueError):  # noqa: PT011 - the message is Python's
        parse_json(content)
