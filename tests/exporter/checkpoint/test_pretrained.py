"""Model folders: what is read, and what is refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sovits_exporter.checkpoint.pretrained import Kind, load_hubert, read_pretrained
from sovits_exporter.modeling.bert import Bert, BertConfig
from sovits_exporter.modeling.hubert import Hubert, HubertConfig
from sovits_runtime.errors import CheckpointError

CONFIGS: dict[str, dict[str, Any]] = {
    "hubert": {
        "model_type": "hubert",
        "hidden_size": 768,
        "num_hidden_layers": 1,
        "num_attention_heads": 12,
        "intermediate_size": 8,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 96,
    },
    "bert": {
        "model_type": "bert",
        "hidden_size": 1024,
        "num_hidden_layers": 3,
        "num_attention_heads": 16,
        "intermediate_size": 8,
        "vocab_size": 10,
        "max_position_embeddings": 8,
    },
}
State = dict[str, Any]


def small_module(kind: str) -> Hubert | Bert:
    torch.manual_seed(0)
    config = CONFIGS[kind]
    if kind == "hubert":
        return Hubert(HubertConfig.from_config(config)).eval()
    return Bert(BertConfig.from_config(config)).eval()


def small_state(kind: str) -> State:
    return {f"{kind}.{name}": t.half() for name, t in small_module(kind).state_dict().items()}


def save_zip(state: State, folder: Path) -> None:
    torch.save(state, folder / "pytorch_model.bin")


def save_legacy(state: State, folder: Path) -> None:
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def save_safetensors(state: State, folder: Path) -> None:
    save_file(state, folder / "model.safetensors")


def write(
    folder: Path, kind: str, *, save: Callable[[State, Path], None] = save_zip, **config: object
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIGS[kind], **config}), encoding="utf-8")
    save(small_state(kind), folder)
    return folder


def refused(folder: Path, kind: Kind = "hubert") -> str:
    with pytest.raises(CheckpointError) as e:
        read_pretrained(folder, kind)
    message = str(e.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_safetensors])
@pytest.mark.parametrize("kind", ["hubert", "bert"])
def test_reads_every_format(kind: Kind, save: Callable[[State, Path], None], tmp_path: Path) -> None:
    folder = write(tmp_path / "model", kind, save=save)
    read = read_pretrained(folder, kind)
    want = small_module(kind).half().float().state_dict()
    assert set(read.tensors) == set(want)
    for name, tensor in read.tensors.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, want[name]), name
    weights = next(p for p in folder.iterdir() if p.name != "config.json")
    content = (folder / "config.json").read_bytes() + weights.read_bytes()
    assert read.sha256 == hashlib.sha256(content).hexdigest()
    assert (read.kind, read.path, read.config["model_type"]) == (kind, folder, kind)


def test_loads_modules_ready_to_run(tmp_path: Path) -> None:
    hubert = load_hubert(write(tmp_path / "hubert", "hubert"))
    bert = read_pretrained(str(write(tmp_path / "bert", "bert")), "bert").module()
    assert not hubert.training
    assert not any(p.requires_grad or p.is_meta for m in (hubert, bert) for p in m.parameters())
    wave, ids = torch.randn(1, 1040), torch.tensor([[1, 5, 2]])
    with torch.inference_mode():
        assert torch.equal(hubert(wave), small_module("hubert").half().float()(wave))
        assert torch.equal(bert(ids), small_module("bert").half().float()(ids))
    assert hubert(wave).shape == (1, 3, 768)
    assert bert(ids).shape == (1, 1024)


def test_safetensors_win_over_the_pickle(tmp_path: Path) -> None:
    folder = write(tmp_path, "bert", save=save_safetensors)
    (folder / "pytorch_model.bin").write_bytes(b"not read")
    assert read_pretrained(folder, "bert").tensors


def test_folders_written_by_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    hubert = transformers.HubertModel(transformers.HubertConfig(**CONFIGS["hubert"])).eval()
    hubert.save_pretrained(tmp_path / "hubert")
    bert = transformers.BertForMaskedLM(transformers.BertConfig(**CONFIGS["bert"])).eval()
    bert.save_pretrained(tmp_path / "bert")
    wave, ids = torch.randn(1, 1040), torch.tensor([[1, 5, 7, 2]])
    with torch.inference_mode():
        torch.testing.assert_close(load_hubert(tmp_path / "hubert")(wave), hubert(wave).last_hidden_state)
        want = bert(ids, output_hidden_states=True).hidden_states[-3][0, 1:-1]
        torch.testing.assert_close(read_pretrained(tmp_path / "bert", "bert").module()(ids), want)


def test_refuses_missing_parts(tmp_path: Path) -> None:
    assert "does not exist; expected the folder of chinese-hubert-base" in refused(tmp_path / "none")
    (tmp_path / "file").touch()
    assert "is a file" in refused(tmp_path / "file")
    assert "config.json is missing" in refused(tmp_path)
    folder = write(tmp_path / "model", "hubert")
    (folder / "pytorch_model.bin").unlink()
    assert "weights are missing, expected model.safetensors or pytorch_model.bin" in refused(folder)
    (folder / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    assert "weights in several files (model.safetensors.index.json) are not read" in refused(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json is not JSON"),
        ("\xff", "config.json is not JSON"),
        ("[1]", "config.json holds a list"),
        ("{}", "model_type in config.json is None, expected 'hubert'"),
        (" " * (2 << 20), "config.json has 2097152 bytes"),
    ],
)
def test_refuses_a_damaged_config(text: str, message: str, tmp_path: Path) -> None:
    folder = write(tmp_path, "hubert")
    (folder / "config.json").write_text(text, encoding="latin-1")
    assert message in refused(folder)


def test_refuses_another_model(tmp_path: Path) -> None:
    folder = write(tmp_path / "bert", "bert")
    assert "model_type in config.json is 'bert', expected 'hubert'" in refused(folder)
    assert "hidden_size in config.json is 384, expected 768" in refused(
        write(tmp_path / "narrow", "hubert", hidden_size=384)
    )
    assert "hidden_size in config.json is 768, expected 1024" in refused(
        write(tmp_path / "base", "bert", hidden_size=768), "bert"
    )
    assert "do_stable_layer_norm is True, expected False" in refused(
        write(tmp_path / "stable", "hubert", do_stable_layer_norm=True)
    )


def changed(folder: Path, change: Callable[[State], object]) -> Path:
    state = small_state("hubert")
    change(state)
    save_zip(state, write(folder, "hubert"))
    return folder


BIAS = "hubert.encoder.layers.0.attention.q_proj.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(BIAS), "lacks tensors encoder.layers.0.attention.q_proj.bias;"),
        (lambda s: s.update({BIAS: torch.ones(7)}), "q_proj.bias is [7], config.json asks for [768]"),
        (lambda s: s[BIAS].__setitem__(3, torch.nan), "q_proj.bias holds NaN or infinity"),
        (lambda s: s[BIAS].__setitem__(3, torch.inf), "q_proj.bias holds NaN or infinity"),
        (lambda s: s.update({"hubert.adapter.weight": torch.ones(1)}), "unknown tensors adapter.weight;"),
        (lambda s: s.update({BIAS: [1, 2]}), "q_proj.bias is no tensor"),
        (lambda s: s.update({1: torch.ones(1)}), "holds 1, expected a plain state dict"),
        (lambda s: s.clear(), "holds a Mapped, expected a plain state dict"),
        (
            lambda s: s.update({BIAS: torch.ones(768, dtype=torch.int8)}),
            "q_proj.bias holds torch.int8, expected",
        ),
    ],
)
def test_refuses_wrong_tensors(change: Callable[[State], object], message: str, tmp_path: Path) -> None:
    assert message in refused(changed(tmp_path, change))


def test_refuses_a_wrong_weight_norm(tmp_path: Path) -> None:
    def change(state: State) -> None:
        weight = state.pop("hubert.encoder.pos_conv_embed.conv.weight")
        state["hubert.encoder.pos_conv_embed.conv.weight_v"] = weight
        state["hubert.encoder.pos_conv_embed.conv.weight_g"] = torch.ones(768, 1, 1)

    assert "magnitude [768, 1, 1] and direction [768, 8, 4], expected [1, 1, kernel]" in refused(
        changed(tmp_path, change)
    )


def test_a_listing_of_many_tensors_is_short(tmp_path: Path) -> None:
    message = refused(changed(tmp_path, lambda s: [s.pop(name) for name in list(s)[5:]]))
    assert "and 25 more" in message
    assert len(message) < 500


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("was_run",))


def test_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "model", "hubert")
    torch.save({"hubert.x": Evil()}, folder / "pytorch_model.bin")
    message = refused(folder)
    told = f"asks for {os.mkdir.__module__}.mkdir, which no checkpoint needs and which could run code; nothing was run"
    assert told in message
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    assert told in refused(folder)
    torch.save({"hubert.x": Evil()}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert told in refused(folder)
    assert not Path("was_run").exists()
    pickle.loads(pickle.dumps(Evil()))
    assert Path("was_run").exists(), "the test's own pickle is harmless, so it proves nothing"


def test_refuses_a_git_lfs_pointer(tmp_path: Path) -> None:
    folder = write(tmp_path, "hubert")
    (folder / "pytorch_model.bin").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", encoding="utf-8"
    )
    assert "is a Git LFS pointer" in refused(folder)


@pytest.mark.parametrize("keep", [0, 3, 100, -100])
@pytest.mark.parametrize("save", [save_zip, save_legacy, save_safetensors])
def test_refuses_a_cut_file(save: Callable[[State, Path], None], keep: int, tmp_path: Path) -> None:
    folder = write(tmp_path, "hubert", save=save)
    file = next(p for p in folder.iterdir() if p.name != "config.json")
    file.write_bytes(file.read_bytes()[:keep])
    message = refused(folder)
    assert f"model: {file.name} " in message.replace(f"{folder}: ", "model: ")
    assert re.search("is empty|cut off|damaged|not finished", message), message
    assert re.search("download (or copy )?(it|the file) again", message), message


def test_hfls_own_archive_of_bert_is_read(tmp_path: Path) -> None:
    """It calls the config bert_config.json, does not name the kind in it, and spells norms the old way."""
    folder = write(tmp_path / "model", "bert")
    usual = read_pretrained(folder, "bert")
    config = {key: value for key, value in CONFIGS["bert"].items() if key != "model_type"}
    (folder / "config.json").unlink()
    (folder / "bert_config.json").write_text(
        json.dumps({**config, "directionality": "bidi", "type_vocab_size": 2}), encoding="utf-8"
    )
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in small_state("bert").items()
    }
    save_legacy(old, folder)
    read = read_pretrained(folder, "bert")
    assert read.tensors.keys() == usual.tensors.keys()
    assert all(torch.equal(read.tensors[name], usual.tensors[name]) for name in usual.tensors)
    assert "config.json is missing" in refused(folder, "hubert")


@pytest.mark.parametrize("named", [{}, {"model_type": None}])
def test_a_config_that_does_not_name_its_kind_is_judged_by_its_fields(tmp_path: Path, named: State) -> None:
    signs = {"bert": {"type_vocab_size": 2}, "hubert": {"feat_extract_norm": "group"}}
    for kind, other in (("bert", "hubert"), ("hubert", "bert")):
        folder = write(tmp_path / kind, kind)
        config = {**CONFIGS[kind], **signs[kind]}
        del config["model_type"]
        (folder / "config.json").write_text(json.dumps({**config, **named}), encoding="utf-8")
        assert read_pretrained(folder, kind).kind == kind
        assert f"model_type in config.json is None, expected '{other}'" in refused(folder, other)


def test_a_pointer_or_page_in_place_of_a_config_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path, "hubert")
    (folder / "config.json").write_text("version https://git-lfs.github.com/spec/v1\n", encoding="utf-8")
    assert "config.json is a Git LFS pointer" in refused(folder)
    (folder / "config.json").write_text("<!DOCTYPE html>", encoding="utf-8")
    assert "config.json is a web page or XML" in refused(folder)
