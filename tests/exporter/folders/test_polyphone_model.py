"""G2PW of an installation: found, taken over by a build, then what reads Mandarin; or fetched from there by name."""

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime.text.zh.g2pw import polyphone_reader

sys.path.append(str(Path(__file__).parents[2] / "text"))
from made_up_g2pw import write_g2pw

pytest.importorskip("pypinyin")
pytest.importorskip("jieba")
pytest.importorskip("kokorog2p")
pytest.importorskip("tokenizers")


@pytest.fixture(autouse=True)
def own_machine(tmp_path, monkeypatch):
    monkeypatch.delenv("SOVITS_G2PW_DIR", raising=False)
    monkeypatch.setenv("SOVITS_EXPORT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "scope-cache"))


@pytest.fixture
def make(weights, tmp_path):
    """An installation with a voice and G2PW; the tokenizer lies with BERT, the corrections beside, as there."""

    def make(version="v2"):
        root = weights.experiment(
            weights.installed(tmp_path / "GPT-SoVITS", version), version, "派蒙", clips=False
        )
        folder = write_g2pw(root / "GPT_SoVITS" / "text" / "G2PWModel")
        bert = root / "GPT_SoVITS" / "pretrained_models" / "chinese-roberta-wwm-ext-large"
        (bert / "tokenizer.json").unlink()
        (folder / "vocab.txt").rename(bert / "vocab.txt")
        (folder / "log.txt").write_text("not read by anybody")
        corrections = folder.parent / "g2pw" / "polyphonic.rep"
        corrections.parent.mkdir()
        corrections.write_text("重行: ['chong2', 'hang2']", "utf-8")
        return root, folder

    return make


@pytest.fixture
def build(monkeypatch):
    """Runs `build --from` up to the build itself."""

    def build(root, *options, code=0):
        built = []
        monkeypatch.setattr(
            "sovits_exporter.cli.build._build", lambda options, request: built.append(request)
        )
        monkeypatch.setattr("sovits_exporter.cli.build._finish", lambda options, report: None)
        result = CliRunner().invoke(main, ["build", "--from", str(root), *options])
        assert result.exit_code == code, result.output
        assert len(built) == 1
        return result

    return build


def read(text):
    from sovits_runtime.text import phonemize

    return " ".join(phonemize(text, "zh").symbols)


def test_a_build_takes_it_over_and_the_front_end_reads_by_it(make, build, search, tmp_path):
    root, folder = make()
    assert read("行走.") == "x ing2 z ou3 ."
    assert search(root)["派蒙"]["g2pw"] == str(folder)
    assert not (tmp_path / "data").exists()  # a search changes nothing
    taken = tmp_path / "data" / "text" / "G2PWModel"
    result = build(root)
    assert f"G2PW      {folder}" in result.output
    assert f"G2PW: in {taken} from now on" in result.output
    assert sorted(path.name for path in taken.iterdir()) == [
        "MONOPHONIC_CHARS.txt", "POLYPHONIC_CHARS.txt", "bopomofo_to_pinyin_wo_tune_dict.json", "config.py",
        "g2pW.onnx", "polyphonic.rep", "vocab.txt",
    ]  # fmt: skip
    assert os.path.samefile(taken / "g2pW.onnx", folder / "g2pW.onnx")  # takes no room
    assert read("行走.") == "h ang2 z ou3 ."
    assert read("重行.") == "ch ong2 h ang2 ."
    again = build(root)
    assert "from now on" not in again.output
    assert f"{taken} does so already" in again.output


def test_one_that_is_named_goes_first(make, build, monkeypatch, tmp_path):
    root, _ = make()
    own = write_g2pw(tmp_path / "own")
    monkeypatch.setenv("SOVITS_G2PW_DIR", str(own))
    assert f"{own} does so already" in build(root).output
    assert not (tmp_path / "data").exists()
    assert polyphone_reader() is not None


def test_v1_was_trained_without(make, build, tmp_path):
    root, _ = make("v1")
    assert "G2PW" not in build(root).output
    assert not (tmp_path / "data").exists()


def test_a_damaged_one_is_said_and_the_voice_is_built(make, build, tmp_path):
    root, folder = make()
    (folder / "POLYPHONIC_CHARS.txt").write_text("行", "utf-8")
    assert "note: G2PW is not taken over, so polyphones are read by pypinyin: " in build(root).output
    assert not (tmp_path / "data" / "text" / "G2PWModel").exists()


@pytest.mark.parametrize("inside", ["", "GPT_SoVITS/text", "GPT_SoVITS/text/G2PWModel"])
def test_fetch_takes_it_from_a_folder(make, tmp_path, inside):
    root, folder = make()

    def fetch(*options):
        result = CliRunner().invoke(main, ["fetch", "g2pw", "--offline", *options])
        assert result.exit_code == 0, result.output
        return result.output

    assert f"found at {folder}" in fetch("--from", str(root / inside))
    assert read("行走.") == "h ang2 z ou3 ."
    assert "there" in fetch("--list")
    taken = tmp_path / "data" / "text" / "G2PWModel" / "g2pW.onnx"
    taken.unlink()
    assert "to fetch" in CliRunner().invoke(main, ["fetch", "g2pw", "--list"]).output
