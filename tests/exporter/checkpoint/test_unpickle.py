"""Strangers' pickles: what they ask for is refused by name and never runs; damaged ones never crash the reader."""

import io
import os
import pickle
import random
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from sovits_exporter.checkpoint.inert import Global, Inert, TensorRef, mapping_of
from sovits_exporter.checkpoint.official import load_gpt, load_sovits
from sovits_exporter.checkpoint.torch_file import open_torch_file
from sovits_exporter.checkpoint.unpickle import read_pickle
from sovits_exporter.demo.configs import gpt_config
from sovits_runtime.errors import CheckpointError


class Payload:
    """Creates a file when it is unpickled by anything that runs pickles."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


MKDIR = f"{os.mkdir.__module__}.mkdir"  # posix.mkdir or nt.mkdir


def refusal(path: Path) -> str:
    messages = set()
    for load in (load_gpt, load_sovits):
        with pytest.raises(CheckpointError) as e:
            load(path)
        messages.add(str(e.value))
    assert len(messages) == 1
    message = messages.pop()
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "it-ran"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_payload_would_run_if_it_were_unpickled(marker, protocol):
    pickle.loads(pickle.dumps(Payload(marker), protocol))
    assert marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_payload_as_a_plain_pickle_does_not_run(tmp_path, marker, protocol):
    path = tmp_path / "voice.ckpt"
    path.write_bytes(pickle.dumps({"weight": {}, "config": Payload(marker)}, protocol))
    assert MKDIR in refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["weight", "config", "info", "deep"])
def test_payload_in_the_zip_does_not_run(tmp_path, marker, protocol, place):
    content = {"weight": {"model.a": torch.zeros(1)}, "config": {}, "info": ""}
    if place == "deep":
        content["config"] = {"model": [{"a": (Payload(marker),)}]}
    else:
        content[place] = Payload(marker)
    path = tmp_path / "voice.ckpt"
    torch.save(content, path, pickle_protocol=protocol)
    assert MKDIR in refusal(path)
    assert not marker.exists()


def test_payload_under_a_version_header_does_not_run(tmp_path, marker):
    path = tmp_path / "voice.pth"
    torch.save(Payload(marker), path)
    with path.open("r+b") as f:
        f.write(b"05")
    assert MKDIR in refusal(path)
    assert not marker.exists()


def test_payload_in_a_legacy_file_does_not_run(tmp_path, marker):
    path = tmp_path / "voice.ckpt"
    torch.save(Payload(marker), path, _use_new_zipfile_serialization=False)
    assert MKDIR in refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (b"cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x04\x8c\x08builtins\x8c\x0a__import__\x93.", "builtins.__import__"),
        (b"c__builtin__\nexecfile\n.", "__builtin__.execfile"),
        (b"ctypes\nCodeType\n.", "types.CodeType"),
        (b"ctorch.hub\nload\n.", "torch.hub.load"),
        (b"ctorch.serialization\nos.system\n.", "torch.serialization.os.system"),
        (b"csubprocess\nPopen\x1b[2J\n.", r"subprocess.Popen\x1b[2J"),
        (b"(iposix\nsystem\n.", "posix.system"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"(cos\nsystem\no.", "os.system"),
        (b"Pabc\n.", "PERSID"),
    ],
)
def test_what_is_asked_for_is_named(program, told):
    with pytest.raises(CheckpointError) as e:
        read_pickle(program)
    assert told in str(e.value)


@pytest.mark.parametrize(
    "program",
    [
        b"ccollections\nOrderedDict\n}X\x01\x00\x00\x00akb.",  # a state set on the class itself
        b"cutils\nHParams\n}b.",
        b"}(K\x01K\x02K\x03u.",  # an odd number of items
        b"K\x01K\x02.",
        b".",
        b"",
        b"\x80\x02}",
        b"0.",
        b"e.",
        b"h\x05.",
        b"\x8b\x7f\xff\xff\xff" + b"1" * 9 + b".",
        b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00)))tR.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"(X\x07\x00\x00\x00storageK\x01X\x01\x00\x00\x000NK\x04tQ.",  # a storage of no class
        b"p99999999999999999999\n.",
        b"Np99999999999999999999\n.",  # remembered under a number of no sane size
        b"X\xff\xff\xff\x7fabc.",
    ],
)
def test_malformed_programs_are_refused(program):
    with pytest.raises(CheckpointError):
        read_pickle(program)


@pytest.mark.parametrize(
    "program",
    [
        b"cutils\nHParams\n)R.",  # called, not made
        b"ctorch\nHalfStorage\n)R.",
        b"ccollections\nOrderedDict\n)\x81.",  # made, not called
        b"cantigravity\nfly\n.",
        b"c__builtin__\ngetattr\n(cantigravity\ngeohash\nVfly\ntR)R.",
        b"(iantigravity\nFly\n.",
        b"(cantigravity\nfly\no.",
        b"(X\x07\x00\x00\x00storageccollections\nOrderedDict\nX\x01\x00\x00\x000NK\x04tQ.",
        b"\x80\x04(K\x01K\x02\x91.",
        b"\x80\x04\x8f(K\x01K\x02\x90.",
    ],
)
def test_other_programs_give_placeholders_and_import_nothing(program):
    before = set(sys.modules)
    assert isinstance(read_pickle(program), Inert | Global)
    assert not {name for name in set(sys.modules) - before if "antigravity" in name}


def test_keys_of_other_kinds_make_a_dict_useless_and_nothing_else():
    content = read_pickle(pickle.dumps({"good": {"a": 1}, "bad": {(1, 2): 3, "a": 1}, "bool": {True: 1}}))
    assert mapping_of(content["good"]) == {"a": 1}
    assert mapping_of(content["bad"]) is None
    assert mapping_of(content["bool"]) is None


def test_allowed_names_build_inert_values():
    out = io.BytesIO()
    torch.save({"a": torch.zeros(2, 3), "b": OrderedDict(c=[1, (2.5, None)], d=True)}, out)
    content = read_pickle(zipfile.ZipFile(out).read("archive/data.pkl"))
    assert content["b"] == {"c": [1, (2.5, None)], "d": True}
    ref = content["a"]
    assert isinstance(ref, TensorRef)
    assert (ref.shape, ref.stride, ref.storage.dtype) == ((2, 3), (3, 1), torch.float32)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mutated_pickles_give_a_value_or_a_checkpoint_error():
    out = io.BytesIO()
    weight = {f"model.{i}": torch.zeros(2, 3, dtype=torch.half) for i in range(3)}
    torch.save({"weight": weight, "config": gpt_config("v2", tiny=True), "info": "x"}, out)
    original = zipfile.ZipFile(out).read("archive/data.pkl")
    rng, refused = random.Random(0), 0
    for _ in range(3000):
        data = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        try:
            read_pickle(bytes(data))
        except CheckpointError:
            refused += 1
    assert refused > 1000


def save(path: Path, content: object, **options: object) -> Path:
    torch.save(content, path, **options)
    return path


def rezip(source: Path, path: Path, *, change=None, drop=(), **options) -> Path:
    """Copies a zip record by record, changing or dropping some."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", **options) as new:
        for name in old.namelist():
            if not any(part in name for part in drop):
                new.writestr(name, change(name, old.read(name)) if change else old.read(name))
    return path


@pytest.fixture
def good(tmp_path):
    content = {"weight": {"model.a": torch.arange(64.0)}, "config": {}, "info": ""}
    return save(tmp_path / "good.ckpt", content)


def test_compressed_records_are_refused(tmp_path, good):
    path = rezip(good, tmp_path / "bomb.ckpt", compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path)


def test_records_that_claim_more_than_the_file_are_refused(tmp_path, good):
    data = bytearray(good.read_bytes())
    at = data.index(b"PK\x01\x02", data.rindex(b"good/data/0") - 46)  # its entry in the central directory
    struct.pack_into("<II", data, at + 20, 1 << 31, 1 << 31)
    path = tmp_path / "bomb.ckpt"
    path.write_bytes(data)
    assert "claims to hold more" in refusal(path)


def test_a_pickle_of_no_sane_size_is_refused(tmp_path, good):
    path = rezip(
        good, tmp_path / "huge.ckpt", change=lambda n, d: d.ljust(17 << 20) if n.endswith("pkl") else d
    )
    assert "expected at most" in refusal(path)


def test_a_config_that_multiplies_itself_is_refused(tmp_path):
    value: list[object] = []
    for _ in range(12):
        value = [value] * 10
    weight = {"model.a": torch.zeros(1)}
    path = save(tmp_path / "bomb.ckpt", {"weight": weight, "config": {"model": value}})
    with pytest.raises(CheckpointError, match="nested too deeply or too large"):
        load_gpt(path)


def test_a_config_that_holds_itself_is_refused(tmp_path):
    config: dict[str, object] = {}
    config["self"] = config
    path = save(tmp_path / "loop.ckpt", {"weight": {"model.a": torch.zeros(1)}, "config": config})
    with pytest.raises(CheckpointError, match="nested too deeply"):
        load_gpt(path)


def test_one_block_shown_many_times_is_refused(tmp_path):
    block = torch.zeros(1000)
    weight = {f"model.{i}": block.view(10, 100) for i in range(5)}
    path = save(tmp_path / "many.ckpt", {"weight": weight, "config": {}})
    with pytest.raises(CheckpointError, match="shows 1000 stored numbers as 5000"):
        load_gpt(path)


def test_expanded_tensors_are_refused(tmp_path):
    path = save(tmp_path / "wide.ckpt", {"weight": {"model.a": torch.zeros(1).expand(1 << 40)}, "config": {}})
    assert "reaches beyond its 1 stored numbers" in refusal(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "a WAV file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b'{"weight": []}', "JSON"),
        (struct.pack("<Q", 2) + b"{}" + b"\0" * 8, "a safetensors file"),
        (b"PK", "cut off or damaged"),
        (b"PK\x03\x04", "cut off or damaged"),
        (b"\x00" * 100, "expected a checkpoint"),
        (b"hello, world\n", "starts with b'hello, w'"),
        (pickle.dumps({"weight": {}}), "a bare pickle"),
        (b"PK\x05\x06" + b"\0" * 18, "expected a checkpoint"),
    ],
)
def test_other_files_are_named(tmp_path, content, told):
    path = tmp_path / "voice.ckpt"
    path.write_bytes(content)
    assert told in refusal(path)


def test_missing_files_and_folders_are_told_apart(tmp_path):
    assert "no such file" in refusal(tmp_path / "nothing.ckpt")
    assert "a folder" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, good, keep):
    data = good.read_bytes()
    path = tmp_path / "short.ckpt"
    path.write_bytes(data[: int(len(data) * keep)])
    assert "cut off or damaged" in refusal(path)


def test_a_plain_zip_is_refused(tmp_path):
    path = tmp_path / "photos.ckpt"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("photo.jpg", b"x")
    assert "is a zip archive with photo.jpg; unpack it, and name the .ckpt and .pth inside" in refusal(path)


def test_big_endian_files_are_refused(tmp_path, good):
    path = rezip(good, tmp_path / "big.ckpt", change=lambda n, d: b"big" if n.endswith("byteorder") else d)
    assert "big-endian" in refusal(path)


def test_a_flipped_bit_in_a_tensor_is_found(tmp_path, good):
    data = bytearray(good.read_bytes())
    at = data.index(torch.arange(64.0).numpy().tobytes())
    data[at + 5] ^= 1
    path = tmp_path / "flipped.ckpt"
    path.write_bytes(data)
    with open_torch_file(path) as file, pytest.raises(CheckpointError, match="data/0 is damaged"):
        file.read(file.content["weight"]["model.a"])


@pytest.mark.parametrize(
    ("change", "told"),
    [({"drop": ["data/0"]}, "is missing"), ({"change": lambda n, d: d[:-4]}, "holds 252 bytes")],
)
def test_records_are_checked(tmp_path, good, change, told):
    def only_data(name: str, data: bytes) -> bytes:
        return change["change"](name, data) if "data/0" in name else data

    options = {**change, **({"change": only_data} if "change" in change else {})}
    path = rezip(good, tmp_path / "voice.ckpt", **options)
    with open_torch_file(path) as file, pytest.raises(CheckpointError, match=told):
        file.read(file.content["weight"]["model.a"])
