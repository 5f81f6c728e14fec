"""Official files of all kinds are read to the same tensors; wrong ones are refused in one line that says what to do."""

import hashlib
import logging
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from sovits_exporter.checkpoint.layout import gpt_layout, sovits_layout
from sovits_exporter.checkpoint.official import (
    check_pair,
    load_gpt,
    load_sovits,
)
from sovits_exporter.checkpoint.tensors import check_tensors, fold_weight_norm
from sovits_exporter.checkpoint.version import detect_version
from sovits_exporter.demo.configs import gpt_config, sovits_config
from sovits_exporter.demo.weights import fill
from sovits_runtime.errors import CheckpointError

TRAINING_STATE = ("inited", "cluster_size", "embed_avg")


class HParams:
    """What the official trainer's config class looks like to a pickle."""

    def __init__(self, **values):
        for key, value in values.items():
            setattr(self, key, HParams(**value) if isinstance(value, dict) else value)


def weights(layout, dtype=torch.half):
    return {name: torch.from_numpy(fill(name, shape, 0)).to(dtype) for name, shape in layout.items()}


def gpt_content(version="v2", dtype=torch.half):
    config = gpt_config(version, tiny=True)
    return {"weight": weights(gpt_layout(config), dtype), "config": config, "info": "GPT-e15"}


@pytest.fixture(scope="module")
def sovits_weights():
    return {
        version: weights(sovits_layout(sovits_config(version, tiny=True), version))
        for version in ("v1", "v2", "v2Pro", "v2ProPlus")
    }


@pytest.fixture
def sovits_content(sovits_weights):
    def content(version="v2"):
        config = sovits_config(version, tiny=True)
        return {"weight": dict(sovits_weights[version]), "config": config, "info": "8epoch_96iteration"}

    return content


def save(path: Path, content: object, header: bytes | None = None) -> Path:
    torch.save(content, path)
    if header is not None:
        with path.open("r+b") as f:
            f.write(header)
    return path


def refusal(load, path, **options):
    with pytest.raises(CheckpointError) as e:
        load(path, **options)
    message = str(e.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype", [torch.half, torch.float32, torch.bfloat16, torch.float64])
def test_gpt_round_trip(tmp_path, dtype):
    content = gpt_content(dtype=dtype)
    path = save(tmp_path / "voice.ckpt", content)
    gpt = load_gpt(str(path))
    assert gpt.path == path
    assert gpt.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert gpt.config == content["config"]
    assert gpt.info == "GPT-e15"
    assert {f"model.{name}" for name in gpt.tensors} == set(content["weight"])
    for name, tensor in gpt.tensors.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, content["weight"][f"model.{name}"].float())


def expected_sovits(weight):
    """Folds with torch's own weight norm."""
    expected = {}
    for name, tensor in weight.items():
        if name.endswith(TRAINING_STATE):
            continue
        if name.endswith("weight_v"):
            gain = weight[name[:-1] + "g"].float()
            expected[name[:-2]] = torch._weight_norm(tensor.float(), gain, 0)
        elif not name.endswith("weight_g"):
            expected[name] = tensor.float()
    return expected


@pytest.mark.parametrize(
    ("version", "header"), [("v1", None), ("v2", None), ("v2", b"01"), ("v2Pro", b"05"), ("v2ProPlus", b"06")]
)
def test_sovits_round_trip(tmp_path, sovits_content, version, header):
    content = sovits_content(version)
    path = save(tmp_path / "voice.pth", content, header)
    sovits = load_sovits(path)
    assert sovits.version == version
    assert sovits.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sovits.config == content["config"]
    assert (sovits.info, sovits.lora_rank) == ("8epoch_96iteration", None)
    expected = expected_sovits(content["weight"])
    assert set(sovits.tensors) == set(expected)
    for name, tensor in sovits.tensors.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-7)


def test_a_config_object_gives_the_same_as_a_dict(tmp_path, sovits_content, monkeypatch):
    content = sovits_content()
    plain = load_sovits(save(tmp_path / "plain.pth", content))
    with monkeypatch.context() as patch:
        module = type(sys)("utils")
        module.HParams = HParams
        patch.setattr(HParams, "__module__", "utils")
        patch.setitem(sys.modules, "utils", module)
        save(tmp_path / "object.pth", {**content, "config": HParams(**content["config"])})
    assert "utils" not in sys.modules
    with zipfile.ZipFile(tmp_path / "object.pth") as z:
        assert b"cutils\nHParams\n" in z.read("object/data.pkl")
    loaded = load_sovits(tmp_path / "object.pth")
    assert loaded.config == plain.config == content["config"]
    assert type(loaded.config["model"]) is dict


def test_encoder_for_training_is_dropped_unread(tmp_path, sovits_content):
    content = sovits_content()
    content["weight"]["enc_q.pre.weight"] = torch.full((4, 3, 1), float("nan"))
    assert not [name for name in load_sovits(save(tmp_path / "a.pth", content)).tensors if "enc_q" in name]


def test_training_state_may_be_missing(tmp_path, sovits_content):
    content = sovits_content()
    content["weight"] = {n: t for n, t in content["weight"].items() if not n.endswith(TRAINING_STATE)}
    assert load_sovits(save(tmp_path / "a.pth", content)).version == "v2"


def test_views_and_parameters_are_read_as_they_look(tmp_path):
    content = gpt_content(dtype=torch.float32)
    weight = content["weight"]
    alpha, table = "model.ar_text_position.alpha", "model.bert_proj.weight"
    weight[alpha] = torch.tensor([9.0, 1.25, 7.0])[1:2]
    weight[table] = weight[table].t().contiguous().t()
    weight["model.bert_proj.bias"] = nn.Parameter(weight["model.bert_proj.bias"])
    gpt = load_gpt(save(tmp_path / "a.ckpt", content))
    assert gpt.tensors["ar_text_position.alpha"].tolist() == [1.25]
    assert torch.equal(gpt.tensors["bert_proj.weight"], weight[table])
    assert gpt.tensors["bert_proj.weight"].is_contiguous()


def test_state_dict_of_a_module_is_read(tmp_path):
    """state_dict() carries its metadata as an attribute, which pickles as a state."""
    state = nn.Linear(3, 2).state_dict(prefix="model.")
    with pytest.raises(CheckpointError, match=r"lacks model\.bert_proj\.weight"):
        load_gpt(save(tmp_path / "a.ckpt", {**gpt_content(), "weight": state}))


def test_swapped_files_are_told(tmp_path, sovits_content):
    gpt, sovits = save(tmp_path / "a.ckpt", gpt_content()), save(tmp_path / "b.pth", sovits_content())
    assert "is a SoVITS model, expected a GPT model; are the two files swapped?" in refusal(load_gpt, sovits)
    assert "is a GPT model, expected a SoVITS model; are the two files swapped?" in refusal(load_sovits, gpt)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"model.a": torch.zeros(1)}, "a dict with the keys ['model.a']"),
        ({"model": {}, "optimizer": {}, "iteration": 3}, "resume training"),
        ({"state_dict": {}, "epoch": 3}, "resume training"),
        ([1, 2], "a list"),
        ({"weight": {}, "config": {}}, "no mapping of tensors"),
        ({"weight": [torch.zeros(1)], "config": {}}, "no mapping of tensors"),
        ({"weight": {"model.a": 3}, "config": {}}, "model.a is no tensor"),
        ({"weight": {1: torch.zeros(1)}, "config": {}}, "1 is no tensor"),
        ({"weight": {"conv.weight": torch.zeros(1)}, "config": {}}, "tensors such as conv.weight"),
        ({"weight": {"model.a": torch.zeros(1)}, "config": "v2"}, "config is a str"),
        (
            {"weight": {"model.a": torch.zeros(1)}, "config": {"model": {"embedding_dim": torch.zeros(1)}}},
            "model.embedding_dim = a TensorRef (TensorRef), expected an integer from 1 to 8192",
        ),
        (
            {"weight": {"model.a": torch.zeros(1)}, "config": {"model": {"embedding_dim": 1 << 70000}}},
            "model.embedding_dim = a number of 70001 bits (int), expected",
        ),
        (
            {"weight": {"model.a": torch.zeros(1)}, "config": {"model": {None: 3}}},
            "lacks model.embedding_dim",
        ),
        ({"weight": {"model.a": torch.zeros(1)}, "config": {}}, "lacks model.embedding_dim"),
    ],
)
def test_other_content_is_refused(tmp_path, content, told):
    assert told in refusal(load_gpt, save(tmp_path / "a.ckpt", content))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.zeros(65), "has shape [65], expected [64]"),
        (torch.zeros(64, 1), "has shape [64, 1], expected [64]"),
        (torch.zeros(()), "has shape [], expected [64]"),
        (torch.zeros(64, dtype=torch.int64), "holds int64"),
        (
            torch.full((64,), float("nan")),
            "(float32) holds 64 infinite or NaN values, expected none: the training",
        ),
        (
            torch.full((64,), 7e4).half(),
            "(float16) holds 64 infinite or NaN values, expected none: half precision",
        ),
        (None, "lacks model.bert_proj.bias: has 30 of the 31 tensors expected"),
    ],
)
def test_wrong_tensors_are_named(tmp_path, value, told):
    content = gpt_content()
    content["weight"]["model.bert_proj.bias"] = value
    if value is None:
        del content["weight"]["model.bert_proj.bias"]
    message = refusal(load_gpt, save(tmp_path / "a.ckpt", content))
    assert "model.bert_proj.bias" in message
    assert told in message


def test_one_infinite_value_among_many_is_found(tmp_path, sovits_content):
    content = sovits_content()
    name = "dec.resblocks.3.convs1.0.weight_v"
    content["weight"][name] = content["weight"][name].clone()
    content["weight"][name][1, 2, 0] = float("inf")
    message = refusal(load_sovits, save(tmp_path / "a.pth", content))
    assert f"tensor {name} (float16) holds 1 infinite" in message


def test_config_and_weights_must_belong_together(tmp_path, sovits_content):
    content = sovits_content()
    content["config"]["model"]["inter_channels"] = 64
    message = refusal(load_sovits, save(tmp_path / "a.pth", content))
    assert "enc_p.proj.weight has shape [64, 192, 1], expected [128, 192, 1]" in message
    assert "more; is the file of another version" in message


def test_unknown_tensors_are_refused(tmp_path):
    """They would carry a part of what the model computes, and its speech would differ without them."""
    content = gpt_content()
    content["weight"]["model.surprise"] = torch.zeros(1)
    message = refusal(load_gpt, save(tmp_path / "a.ckpt", content))
    assert "holds model.surprise, which this release does not know, expected 31 tensors" in message


def test_plain_files_log_nothing(tmp_path, caplog, sovits_content):
    with caplog.at_level(logging.WARNING):
        load_gpt(save(tmp_path / "a.ckpt", gpt_content()))
        load_sovits(save(tmp_path / "a.pth", sovits_content()))
    assert not caplog.text


CFM = {"cfm.estimator.d_embed.x": (1,), "cfm.estimator.time_embed.x": (1,)}
V5, LORA = {"cfm.estimator.time_embed.x": (1,)}, {"cfm.base_model.model.estimator.x": (1,)}
PRO = {"sv_emb.weight": (1024, 20480)}
V3, NONE = {"model": {"version": "v3"}}, {"model": {}}


@pytest.mark.parametrize(
    ("header", "shapes", "config", "asked", "version"),
    [
        (b"PK", {"enc_p.text_embedding.weight": (322, 192)}, V3, None, "v1"),
        (b"01", {"enc_p.text_embedding.weight": (322, 192)}, NONE, None, "v1"),
        (b"00", {"enc_p.text_embedding.weight": (732, 192)}, NONE, None, "v2"),
        (b"PK", {"enc_p.text_embedding.weight": (732, 192)}, V3, "v2", "v2"),
        (b"PK", {"ref_enc.x": (1,)}, NONE, None, "v2"),
        (b"PK", {**PRO, "dec.conv_pre.weight": (512, 192, 7)}, NONE, None, "v2Pro"),
        (b"PK", {**PRO, "dec.conv_pre.weight": (768, 192, 7)}, NONE, None, "v2ProPlus"),
        (b"06", {**PRO, "dec.conv_pre.weight": (64, 32, 7)}, NONE, None, "v2ProPlus"),
        (b"PK", PRO, {"model": {"version": "v2Pro"}}, None, "v2Pro"),
        (b"PK", CFM, V3, None, "v3"),
        (b"PK", CFM, V3, "v4", "v4"),
        (b"PK", CFM, NONE, "v3", "v3"),
        (b"04", CFM, V3, None, "v4"),
        (b"02", CFM, NONE, None, "v3"),
        *((header, V5, {"model": {"version": "v5dev"}}, None, "v5dev") for header in (b"PK", b"07")),
        *((header, V5, {"model": {"version": "v5turbo"}}, None, "v5turbo") for header in (b"PK", b"08")),
        (b"08", V5, NONE, None, "v5turbo"),
        (b"PK", V5, {"model": {"version": "v5"}}, None, "v5dev"),
        (b"PK", V5, V3, "v5turbo", "v5turbo"),
        (b"07", LORA, V3, None, "v5dev"),
        (b"08", LORA, NONE, None, "v5turbo"),
        (b"PK", LORA, {"model": {"version": "v5turbo"}}, None, "v5turbo"),
    ],
)
def test_version_is_detected(header, shapes, config, asked, version):
    assert detect_version(header, shapes, config, requested=asked) == version


@pytest.mark.parametrize(
    ("header", "shapes", "config", "asked", "told"),
    [
        (b"PK", CFM, NONE, None, "could be v3 or v4"),
        (b"PK", CFM, {"model": {"version": ["v3"]}}, None, "could be v3 or v4"),
        (b"PK", CFM, {}, None, "name it: --version v3 or --version v4"),
        (b"05", CFM, NONE, None, "its first bytes say v2Pro, its tensors say v3 or v4"),
        (b"04", CFM, NONE, "v3", "is a v4 model, but version v3"),
        (b"PK", CFM, NONE, "v2", "is a v3 or v4 model, but version v2"),
        (b"PK", {}, NONE, "v9", "version 'v9' is unknown"),
        (b"PK", V5, NONE, None, "name it: --version v5dev or --version v5turbo"),
        (b"PK", V5, V3, None, "could be v5dev or v5turbo"),
        (b"PK", V5, NONE, "v4", "is a v5dev or v5turbo model, but version v4"),
        (b"07", V5, NONE, "v5turbo", "is a v5dev model, but version v5turbo"),
        (b"07", CFM, NONE, None, "its first bytes say v5dev, its tensors say v3 or v4"),
        (b"09", {}, NONE, None, "starts with the version 09"),
        (b"\x1b[", {}, NONE, None, r"\x1b["),
        (b"PK", {"enc_p.text_embedding.weight": ()}, NONE, "v1", "is a v2 model"),
    ],
)
def test_contradictory_or_open_versions_are_refused(header, shapes, config, asked, told):
    with pytest.raises(CheckpointError) as e:
        detect_version(header, shapes, config, requested=asked)
    assert told in str(e.value)


@pytest.mark.parametrize(
    ("name", "digest", "version"),
    [
        ("s2Gv5dev", "", "v5dev"),
        ("s2gv5turbo", "", "v5turbo"),
        ("mine", "0e6e00af4104438346bda5344e6260e3", "v5dev"),
        ("s2Gv5dev", "6bc5cb2a195cc8ec22b2e723cd4d6f47", "v5turbo"),
    ],
)
def test_a_v5_base_is_known_by_its_first_bytes_or_its_name(name, digest, version):
    assert detect_version(b"PK", V5, {}, start_digest=digest, name=name) == version


def test_text_rows_of_no_table_are_refused(tmp_path, sovits_content):
    content = sovits_content()
    content["weight"]["enc_p.text_embedding.weight"] = torch.zeros(700, 192)
    message = refusal(load_sovits, save(tmp_path / "a.pth", content))
    assert "enc_p.text_embedding.weight has shape [700, 192], expected [732, 192]" in message


def test_pairs_must_share_their_symbols(tmp_path, sovits_content):
    old, new = (load_gpt(save(tmp_path / f"{v}.ckpt", gpt_content(v))) for v in ("v1", "v2"))
    v1, v2 = (load_sovits(save(tmp_path / f"{v}.pth", sovits_content(v))) for v in ("v1", "v2"))
    check_pair(old, v1)
    check_pair(new, v2)
    with pytest.raises(CheckpointError, match=r"v1\.ckpt: knows 512 phones, expected 732"):
        check_pair(old, v2)


@pytest.mark.parametrize("conv", [nn.Conv1d(3, 5, 4), nn.ConvTranspose1d(3, 5, 4)])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_folding_equals_torch(conv):
    torch.manual_seed(0)
    normed = nn.utils.weight_norm(conv)
    normed.weight_g.data.uniform_(0.1, 3.0)
    normed(torch.zeros(1, 3, 8))
    folded = fold_weight_norm({f"a.{n}": t.detach() for n, t in normed.state_dict().items()})
    assert set(folded) == {"a.bias", "a.weight"}
    torch.testing.assert_close(folded["a.weight"], normed.weight.detach(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"a.weight_v": torch.ones(2, 3)}, "a.weight_g is missing"),
        ({"a.weight_g": torch.ones(2, 1)}, "a.weight_g lacks its partner"),
        (
            {"a.weight_g": torch.ones(3, 1), "a.weight_v": torch.ones(2, 3)},
            "has shape [3, 1], expected [2, 1]",
        ),
        (
            {"a.weight_g": torch.ones(2, 1), "a.weight_v": torch.eye(2, 3) * torch.tensor([[1.0], [0.0]])},
            "zeros",
        ),
    ],
)
def test_half_pairs_are_not_folded(tensors, told):
    with pytest.raises(CheckpointError) as e:
        fold_weight_norm(tensors)
    assert told in str(e.value)


def test_check_tensors_names_the_first_few():
    lacks = r"^lacks w0, w1, w2 and 7 more: has 1 of the 11"
    with pytest.raises(CheckpointError, match=lacks) as e:
        check_tensors({"x": torch.zeros(1)}, {**{f"w{i}": (1,) for i in range(10)}, "x": (1,)})
    assert "\n" not in str(e.value)
    check_tensors({"x": torch.zeros(1)}, {"x": (1,)})
