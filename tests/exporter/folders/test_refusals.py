"""What lies where a voice was expected is named, with what to do."""

import io
import zipfile

import pytest
import torch

from sovits_exporter.demo import writers


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


@pytest.fixture
def half(weights, tmp_path):
    """A folder with a good GPT, for what is no SoVITS beside it."""
    weights.put("v2", tmp_path / "a-e1.ckpt")
    return tmp_path


def tensors(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(2) for name in names}


SOVITS = {
    "RVC": (
        {"weight": tensors("enc_p.emb_phone.weight"), "config": [1], "info": "200e", "f0": 1},
        "a voice of RVC",
    ),
    "so-vits-svc": (
        {"model": tensors("f0_decoder.weight"), "iteration": 1, "optimizer": {}},
        "a voice of so-vits-svc",
    ),
    "discriminator": ({"weight": tensors("discriminators.0.weight"), "config": {}}, "a discriminator"),
    "training": (
        {"model": tensors("enc_p.ssl_proj.weight"), "optimizer": {}},
        "a state to resume training from",
    ),
    "GPT": (
        {"weight": tensors("model.bert_proj.weight"), "config": {}, "info": ""},
        "are the two files swapped?",
    ),
    "nothing": ([1, 2], "expected a SoVITS checkpoint"),
}


@pytest.mark.parametrize("what", SOVITS)
def test_a_sovits_that_is_none(half, refusal, what):
    content, told = SOVITS[what]
    path = save(half / "a_e1_s1.pth", content)
    code, said = refusal("build", "--from", half, "-o", half / "out")
    assert code == 1
    assert f"error: {path}: " in said
    assert told in said


FILES = {
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
    "page": (b"<!DOCTYPE html><html>404</html>", "was it a failed download?"),
    "empty": (b"", "the file is empty (0 bytes)"),
    "zeros": (bytes(4096), "the download was not finished"),
}


@pytest.mark.parametrize("what", [*FILES, "cut off"])
def test_a_file_that_is_not_whole(weights, half, refusal, what):
    path = half / "a_e1_s1.pth"
    if what == "cut off":
        whole = weights.put("v2", half / "whole" / "b.pth").read_bytes()
        (half / "whole" / "b.pth").unlink()
        content, told = whole[: len(whole) // 2], "is a download that was not finished"
    else:
        content, told = FILES[what]
    path.write_bytes(content)
    code, said = refusal("build", "--from", half, "-o", half / "out")
    assert (code, f"error: {path}: " in said, told in said) == (1, True, True), said


def test_a_lightning_checkpoint_in_place_of_the_gpt(weights, refusal, tmp_path):
    weights.put("v2", tmp_path / "a_e1_s1.pth")
    path = save(
        tmp_path / "a-e1.ckpt",
        {
            "epoch": 1,
            "state_dict": tensors("model.bert_proj.weight"),
            "optimizer_states": [],
            "lr_schedulers": [],
        },
    )
    code, said = refusal("build", "--from", tmp_path, "-o", tmp_path / "out")
    assert (code, f"{path}: is a state to resume training from" in said, "GPT_weights" in said) == (
        1,
        True,
        True,
    )


def test_the_newest_file_is_named_when_it_is_damaged_and_no_older_one_taken(weights, half, refusal):
    weights.put("v2", half / "a_e1_s1.pth")
    (half / "a_e2_s2.pth").write_bytes(bytes(100))
    code, said = refusal("build", "--from", half, "-o", half / "out")
    assert (code, "a_e2_s2.pth: begins with 100 zeros" in said) == (1, True)


def test_an_unfinished_download(half, refusal):
    (half / "a_e1_s1.pth.crdownload").write_bytes(b"PK")
    code, said = refusal("build", "--from", half)
    assert code == 1
    assert (
        "a_e1_s1.pth.crdownload: is a download that was not finished (2 bytes so far); download it again"
        in said
    )


def test_archives_that_cannot_be_unpacked(refusal, tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\x07")
    code, said = refusal("build", "--from", tmp_path)
    assert (code, "a.rar: cannot be unpacked here; unpack it, and give the folder" in said) == (1, True)
    code, said = refusal("build", "--from", tmp_path / "a.rar")
    assert (code, "is a RAR archive" in said) == (1, True)


@pytest.mark.parametrize("inside", [True, False])
def test_the_speaker_package_of_another_program(refusal, tmp_path, inside):
    package = tmp_path / "a.gsppkg"
    package.write_bytes(b"GSPP" + bytes(100))
    code, said = refusal("build", "--from", tmp_path if inside else package)
    assert (code, "a.gsppkg: is a speaker package of another program" in said) == (1, True)


def test_training_states_alone(refusal, make_text, tmp_path):
    make_text(tmp_path / "logs" / "a" / "logs_s2_v2" / "G_233333333333.pth", "")
    code, said = refusal("build", "--from", tmp_path)
    assert (code, "G_233333333333.pth: is a state to resume training from" in said) == (1, True)


def test_pretrained_models_alone(weights, refusal, tmp_path):
    weights.installed(tmp_path, "v2Pro")
    code, said = refusal("build", "--from", tmp_path)
    assert (code, "no trained voice lies beside them" in said, "--gpt and --sovits" in said) == (
        1,
        True,
        True,
    )


def test_files_of_other_tools(refusal, make_text, tmp_path):
    make_text(tmp_path / "t2s_encoder.onnx", "x")
    code, said = refusal("build", "--from", tmp_path)
    assert (code, "holds ONNX graphs of another tool; take the .ckpt and .pth" in said) == (1, True)


def test_nothing_at_all(weights, refusal, tmp_path):
    code, said = refusal("build", "--from", tmp_path)
    assert (
        code,
        "holds no voice; expected a GPT checkpoint (.ckpt) and a SoVITS checkpoint (.pth)" in said,
    ) == (1, True)
    code, said = refusal("build", "--from", tmp_path / "gone")
    assert (code, "there is no such file or folder; check the path" in said) == (1, True)
    one = weights.put("v2", tmp_path / "a.pth")
    code, said = refusal("build", "--from", one)
    assert (code, "is one file of a voice" in said) == (1, True)


def test_a_version_that_the_content_leaves_open(weights, refusal, search, tmp_path, monkeypatch):
    """A complete v4 whose config does not tell it from v3: the folder's name tells, else --version is asked for."""
    config = writers.sovits_config("v4", tiny=True)
    config["model"] = {key: value for key, value in config["model"].items() if key != "version"}
    config.pop("version", None)
    monkeypatch.setattr(writers, "sovits_config", lambda version, tiny: config)
    writers.write_sovits(tmp_path / "s", "v4", tiny=True, seed=0, report=lambda done, total: None)
    for folder in ("plain", "v4"):
        weights.put("v4", tmp_path / folder / "a-e1.ckpt")
        (tmp_path / folder / "a_e1_s1.pth").write_bytes((tmp_path / "s").read_bytes())
    code, said = refusal("build", "--from", tmp_path / "plain", "-o", tmp_path / "out")
    assert (code, "could be v3 or v4" in said, "--version v3 or --version v4" in said) == (1, True, True), (
        said
    )
    assert search(tmp_path / "plain", "--version", "v3")["a"]["version"] == "v3"
    voice = search(tmp_path / "v4")["a"]
    assert (voice["version"], voice["version_by"]) == ("v4", "its folder (v4); its content leaves it open")


@pytest.mark.parametrize(
    "options",
    [
        ("--list",),
        ("--name", "a"),
        ("--all",),
        ("--gpt", "a.ckpt"),
        ("--from", ".", "--all", "--name", "a"),
        ("--from", ".", "--phones", "AH0"),
        ("--from", ".", "--ref-text", "Hello."),
        ("--from", ".", "--ref", "a.wav", "--ref-text", "a", "--ref-phones", "AH0"),
    ],
)
def test_options_that_do_not_go_together(refusal, options):
    code, _ = refusal("build", *options)
    assert code == 2


def test_a_zip_of_torch_is_no_pack(weights, refusal, tmp_path):
    """A checkpoint is a zip too: called .zip, it holds no voice."""
    content = weights.put("v1", tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.zip").write_bytes(content)
    assert zipfile.is_zipfile(io.BytesIO(content)) or content[:2] != b"PK"
    code, _ = refusal("build", "--from", tmp_path / "a.zip")
    assert code == 1
