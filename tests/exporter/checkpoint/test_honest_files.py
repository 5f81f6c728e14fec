"""Files that honest people have: read where they hold a voice, else named for what they are, with what to do.

What is refused is asked through the command line, as its user would.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import gzip
import json
import pathlib
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sovits_exporter.checkpoint.layout import gpt_layout, sovits_layout
from sovits_exporter.checkpoint.official import load_gpt, load_sovits
from sovits_exporter.checkpoint.version import detect_version
from sovits_exporter.cli.main import main
from sovits_exporter.demo.configs import gpt_config, sovits_config
from sovits_exporter.demo.weights import fill
from sovits_runtime.errors import CheckpointError


def weights(layout):
    return {name: torch.from_numpy(fill(name, shape, 0)) for name, shape in layout.items()}


@pytest.fixture(scope="module")
def gpt_weights():
    return weights(gpt_layout(gpt_config("v2", tiny=True)))


@pytest.fixture(scope="module")
def sovits_weights():
    return weights(sovits_layout(sovits_config("v2", tiny=True), "v2"))


@pytest.fixture
def gpt(gpt_weights):
    return {"weight": dict(gpt_weights), "config": gpt_config("v2", tiny=True), "info": ""}


@pytest.fixture
def sovits(sovits_weights):
    return {"weight": dict(sovits_weights), "config": sovits_config("v2", tiny=True), "info": ""}


@pytest.fixture
def classes(monkeypatch):
    """Makes classes of modules that exist while a file is written, and not when it is read."""

    def make(module: str, name: str, *bases: type) -> type:
        made = type(name, bases, {"__module__": module})
        for i in range(len(parts := module.split("."))):
            monkeypatch.setitem(sys.modules, ".".join(parts[: i + 1]), types.ModuleType(parts[i]))
        setattr(sys.modules[module], name, made)
        return made

    return make


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def told(gpt: Path, sovits: Path | None = None) -> str:
    """What `build` says in its one line."""
    result = CliRunner().invoke(
        main, ["build", "--gpt", str(gpt), "--sovits", str(sovits or gpt), "-o", str(gpt) + ".bundle"]
    )
    assert result.exit_code == 1, result.output
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert result.stderr.splitlines()[-1] == line
    return line


def trainer_values() -> dict[str, object]:
    """What trainers put beside their weights."""
    return {
        "output_dir": pathlib.PurePosixPath("logs/x"),
        "path": pathlib.Path("logs/x"),
        "rate": np.float64(0.1),
        "count": np.int64(3),
        "name": np.str_("x"),
        "array": np.zeros(3),
        "kinds": {"a", "b"},
        "frozen": frozenset({1, 2}),
        "default": collections.defaultdict(list, a=[1]),
        "counter": collections.Counter("aab"),
        "time": datetime.datetime(2026, 1, 2, 3),
        "options": argparse.Namespace(a=1),
        "space": types.SimpleNamespace(a=1),
        "dtype": torch.float16,
        "device": torch.device("cuda:0"),
        "size": torch.Size([1, 2]),
        "pairs": {(1, 2): 3, None: 4, 1.5: 5},
        "bytes": b"abc",
        "parameter": torch.nn.Parameter(torch.zeros(2)),
    }


def test_the_state_of_a_training_run_is_told(tmp_path):
    content = {
        "epoch": 0,
        "global_step": 1,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {"model.h.layers.0.norm1.weight": torch.zeros(2)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}],
        "hyper_parameters": trainer_values(),
    }
    state = save(tmp_path / "epoch=0-step=1.ckpt", content)
    line = "is a state to resume training from; its result lies in the GPT_weights folder"
    with pytest.raises(CheckpointError, match=line):
        load_gpt(state)
    smallest = {"state_dict": {}, "hyper_parameters": {"output_dir": pathlib.Path("logs/x")}}
    with pytest.raises(CheckpointError, match=line):
        load_gpt(save(state, smallest))
    of_sovits = {
        "model": {"enc_p.proj.bias": torch.zeros(2)},
        "iteration": 3,
        "optimizer": {},
        "learning_rate": 0.1,
    }
    assert "its result lies in the SoVITS_weights folder" in told(save(tmp_path / "G_233333.pth", of_sovits))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_nobody_reads_is_not_judged(tmp_path, gpt, protocol):
    gpt["config"]["train"] = trainer_values()
    gpt["info"] = pathlib.Path("x")
    gpt["extra"] = trainer_values()
    torch.save(gpt, tmp_path / "a.ckpt", pickle_protocol=protocol)
    read = load_gpt(tmp_path / "a.ckpt")
    assert read.config["model"] == gpt_config("v2", tiny=True)["model"]
    assert read.config["train"]["count"] == 3
    assert read.config["train"]["name"] == "x"
    assert read.config["train"]["rate"] == 0.1


def test_sizes_may_be_numpys_and_nothing_else(tmp_path, gpt):
    width = gpt["config"]["model"]["embedding_dim"]
    gpt["config"]["model"]["embedding_dim"] = np.int32(width)
    assert load_gpt(save(tmp_path / "a.ckpt", gpt)).config["model"]["embedding_dim"] == width
    gpt["config"]["model"]["embedding_dim"] = pathlib.PurePosixPath("logs/x")
    with pytest.raises(
        CheckpointError, match=r"embedding_dim = a pathlib\..*PurePosixPath.*expected an integer"
    ):
        load_gpt(save(tmp_path / "a.ckpt", gpt))


@pytest.mark.parametrize("module", ["GPT_SoVITS.utils", "module.utils", "utils"])
def test_configs_of_any_package_are_read(tmp_path, sovits, classes, module):
    def parameters(values: object) -> object:
        if not isinstance(values, dict):
            return values
        made = cls()
        made.__dict__.update({key: parameters(value) for key, value in values.items()})
        return made

    cls, config = classes(module, "HParams"), sovits["config"]
    path = save(tmp_path / "a.pth", {**sovits, "config": parameters(config)})
    assert load_sovits(path).config == config


def test_configs_that_are_dicts_of_another_class_are_read(tmp_path, gpt, classes):
    cls, config = classes("AR.utils", "DictToAttrRecursive", dict), gpt["config"]

    def recursive(values: object) -> object:
        if not isinstance(values, dict):
            return values
        made = cls({key: recursive(value) for key, value in values.items()})
        made.__dict__.update(made)
        return made

    ordered = classes("AR.state", "State", collections.OrderedDict)
    gpt |= {"config": recursive(config), "weight": ordered(gpt["weight"])}
    assert load_gpt(save(tmp_path / "a.ckpt", gpt)).config == config
    assert load_gpt(save(tmp_path / "b.ckpt", collections.defaultdict(list, gpt))).config == config


class Rebuilt:
    """A tensor that a function of PyTorch would make."""

    def __init__(self, function: object, *args: object) -> None:
        self.made = function, args

    def __reduce__(self) -> object:
        return self.made


def special(kind: str) -> object:
    make = torch._utils
    return {
        "DirectML": Rebuilt(
            make._rebuild_device_tensor_from_numpy, np.zeros(3), torch.float32, "privateuseone:0", False
        ),
        "TPU": Rebuilt(
            make._rebuild_device_tensor_from_cpu_tensor, torch.zeros(3), torch.float32, "xla:0", False
        ),
        "class": Rebuilt(
            torch._tensor._rebuild_from_type_v2, torch._utils._rebuild_tensor_v2, torch.Tensor, (), {}
        ),
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
        "complex": torch.zeros(3, dtype=torch.complex64),
        "meta": torch.zeros(3, device="meta"),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "problem", "remedy"),
    [
        ("DirectML", "was saved from a device that PyTorch's CPU build does not know", ".cpu()"),
        ("TPU", "was saved from a device that PyTorch's CPU build does not know", ".cpu()"),
        ("class", "was saved from a device that PyTorch's CPU build does not know", ".cpu()"),
        ("sparse", "is sparse", ".to_dense()"),
        ("quantized", "is quantized", ".dequantize()"),
        ("complex", "holds numbers of a type that no GPT-SoVITS file has", ".float()"),
        ("meta", "has a shape and no values", "its values"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_a_cpu_cannot_read_are_told(tmp_path, gpt, kind, problem, remedy):
    gpt["weight"]["model.bert_proj.bias"] = special(kind)
    with pytest.raises(CheckpointError) as e:
        load_gpt(save(tmp_path / "a.ckpt", gpt))
    assert f"tensor model.bert_proj.bias {problem}, expected a plain tensor; " in str(e.value)
    assert str(e.value).endswith(f"save it again with {remedy}")


def test_tensors_that_only_training_uses_are_not_judged(tmp_path, sovits):
    sovits["weight"]["enc_q.pre.weight"] = special("DirectML")
    assert load_sovits(save(tmp_path / "a.pth", sovits)).version == "v2"


@pytest.mark.parametrize("wrap", ["module.{}", "_orig_mod.{}", "_orig_mod.module.{}", "module._orig_mod.{}"])
def test_known_wrappers_are_stripped(tmp_path, gpt, sovits, wrap):
    for content, load in ((gpt, load_gpt), (sovits, load_sovits)):
        plain = load(save(tmp_path / "plain.pth", content)).tensors
        content["weight"] = {wrap.format(name): tensor for name, tensor in content["weight"].items()}
        wrapped = load(save(tmp_path / "wrapped.pth", content)).tensors
        assert plain.keys() == wrapped.keys()
        assert all(torch.equal(plain[name], wrapped[name]) for name in plain)


def test_a_wrapper_inside_the_model_is_stripped(tmp_path, sovits):
    sovits["weight"] = {name.replace("dec.", "dec._orig_mod."): t for name, t in sovits["weight"].items()}
    assert load_sovits(save(tmp_path / "a.pth", sovits)).version == "v2"


def test_a_gpt_without_its_prefix_is_read(tmp_path, gpt):
    plain = load_gpt(save(tmp_path / "plain.ckpt", gpt)).tensors
    gpt["weight"] = {name.removeprefix("model."): tensor for name, tensor in gpt["weight"].items()}
    path = save(tmp_path / "bare.ckpt", gpt)
    assert load_gpt(path).tensors.keys() == plain.keys()
    with pytest.raises(CheckpointError, match="is a GPT model, expected a SoVITS model"):
        load_sovits(path)


def test_the_same_tensor_under_two_wrappers_is_refused(tmp_path, gpt):
    gpt["weight"]["module.model.bert_proj.bias"] = torch.zeros(64)
    with pytest.raises(CheckpointError, match=r"holds tensor model\.bert_proj\.bias twice"):
        load_gpt(save(tmp_path / "a.ckpt", gpt))


def test_weight_norm_may_be_of_any_form(tmp_path, sovits):
    """As the official files have it, as newer PyTorch writes it, and multiplied out."""
    official = load_sovits(save(tmp_path / "a.pth", sovits)).tensors
    newer, folded = {}, {}
    for name, tensor in sovits["weight"].items():
        stem = name[:-2]
        if name.endswith("weight_v"):
            newer[stem.replace("weight", "parametrizations.weight.original1")] = tensor
            folded[stem] = official[stem]
        elif name.endswith("weight_g"):
            newer[stem.replace("weight", "parametrizations.weight.original0")] = tensor
        else:
            newer[name] = folded[name] = tensor
    for form in (newer, folded):
        read = load_sovits(save(tmp_path / "b.pth", {**sovits, "weight": form})).tensors
        assert read.keys() == official.keys()
        assert all(torch.equal(read[name], official[name]) for name in read)


def test_half_of_a_weight_norm_is_no_weight(tmp_path, sovits):
    name = next(name for name in sovits["weight"] if name.endswith("weight_g"))
    del sovits["weight"][name]
    with pytest.raises(CheckpointError, match=f"lacks {name}: has"):
        load_sovits(save(tmp_path / "a.pth", sovits))


CFM = {"cfm.base_model.model.estimator.x": (1,)}


@pytest.mark.parametrize(
    ("config", "info", "version"),
    [
        ({"version": "v4"}, "", "v4"),
        ({"version": "v3", "model": {}}, "", "v3"),
        ({"model": {"version": "v4"}, "version": "v3"}, "", "v4"),
        ({}, "pretrained_s2G_v4", "v4"),
        ({}, "pretrained_s2Gv3", "v3"),
        ({}, "12epoch_v4_lora", "v4"),
    ],
)
def test_the_version_of_a_lora_is_read_wherever_it_stands(config, info, version):
    assert detect_version(b"PK", CFM, config, info=info) == version


@pytest.mark.parametrize("info", ["", "v3 or v4", "rev4", "v44", "8epoch_96iteration"])
def test_a_version_that_stands_nowhere_is_asked_for(info):
    with pytest.raises(CheckpointError, match="name it: --version v3 or --version v4"):
        detect_version(b"PK", CFM, {}, info=info)


def archive(path: Path, kind: str) -> Path:
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            for name in ("me/me-e15.ckpt", "me/me_e8_s96.pth", "me/hello.wav"):
                z.writestr(name, b"x" * 1000)
    elif kind == "tar":
        (path.parent / "me.ckpt").write_bytes(b"x")
        with tarfile.open(path, "w") as t:
            t.add(path.parent / "me.ckpt", "me.ckpt")
    else:
        start = {
            "RAR": b"Rar!\x1a\x07\x01\x00",
            "7-Zip": b"7z\xbc\xaf\x27\x1c\x00\x04",
            "gzip": gzip.compress(b"x"),
        }
        path.write_bytes(start[kind] + b"\x01" * 1000)
    return path


@pytest.mark.parametrize("kind", ["zip", "tar", "RAR", "7-Zip", "gzip"])
def test_archives_are_told(tmp_path, kind):
    line = told(archive(tmp_path / "voice.zip", kind))
    assert f"voice.zip: is a {kind} archive" in line
    assert "unpack it, and name the .ckpt and .pth inside" in line
    if kind == "zip":
        assert "with me/me-e15.ckpt, me/me_e8_s96.pth, me/hello.wav; " in line


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        (
            "a.ckpt",
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a Git LFS pointer .* run `git lfs pull`",
        ),
        (
            "a.ckpt",
            b"PK\x03\x04" + b"\x01" * 9000 + bytes(9000),
            "a download that was not finished .*download it again",
        ),
        ("a.ckpt", bytes(9000), "begins with 512 zeros, .* not finished, download it again"),
        ("a.ckpt.crdownload", b"PK\x03\x04" + b"\x01" * 9000, "a download that was not finished"),
        (
            "a.ckpt",
            b"PK\x03\x04" + b"\x01" * 9000,
            "9004 bytes are cut off or damaged; download or copy it again",
        ),
        ("a.ckpt", b"<!DOCTYPE html>", "is a web page or XML"),
    ],
)
def test_other_files_are_told(tmp_path, name, content, line):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=line):
        load_gpt(tmp_path / name)


OTHERS = {
    "a discriminator": "discriminators.0.convs.0.bias",
    "a voice of so-vits-svc": "f0_decoder.prenet.weight",
    "a voice of RVC": "enc_p.emb_phone.weight",
    "a voice of VITS or Bert-VITS2": "sdp.flows.0.m",
    "a voice of F5-TTS": "transformer.transformer_blocks.0.attn.to_q.weight",
    "HuBERT": "hubert.encoder.layer_norm.weight",
    "BERT": "bert.embeddings.LayerNorm.weight",
    "a speaker network": "layer1.0.conv1.weight",
    "a vocoder": "conv_pre.weight",
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("key", ["weight", "model", None])
def test_models_of_other_kinds_are_told(tmp_path, what, key):
    """RVC's files have a list as config, so the kind is told before the config is judged."""
    state = {
        OTHERS[what]: torch.zeros(2),
        "enc_p.proj.weight": torch.zeros(2),
        "dec.cond.bias": torch.zeros(2),
    }
    content = {key: state, "config": [1, 2], "info": "x", "sr": "40k", "f0": 1} if key else state
    with pytest.raises(CheckpointError, match=f"is {what}.*, expected a SoVITS model; "):
        load_sovits(save(tmp_path / "a.pth", content))


def test_a_whole_model_that_was_pickled_is_told(tmp_path, classes):
    line = r"holds a models\.SynthesizerTrn, expected a GPT checkpoint: a dict with weight, config and info"
    path = save(tmp_path / "a.pth", classes("models", "SynthesizerTrn")())
    with pytest.raises(CheckpointError, match=line):
        load_gpt(path)


def test_files_of_old_pytorch_are_read(tmp_path, gpt):
    new = load_gpt(save(tmp_path / "new.ckpt", gpt))
    torch.save(gpt, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    old = load_gpt(tmp_path / "old.ckpt")
    assert old.config == new.config
    assert all(torch.equal(old.tensors[name], new.tensors[name]) for name in new.tensors)
    data = (tmp_path / "old.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(data[:-100])
    with pytest.raises(CheckpointError, match="is cut off or damaged at its record"):
        load_gpt(tmp_path / "cut.ckpt")


def test_a_large_training_state_is_within_the_budget(tmp_path):
    """Ten times the entries of the official GPT with its optimizer, and dicts as Lightning has them."""
    zero = torch.zeros(1)
    names = [f"model.h.layers.{i}.weight" for i in range(3000)]
    content = {
        "state_dict": {name: zero for name in names},
        "optimizer_states": [
            {"state": {i: {"step": zero, "exp_avg": zero, "exp_avg_sq": zero} for i in range(3000)}}
        ],
        "lists": {"lengths": list(range(100_000)), "names": [f"{i}.wav" for i in range(20_000)]},
    }
    with pytest.raises(CheckpointError, match="is a state to resume training from"):
        load_gpt(save(tmp_path / "a.ckpt", content))


def test_a_gpt_config_given_as_json_types_only_is_plain(tmp_path, gpt):
    read = load_gpt(save(tmp_path / "a.ckpt", gpt))
    assert json.loads(json.dumps(read.config)) == read.config
