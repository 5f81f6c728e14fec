"""Hostile checkpoints and model folders: refused in one line, soon, within little memory, and nothing of them runs.

The long part is `benchmarks/attacks/checkpoints.py`, some 2,000 files. A part of its small form runs here.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sovits_exporter.checkpoint.official import load_gpt
from sovits_exporter.checkpoint.pretrained import read_pretrained
from sovits_runtime.errors import CheckpointError

ATTACKS = Path(__file__).parents[3] / "benchmarks" / "attacks"
PATIENCE_S = 20.0  # of the processor


@pytest.fixture(scope="module")
def hostile():
    """The generators of hostile files."""
    sys.path.insert(0, str(ATTACKS))
    try:
        import hostile_checkpoints
        import hostile_pickles

        yield hostile_checkpoints, hostile_pickles
    finally:
        sys.path.remove(str(ATTACKS))


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_part_of_the_attack(tmp_path):
    result = tmp_path / "result.json"
    command = [sys.executable, ATTACKS / "checkpoints.py", "--fast", "-o", result]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(result.read_text(encoding="utf-8"))
    assert told["files"] > 50
    assert told["payloads_that_ran"] == 0
    assert set(told["outcomes"]) <= {"refused", "read"}
    assert told["outcomes"]["refused"] > 0.9 * told["files"]
    assert told["most_memory"]["memory_mb"] < 500
    assert told["longest"]["seconds"] < PATIENCE_S


def refusal(path: Path) -> str:
    """What is said of the file in one line, in time."""
    start = time.process_time()
    with pytest.raises(CheckpointError) as e:
        load_gpt(path)
    assert time.process_time() - start < PATIENCE_S
    line = str(e.value)
    assert line.startswith(f"{path}: ")
    assert line.isprintable()
    assert len(line) < 3000
    return line


def copied_states(h: Any) -> bytes:
    pairs = h.mapping({str(k): h.NONE for k in range(50_000)})
    made = h.name("utils.HParams") + h.TUPLE + h.MAKE + h.get(1) + h.BUILD
    program: bytes = pairs + h.put(1) + b"0" + h.LIST + h.MARK + made * 20_000 + h.APPENDS
    return program


BOMBS: dict[str, tuple[Callable[[Any], bytes], str]] = {
    "60,000 keys of one hash value": (
        lambda h: h.content(
            config=h.DICT
            + h.MARK
            + b"".join(h.integer(k * h.MERSENNE) + h.NONE for k in range(60_000))
            + h.SETITEMS
        ),
        "its config is a Mapped|its config is a dict|lacks",
    ),
    "60,000 places of one hash value in the memo": (
        lambda h: h.content(config=h.NONE + b"".join(b"p%d\n" % (k * h.MERSENNE) for k in range(60_000))),
        "its pickle is damaged",
    ),
    "a dict as the state of 20,000 objects": (
        lambda h: h.content(
            config=copied_states(h),
        ),
        "nested too deeply or too large",
    ),
    "a list of pairs made 20,000 times a dict": (
        lambda h: h.content(
            config=h.MARK
            + b"".join(b"(" + h.text(str(k)) + h.NONE + b"t" for k in range(1000))
            + b"l\x85"
            + h.put(1)
            + b"0"
            + h.LIST
            + h.MARK
            + (h.name("collections.OrderedDict") + h.get(1) + h.REDUCE) * 20_000
            + h.APPENDS
        ),
        "its pickle asks for more than 4000000 values",
    ),
    "10^100 lists in lists as what the trainer noted": (
        lambda h: h.content(info=h.nested(100)),
        "lacks model.embedding_dim",
    ),
    "10^100 lists in lists as a size": (
        lambda h: h.content(config=h.mapping({"model": h.mapping({"embedding_dim": h.nested(100)})})),
        "nested too deeply",
    ),
    "4 MB as the value of a size, and 20,000 times beside it": (
        lambda h: h.content(
            config=h.mapping({"model": h.mapping({"embedding_dim": h.text("x" * 4_000_000) + h.put(0)})}),
            info=h.LIST + h.MARK + h.get(0) * 20_000 + h.APPENDS,
        ),
        "embedding_dim = 'xxx",
    ),
    "16 MB of steps": (
        lambda h: b"\x80\x02" + h.DICT * (15 << 20) + h.STOP,
        "its pickle asks for more than 4000000 steps",
    ),
    "a rank of 10,000 digits": (
        lambda h: h.content(lora_rank=h.integer(10**10_000)),
        "lacks model.embedding_dim",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("form", ["zip", "old"])
def test_small_files_that_would_take_all_memory_or_hours(tmp_path, hostile, bomb, form):
    files, pickles = hostile
    program, told = BOMBS[bomb]
    path = tmp_path / "a.ckpt"
    {"zip": files.write_zip, "old": files.write_old}[form](program(pickles), path)
    line = refusal(path)
    assert any(part in line for part in told.split("|")), line


def test_a_payload_is_told_and_does_not_run(tmp_path, hostile):
    files, pickles = hostile
    marker = tmp_path / "it-ran"
    for i, (_, program) in enumerate(pickles._payloads(marker)):
        path = tmp_path / f"{i}.ckpt"
        files.write_zip(program, path)
        assert refusal(path)
    assert not marker.exists()


def test_a_list_of_records_that_fills_the_memory_is_refused(tmp_path, hostile):
    files, pickles = hostile
    path = tmp_path / "a.ckpt"
    files.write_zip(pickles.content(), path)
    data = path.read_bytes()
    at = data.rindex(b"PK\x05\x06")
    path.write_bytes(data[: at + 12] + struct.pack("<I", 1 << 30) + data[at + 16 :])
    assert "its list of records has 1073741824 bytes, expected at most 33554432" in refusal(path)


def folder_refusal(folder: Path, kind: Any) -> str:
    with pytest.raises(CheckpointError) as e:
        read_pretrained(folder, kind)
    assert str(e.value).isprintable()
    assert len(str(e.value)) < 3000
    return str(e.value)


@pytest.mark.parametrize("kind", ["hubert", "bert"])
@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("num_hidden_layers", 10**6, "num_hidden_layers is 1000000, expected a value like 12, at most 128"),
        (
            "intermediate_size",
            10**20,
            "intermediate_size is a number of 67 bits, expected a value like 3072, at most",
        ),
        ("hidden_size", 10**30, "hidden_size is a number of 100 bits, expected"),
        ("layer_norm_eps", float("inf"), "layer_norm_eps is inf, expected a value like 1e-"),
        ("layer_norm_eps", 10**400, "layer_norm_eps is a number of 1329 bits, expected a value like 1e-"),
        (
            "model_type",
            "\x1b[2J\nerror: all good" + "x" * 10**6,
            r"model_type in config.json is '\x1b[2J\nerror: all good",
        ),
    ],
)
def test_configs_beyond_any_size_are_refused(tmp_path, hostile, kind, field, value, told):
    config = {"hubert": hostile[0].HUBERT, "bert": hostile[0].BERT}[kind]
    (tmp_path / "config.json").write_text(json.dumps(config | {field: value}), encoding="utf-8")
    assert told in folder_refusal(tmp_path, kind)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("conv_kernel", [10**30] * 7, "conv_kernel is [a number of 100 bits, "),
        ("conv_dim", [10**9] * 7, "conv_dim is [1000000000, "),
        ("conv_stride", [2] * 7, "conv_stride makes a frame of 128 samples, expected 320"),
        ("conv_dim", [8] * 1000, "conv_dim is [8, 8, 8, 8, 8, ...], expected"),
        ("feat_extract_norm", "\x1b[2J\n" * 10**4, r"feat_extract_norm is '\x1b[2J\n"),
    ],
)
def test_configs_of_hubert_beyond_any_size_are_refused(tmp_path, hostile, field, value, told):
    (tmp_path / "config.json").write_text(json.dumps(hostile[0].HUBERT | {field: value}), encoding="utf-8")
    assert told in folder_refusal(tmp_path, "hubert")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("bits", [30, 33, 40])
@pytest.mark.parametrize("kind", ["hubert", "bert"])
def test_a_number_shown_often_is_refused(tmp_path, hostile, kind, bits, old):
    config = {"hubert": hostile[0].HUBERT, "bert": hostile[0].BERT}[kind]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tensor = torch.zeros(1, dtype=torch.float16).expand(1 << bits)
    torch.save({"a": tensor}, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=not old)
    assert "reaches beyond its 1 stored numbers" in folder_refusal(tmp_path, kind)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"a\x1b[2J\nerror: all good": torch.zeros(1)}, "lacks tensors "),
        ({"x" * (5 << 20): torch.zeros(1)}, "lacks tensors "),
        ({"a": "\x1b[2J\nerror: all good"}, "its weight a is no tensor"),
        ({"a": torch.eye(3).to_sparse()}, "tensor a is sparse, expected a plain tensor"),
    ],
)
def test_words_of_a_folder_cannot_write_to_the_terminal(tmp_path, hostile, state, told):
    (tmp_path / "config.json").write_text(json.dumps(hostile[0].HUBERT), encoding="utf-8")
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert told in folder_refusal(tmp_path, "hubert")
