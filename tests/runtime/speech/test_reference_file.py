"""Saved references that somebody else wrote: looked at before they take memory, and refused in one line."""

import io
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sovits_runtime import Reference
from sovits_runtime.errors import BundleError
from sovits_runtime.speech.reference import FORMAT


def arrays(**changed):
    """A good file's arrays, some of them changed, those that are None left out."""
    good = {
        "phones": np.arange(5),
        "bert": np.zeros((5, 8), np.float32),
        "prompt": np.arange(7),
        "style": np.ones((1, 6, 1), np.float32),
        "format": np.int64(FORMAT),
        "key": np.array("k"),
    }
    return {name: a for name, a in {**good, **changed}.items() if a is not None}


def saved(path, **changed):
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays(**changed))
    return path


def headed(shape, dtype="<f4", content=b"\0" * 64):
    """An array's file whose header promises more than there is."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue() + content


def test_a_good_one_is_read(tmp_path):
    read = Reference.load(saved(tmp_path / "me.npz"))
    assert read.key == "k"
    assert read.prompt.tolist() == list(range(7))
    read.style[...] = 2  # is an array as any other


NAN = np.full((1, 6, 1), np.nan, np.float32)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prompt": np.array([5000])}, "prompt: got ids 5000 to 5000, expected 0 to 1023"),
        ({"prompt": np.array([-1])}, "prompt: got ids -1"),
        ({"prompt": np.zeros(3, np.float32)}, "prompt: got float32"),
        ({"prompt": np.zeros((2, 2), np.int64)}, "prompt: got int64[2, 2]"),
        ({"prompt": np.zeros(1_000_000, np.int64)}, "prompt: got int64[1000000]"),
        ({"phones": np.zeros(50_000, np.int64)}, "phones: got int64[50000]"),
        ({"phones": np.full(5, 2**62)}, "phones: got ids"),
        ({"phones": np.arange(5, dtype=np.int32)}, "phones: got int32"),
        ({"bert": np.zeros((4, 8), np.float32)}, "bert: got 4 rows for 5 phones"),
        ({"bert": np.zeros((5, 8))}, "bert: got float64"),
        ({"bert": np.zeros(5, np.float32)}, "bert: got float32[5]"),
        ({"style": np.zeros((2, 6, 1), np.float32)}, "style"),
        ({"style": np.zeros((1, 6, 0), np.float32)}, "style"),
        ({"style": NAN}, "style: got NaN or infinity"),
        ({"mel": np.full((100, 9), np.inf, np.float32)}, "mel: got NaN or infinity"),
        ({"mel": np.zeros((100, 9), np.complex64)}, "mel: got complex64"),
        ({"format": np.arange(3)}, "format: got int64[3]"),
        ({"format": np.array("x")}, "format: got <U1"),
        ({"key": np.array(["a", "b"])}, "key"),
        ({"key": np.array("k" * 5000)}, "key"),
        ({"key": np.float32(1)}, "key"),
        ({"style": None}, "it holds no style"),
        ({"more": np.zeros(3)}, "it holds 'more'"),
        ({"key": np.array({"a": 1}, dtype=object)}, "an array of object"),
    ],
)
def test_a_wrong_one_is_named(tmp_path, changed, words):
    path = tmp_path / "me.npz"
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=True, **arrays(**changed))
    with pytest.raises(BundleError) as refused:
        Reference.load(path)
    message = str(refused.value)
    assert words in message
    assert "make it again with 'reference'" in message
    assert "\n" not in message
    assert len(message) < 400 + len(str(path))


def entry(name, content):
    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for other, array in arrays().items():
                if other != name:
                    out = io.BytesIO()
                    np.save(out, array)
                    archive.writestr(f"{other}.npy", out.getvalue())
            archive.writestr(f"{name}.npy", content)

    return write


def lone_array(path):
    with path.open("wb") as file:
        np.save(file, np.arange(3))


HOSTILE = {
    "a plain array": lone_array,
    "text": lambda path: path.write_text("hello", encoding="utf-8"),
    "nothing": lambda path: path.write_bytes(b""),
    "an empty archive": lambda path: zipfile.ZipFile(path, "w").close(),
    "a style of 400 GB": entry("style", headed((1, 100_000_000_000, 1))),
    "a negative size": entry("style", headed((1, -6, 1))),
    "a size beyond int64": entry("style", headed((1, 2**70, 1))),
    "less than its header says": entry("style", headed((1, 600, 1))),
    "more than its header says": entry("style", headed((1, 6, 1), content=b"\0" * 25)),
    "a bomb of 300 MB behind a small header": entry("style", headed((1, 6, 1), content=bytes(300_000_000))),
    "a header of megabytes": entry("style", b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\x00" + b" " * 2_000_000),
    "a header that is code": entry("style", b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')"),
    "no array": entry("style", b"x"),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_one_takes_neither_memory_nor_time(tmp_path, make):
    path = tmp_path / "me.npz"
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError, match="make it again with 'reference'"):
        Reference.load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000, "more than 60 MB"


def test_a_damaged_one_is_named_wherever_it_is_damaged(tmp_path):
    path = tmp_path / "me.npz"
    content = saved(path).read_bytes()
    rng = np.random.default_rng(0)
    outcomes = set()
    for place in range(0, len(content), 7):
        broken = bytearray(content)
        broken[place] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            Reference.load(path)
            outcomes.add("read")
        except BundleError:
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "me.npz"
    os.mkfifo(path)
    code = f"from sovits_runtime import Reference; Reference.load({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        timeout=60,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert "it is no regular file" in done.stderr


def test_a_missing_one_is_named(tmp_path):
    with pytest.raises(BundleError, match="No such file"):
        Reference.load(tmp_path / "no.npz")


def test_what_save_wrote_is_read(reference, tmp_path):
    path = Path(tmp_path / "me.npz")
    reference.save(path)
    again = Reference.load(path)
    for name in ("phones", "bert", "prompt", "style"):
        assert getattr(again, name).tobytes() == getattr(reference, name).tobytes()
    assert again.key == reference.key
