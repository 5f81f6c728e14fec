"""`build --from` of an installed GPT-SoVITS: every version, both systems' habits, and what may be missing."""

import json
from pathlib import Path

import pytest

from sovits_runtime.bundle.model_spec import MODEL_SPECS

NAMES = {"windows": "派蒙 二", "clone": "my voice-e2"}
PARTS = {
    "v1": {},
    "v2": {},
    "v2Pro": {"speaker": "sv/pretrained_eres2netv2w24s4ep4.ckpt"},
    "v2ProPlus": {"speaker": "sv/pretrained_eres2netv2w24s4ep4.ckpt"},
    "v3": {"vocoder": "models--nvidia--bigvgan_v2_24khz_100band_256x"},
    "v4": {"vocoder": "gsv-v4-pretrained/vocoder.pth"},
    "v5dev": {"vocoder": "gsv-v5-pretrained/vocoder.pth"},
    "v5turbo": {"vocoder": "gsv-v5-pretrained/vocoder.pth"},
}
BASES = {
    "v3": "s2Gv3.pth",
    "v4": "gsv-v4-pretrained/s2Gv4.pth",
    "v5dev": "gsv-v5-pretrained/s2Gv5dev.pth",
    "v5turbo": "gsv-v5-pretrained/s2Gv5turbo.pth",
}
SHARED = {"hubert": "chinese-hubert-base", "bert": "chinese-roberta-wwm-ext-large"}
assert PARTS.keys() == MODEL_SPECS.keys()


def check(voice, root: Path, version: str, name: str, *, lora: bool) -> None:
    suffix, rank = "" if version == "v1" else f"_{version}", "_l32" if lora else ""
    assert (voice["version"], voice["lora"], voice["missing"]) == (version, lora, [])
    assert voice["gpt"] == str(root / f"GPT_weights{suffix}" / f"{name}-e15.ckpt")
    assert voice["sovits"] == str(root / f"SoVITS_weights{suffix}" / f"{name}_e10_s120{rank}.pth")
    wanted = SHARED | PARTS[version] | ({"base": BASES[version]} if lora else {})
    folder = root / "GPT_SoVITS" / "pretrained_models"
    assert voice["parts"] == {part: str(folder / place) for part, place in wanted.items()}
    said = voice["references"]["default"]
    assert said["recording"] == str(root / "logs" / name / "5-wav32k" / "1.wav")
    assert (said["text"], said["language"], said["of"]) == ("早上好，今天天气真不错。", "zh", 3)


@pytest.mark.parametrize("habit", NAMES)
@pytest.mark.parametrize("version", MODEL_SPECS)
def test_every_version(weights, search, tmp_path, version, habit):
    windows, name = habit == "windows", NAMES[habit]
    root = weights.installed(tmp_path / "GPT-SoVITS v2pro", version, windows=windows)
    weights.experiment(root, version, name, windows=windows)
    ((name_found, voice),) = search(root).items()
    assert name_found == name
    check(voice, root, version, name, lora=False)


@pytest.mark.parametrize("version", BASES)
def test_a_lora_with_its_base(weights, search, tmp_path, version):
    root = weights.experiment(weights.installed(tmp_path, version), version, "爱莉", lora=True)
    check(search(root)["爱莉"], root, version, "爱莉", lora=True)


@pytest.mark.parametrize(
    ("version", "lost", "told"),
    [
        ("v2", "chinese-hubert-base", "--hubert"),
        ("v2Pro", "sv/pretrained_eres2netv2w24s4ep4.ckpt", "--speaker"),
        ("v4", "gsv-v4-pretrained/vocoder.pth", "--vocoder"),
    ],
)
def test_a_part_that_is_missing_is_named_with_its_remedy(
    weights, search, refusal, tmp_path, version, lost, told
):
    root = weights.experiment(weights.installed(tmp_path, version), version, "a", clips=False)
    place = root / "GPT_SoVITS" / "pretrained_models" / lost
    place.rename(place.with_name("elsewhere"))
    (line,) = search(root)["a"]["missing"]
    assert lost in line
    assert told in line
    code, said = refusal("build", "--from", root, "-o", tmp_path / "out")
    assert code == 1
    assert f"error: {line}" in said
    assert not (tmp_path / "out").exists()


def test_what_a_voice_can_do_without_is_a_note(weights, search, tmp_path):
    root = weights.experiment(weights.installed(tmp_path, "v2"), "v2", "a", clips=False)
    bert = root / "GPT_SoVITS" / "pretrained_models" / "chinese-roberta-wwm-ext-large"
    bert.rename(bert.with_name("elsewhere"))
    voice = search(root)["a"]
    assert voice["missing"] == []
    lacks, no_clip = voice["notes"]
    assert "lacks chinese-roberta-wwm-ext-large" in lacks
    assert no_clip.startswith(
        "no recording with its transcript was found; give one with --ref FILE --ref-text TEXT"
    )


def test_pretrained_models_elsewhere_are_named(weights, search, tmp_path):
    weights.put("v2", tmp_path / "pack" / "a-e1.ckpt")
    weights.put("v2", tmp_path / "pack" / "a_e1_s1.pth")
    (line,) = search(tmp_path / "pack")["a"]["missing"]
    assert "give --pretrained FOLDER" in line
    folder = weights.pretrained(tmp_path / "parts", "v2")
    voice = search(tmp_path / "pack", "--pretrained", folder)["a"]
    assert (voice["missing"], voice["parts"]["hubert"]) == ([], str(folder / "chinese-hubert-base"))
    own = search(tmp_path / "pack", "--pretrained", folder, "--hubert", tmp_path / "hubert")["a"]
    assert own["parts"]["hubert"] == str(tmp_path / "hubert")


def test_an_installation_around_the_folder_gives_its_parts(weights, search, tmp_path):
    root = weights.experiment(weights.installed(tmp_path, "v2"), "v2", "a", clips=False)
    for name in ("a-e1.ckpt", "a_e1_s1.pth"):
        weights.put("v2", root / "packs" / "mine" / name)
    voice = search(root / "packs")["a"]
    assert voice["parts"]["hubert"] == str(root / "GPT_SoVITS" / "pretrained_models" / "chinese-hubert-base")


def test_one_experiment_in_two_versions_is_two_voices(weights, search, tmp_path):
    root = weights.installed(tmp_path, "v2", "v4")
    weights.experiment(root, "v2", "a")
    weights.experiment(root, "v4", "a", clips=False)
    found = search(root)
    assert {name: Path(voice["gpt"]).parent.name for name, voice in found.items()} == {
        "a-v2": "GPT_weights_v2",
        "a-v4": "GPT_weights_v4",
    }


def test_a_gpt_of_another_root_is_taken_and_said(weights, search, tmp_path):
    root = weights.installed(tmp_path, "v2", "v4")
    weights.put("v2", root / "GPT_weights_v2" / "a-e3.ckpt")
    weights.put("v4", root / "SoVITS_weights_v4" / "a_e3_s9.pth")
    voice = search(root)["a"]
    assert voice["gpt"].endswith("a-e3.ckpt")
    assert "none in a root of v4" in voice["paired_by"]


def test_the_content_says_the_version_and_not_the_folder(weights, search, tmp_path):
    root = weights.installed(tmp_path, "v2", "v4")
    weights.put("v2", root / "GPT_weights_v4" / "a-e3.ckpt")
    weights.put("v2", root / "SoVITS_weights_v4" / "a_e3_s9.pth")
    voice = search(root)["a"]
    assert (voice["version"], voice["version_by"]) == ("v2", "its content")
    assert "lies in a folder of v4, and is a v2 model" in voice["notes"]


def test_v1_gpt_beside_a_v2_sovits_is_refused(weights, search, tmp_path):
    root = weights.installed(tmp_path, "v2")
    weights.put("v1", root / "GPT_weights_v2" / "a-e3.ckpt")
    weights.put("v2", root / "SoVITS_weights_v2" / "a_e3_s9.pth")
    (line,) = search(root)["a"]["missing"]
    assert "knows 512 phones, expected 732" in line


def test_voices_of_other_experiments_are_never_paired(weights, refusal, tmp_path):
    root = weights.installed(tmp_path, "v2")
    weights.put("v2", root / "GPT_weights_v2" / "a-e3.ckpt")
    weights.put("v2", root / "SoVITS_weights_v2" / "b_e3_s9.pth")
    code, said = refusal("build", "--from", root)
    assert code == 1
    assert "b_e3_s9.pth: no GPT goes with it; put b-e*.ckpt beside it, or name the file with --gpt" in said
    assert "a-e3.ckpt: no SoVITS goes with it; put a_e*_s*.pth beside it" in said


def test_two_files_that_are_named_go_together(weights, search, tmp_path):
    root = weights.installed(tmp_path, "v2")
    gpt = weights.put("v2", root / "GPT_weights_v2" / "a-e3.ckpt")
    sovits = weights.put("v2", root / "SoVITS_weights_v2" / "b_e3_s9.pth")
    voice = search(root, "--gpt", gpt, "--sovits", sovits)["b"]
    assert (voice["gpt"], voice["sovits"], voice["paired_by"]) == (str(gpt), str(sovits), "as given")
    older = weights.put("v2", root / "GPT_weights_v2" / "b-e1.ckpt")
    weights.put("v2", root / "GPT_weights_v2" / "b-e2.ckpt")
    assert search(root, "--gpt", older)["b"]["gpt"] == str(older)


@pytest.mark.parametrize("windows", [False, True])
def test_of_several_voices_the_one_used_last_is_taken_or_one_is_to_be_named(
    weights, refusal, make_text, tmp_path, windows
):
    root = weights.installed(tmp_path, windows=windows)
    for name in ("派蒙", "b"):
        weights.experiment(root, "v2", name, clips=False)
    (root / "GPT_SoVITS" / "pretrained_models" / "chinese-hubert-base").rename(tmp_path / "elsewhere")
    code, said = refusal("build", "--from", root)
    assert code == 2
    assert "holds 2 voices: b, 派蒙; choose one with --name, or build them with --all" in said
    code, said = refusal("build", "--from", root, "--name", "c")
    assert (code, "there is no voice 'c'; found b, 派蒙" in said) == (2, True)
    sep = "\\" if windows else "/"
    served = sep.join(("SoVITS_weights_v2", "派蒙_e10_s120.pth"))
    gpt = sep.join(("GPT_weights_v2", "派蒙-e15.ckpt"))
    make_text(
        root / "GPT_SoVITS" / "configs" / "tts_infer.yaml",
        f"custom:\n  device: cuda\n  t2s_weights_path: {gpt}\n  version: v2\n  vits_weights_path: {served}\nv1:\n"
        "  t2s_weights_path: x.ckpt\n  vits_weights_path: y.pth\n",
        windows=windows,
    )
    code, said = refusal("build", "--from", root)  # for it lacks HuBERT
    assert (code, "chinese-hubert-base" in said) == (1, True)
    make_text(root / "GPT_SoVITS" / "configs" / "tts_infer.yaml", "custom:\n")
    last = {"GPT": {"v2": gpt}, "SoVITS": {"v2": ["x/b_e10_s120.pth"]}}
    make_text(root / "weight.json", json.dumps(last))
    code, said = refusal("build", "--from", root)
    assert (code, "chinese-hubert-base" in said) == (1, True)


def test_lists_of_annotations_give_references(weights, search, make_clip, make_text, tmp_path):
    root = weights.experiment(weights.installed(tmp_path, "v2"), "v2", "明", clips=False)
    make_clip(root / "output" / "slicer_opt" / "x_000.wav")
    make_text(
        root / "output" / "asr_opt" / "slicer_opt.list",
        "D:\\GPT-SoVITS\\output\\slicer_opt\\x_000.wav|明|JP|おはようございます。いい天気ですね。\nbroken line\n",
        windows=True,
        encoding="cp936",
    )
    said = search(root)["明"]["references"]["default"]
    assert (said["language"], said["text"]) == ("ja", "おはようございます。いい天気ですね。")
