"""Everything that a build needs is looked for before anything is exported, and before what takes long is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_exporter.demo.demo import DemoFiles, write_demo_checkpoint


@pytest.fixture(scope="module")
def files(folder) -> DemoFiles:
    return write_demo_checkpoint(folder / "files", version="v2", tiny=True, bert=True)


@pytest.fixture
def nothing_is_exported(monkeypatch):
    def export(*_: object) -> None:
        raise AssertionError("exported")

    monkeypatch.setattr("sovits_exporter.building.build.export_graph", export)
    monkeypatch.setattr("sovits_exporter.building.voice.read_pretrained", export)


def refusal(files: DemoFiles, output: Path, *options: object) -> str:
    pair = ("--gpt", files.gpt, "--sovits", files.sovits, "-o", output / "voice")
    result = CliRunner().invoke(main, ["build", *(str(word) for word in (*pair, *options))])
    assert result.exit_code == 1, result.output
    assert not (output / "voice").exists()
    return result.stderr.splitlines()[-1]


@pytest.fixture
def bert(files, tmp_path) -> Path:
    return Path(shutil.copytree(files.bert, tmp_path / "bert"))


def tokenizers(bert: Path) -> list[Path]:
    return [path for path in (bert / "tokenizer.json", bert / "vocab.txt") if path.exists()]


@pytest.mark.usefixtures("nothing_is_exported")
def test_a_bert_folder_without_tokenizer(files, bert, tmp_path):
    for path in tokenizers(bert):
        path.unlink()
    line = refusal(files, tmp_path, "--hubert", files.hubert, "--bert", bert)
    assert line.startswith(
        f"error: {bert}: holds neither tokenizer.json nor vocab.txt, without which Chinese text"
    )
    assert line.endswith("fetch the whole folder of chinese-roberta-wwm-ext-large")


@pytest.mark.usefixtures("nothing_is_exported")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty, expected a tokenizer"),
        ("version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
    ],
)
def test_a_tokenizer_that_is_none(files, bert, tmp_path, content, told):
    for path in tokenizers(bert):
        path.write_text(content, encoding="utf-8")
    assert told in refusal(files, tmp_path, "--bert", bert)


@pytest.mark.usefixtures("nothing_is_exported")
def test_weights_of_the_second_folder(files, bert, tmp_path):
    for path in (*bert.glob("*.bin"), *bert.glob("*.safetensors")):
        path.unlink()
    line = refusal(files, tmp_path, "--hubert", files.hubert, "--bert", bert)
    assert f"{bert}: weights are missing, expected model.safetensors or pytorch_model.bin" in line


@pytest.mark.usefixtures("nothing_is_exported")
def test_the_recording_of_the_request_to_record(files, tmp_path):
    words = ("--ref", tmp_path / "no.wav", "--ref-phones", "HH AY1 .", "--phones", "HH AY1 .")
    assert "no.wav" in refusal(files, tmp_path, "--hubert", files.hubert, *words)


@pytest.mark.usefixtures("nothing_is_exported")
def test_a_vocoder_that_is_not_there(folder, tmp_path):
    v4 = write_demo_checkpoint(folder / "v4", version="v4", tiny=True)
    absent = tmp_path / "vocoder.pth"
    line = refusal(v4, tmp_path, "--hubert", v4.hubert, "--vocoder", absent)
    assert line == f"error: {absent}: there is no such file; check the path"
