"""`sovits-export build`: what it finds in GPT-SoVITS's folder of pretrained models, and what it refuses."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from sovits_exporter.building.pretrained_tree import find_pretrained
from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.request import BuildRequest
from sovits_exporter.building.voice import read_voice
from sovits_exporter.demo.demo import DemoFiles, write_demo_checkpoint
from sovits_runtime.errors import CheckpointError

HUBERT, BERT = "chinese-hubert-base", "chinese-roberta-wwm-ext-large"
SPEAKER = "sv/pretrained_eres2netv2w24s4ep4.ckpt"
BIGVGAN = "models--nvidia--bigvgan_v2_24khz_100band_256x"
V4_VOCODER, V3_BASE, V4_BASE = "gsv-v4-pretrained/vocoder.pth", "s2Gv3.pth", "gsv-v4-pretrained/s2Gv4.pth"
V5_VOCODER, TURBO_BASE = "gsv-v5-pretrained/vocoder.pth", "gsv-v5-pretrained/s2Gv5turbo.pth"
OFFICIAL = {
    "v2": {"hubert": HUBERT, "bert": BERT},
    "v2Pro": {"hubert": HUBERT, "bert": BERT, "speaker": SPEAKER},
    "v3 LoRA": {"hubert": HUBERT, "bert": BERT, "vocoder": BIGVGAN, "base": V3_BASE},
    "v4": {"hubert": HUBERT, "bert": BERT, "vocoder": V4_VOCODER},
    "v4 LoRA": {"hubert": HUBERT, "bert": BERT, "vocoder": V4_VOCODER, "base": V4_BASE},
    "v5turbo LoRA": {"hubert": HUBERT, "bert": BERT, "vocoder": V5_VOCODER, "base": TURBO_BASE},
}
"""Kind of voice -> what it takes of the official folder, and where that lies."""


@dataclass(frozen=True)
class Tree:
    """A tiny voice, and a folder laid out as the official one."""

    files: DemoFiles
    folder: Path
    places: dict[str, str]

    def path(self, part: str) -> Path:
        return self.folder / self.places[part]


def make_tree(kind: str, folder: Path) -> Tree:
    version, _, lora = kind.partition(" ")
    files = write_demo_checkpoint(folder / "files", version=version, tiny=True, bert=True, lora=bool(lora))
    tree = Tree(files, folder / "pretrained_models", OFFICIAL[kind])
    for part in tree.places:
        tree.path(part).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(getattr(files, part), tree.path(part))
    for other in ("s1v3.ckpt", V4_VOCODER, "gsv-v5-pretrained/s2Gv5dev.pth"):
        path = tree.folder / other
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(b"")
    return tree


@pytest.fixture
def read(monkeypatch):
    """Stops a build when all its files are read and checked; what was read is kept."""
    voices = []

    def build(request, progress):
        voices.append(read_voice(request))
        return BuildReport(path=request.output, manifest={}, verification=None, seconds=0.0)

    monkeypatch.setattr("sovits_exporter.building.build.build", build)
    return voices


@pytest.mark.parametrize("kind", ["v2", "v2Pro", "v3 LoRA", "v4", "v5turbo LoRA"])
def test_what_a_version_needs_is_found(run, read, folder, kind):
    tree = make_tree(kind, folder / kind)
    pair = ("--gpt", tree.files.gpt, "--sovits", tree.files.sovits, "-o", folder / kind / "voice")
    result = run("build", *pair, "--pretrained", tree.folder)
    assert result.exit_code == 0, result.output
    for part in tree.places:
        assert f"--{part} {tree.path(part)}\n" in result.stdout
    assert "note:" not in result.output
    (voice,) = read
    assert {part.kind for part in voice.shared} == tree.places.keys() - {"base"}
    assert voice.sovits.version == kind.partition(" ")[0]
    assert (voice.sovits.base is not None) == ("base" in tree.places)


def test_what_was_fetched_is_found_without_being_named(run, read, folder, monkeypatch):
    tree = make_tree("v4", folder / "fetched")
    monkeypatch.setenv("SOVITS_EXPORT_DATA", str(folder / "fetched"))
    pair = ("--gpt", tree.files.gpt, "--sovits", tree.files.sovits, "-o", folder / "fetched" / "voice")
    result = run("build", *pair)
    assert result.exit_code == 0, result.output
    assert f"--vocoder {tree.path('vocoder')}\n" in result.stdout
    shutil.rmtree(tree.path("hubert"))
    result = run("build", *pair)
    assert (
        "note: no --hubert for reading reference recordings; 'sovits-export fetch v4' fetches it"
        in result.stderr
    )
    assert {part.kind for part in read[1].shared} == {"bert", "vocoder"}


@pytest.fixture(scope="module")
def lora(folder):
    """A LoRA fine-tune of v4, which takes most; tests take parts away for a moment."""
    return make_tree("v4 LoRA", folder / "lora")


def request(tree, **given):
    return BuildRequest(gpt=tree.files.gpt, sovits=tree.files.sovits, output=Path("voice"), **given)


def test_what_is_named_is_not_looked_for(lora):
    found = find_pretrained(lora.folder, request(lora, hubert=Path("mine"), base=Path("mine.pth")))
    assert found.paths == {part: lora.path(part) for part in ("bert", "vocoder")}
    completed = found.complete(request(lora, hubert=Path("mine")))
    assert (completed.hubert, completed.vocoder) == (Path("mine"), lora.path("vocoder"))


def test_parts_that_lie_side_by_side_are_found_too(lora, tmp_path):
    for name in (HUBERT, "vocoder.pth", "s2Gv4.pth"):
        (tmp_path / name).mkdir()
    found = find_pretrained(tmp_path, request(lora))
    assert found.paths == {
        "hubert": tmp_path / HUBERT,
        "vocoder": tmp_path / "vocoder.pth",
        "base": tmp_path / "s2Gv4.pth",
    }
    assert found.missing == (f"{tmp_path}: lacks {BERT} (--bert, for Chinese)",)


def test_what_is_missing_is_named_with_what_was_looked_for(run, lora, tmp_path):
    pair = ("--gpt", lora.files.gpt, "--sovits", lora.files.sovits, "-o", tmp_path / "voice")
    result = run("build", *pair, "--pretrained", tmp_path, "--bert", lora.path("bert"))
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {tmp_path}: lacks what this v4 voice needs: {HUBERT} (--hubert, for reading reference recordings); "
        f"{V4_VOCODER} or vocoder.pth (--vocoder, for sound); {V4_BASE} or s2Gv4.pth (--base, for a LoRA fine-tune); "
        f"complete the folder, or name each by its option; 'sovits-export fetch v4 --from {tmp_path}' fetches what is "
        "missing, and --pretrained is not needed then\n"
    )


def test_a_folder_without_the_speaker_network_will_not_do_for_v2pro(folder, tmp_path):
    files = write_demo_checkpoint(folder / "pro", version="v2ProPlus", tiny=True)
    asked = BuildRequest(gpt=files.gpt, sovits=files.sovits, output=tmp_path / "voice", hubert=files.hubert)
    with pytest.raises(CheckpointError, match=f"v2ProPlus voice needs: {SPEAKER} or .*--speaker"):
        find_pretrained(tmp_path, asked)


def test_no_folder_is_said_so(lora, tmp_path):
    with pytest.raises(CheckpointError, match="no: no folder; expected GPT-SoVITS's pretrained_models"):
        find_pretrained(tmp_path / "no", request(lora))


def test_a_voice_that_lacks_only_bert_is_built_with_a_note(run, read, demo_files, tmp_path):
    (tmp_path / HUBERT).symlink_to(demo_files.hubert, target_is_directory=True)
    pair = ("--gpt", demo_files.gpt, "--sovits", demo_files.sovits, "-o", tmp_path / "voice")
    result = run("build", *pair, "--pretrained", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert [part.kind for part in read[0].shared] == ["hubert"]
    assert json.loads(result.stdout)["bundle"] == str(tmp_path / "voice")
    assert f"--hubert {tmp_path / HUBERT}\n" in result.stderr
    assert f"note: {tmp_path}: lacks {BERT} (--bert, for Chinese)\n" in result.stderr


@pytest.mark.parametrize("option", ["--ref-phones", "--phones"])
def test_a_request_to_record_is_one_sentence(run, demo_files, two_sentences, tmp_path, option):
    phones = {"--ref-phones": "HH AY1 .", "--phones": "HH AY1 .", option: two_sentences}
    pair = ("--gpt", demo_files.gpt, "--sovits", demo_files.sovits, "-o", tmp_path / "voice")
    words = (word for pair in phones.items() for word in pair)
    result = run("build", *pair, "--ref", demo_files.reference_wav, *words)
    assert result.exit_code == 1
    assert "two.json: got 2 phone sentences, expected one for the re" in result.stderr


def test_half_a_request_to_record_is_wrong_use(run, demo_files, tmp_path):
    pair = ("--gpt", demo_files.gpt, "--sovits", demo_files.sovits, "-o", tmp_path / "voice")
    result = run("build", *pair, "--phones", "HH AY1 .")
    assert result.exit_code == 2
    assert "all of --ref, --ref-phones and --phones" in result.stderr
