"""`build --from` of voice packs, in each of the layouts that people share."""

import json
from pathlib import Path

import pytest

MORNING = "早上好，今天天气真不错。"
ANGRY = "你怎么又把我的东西弄丢了！"


@pytest.fixture
def pack(weights, tmp_path):
    """Puts a pair into a folder and returns the folder."""

    def pack(*parts: str, gpt: str = "a-e15.ckpt", sovits: str = "a_e8_s96.pth", version: str = "v2") -> Path:
        folder = tmp_path.joinpath("packs", *parts)
        weights.put(version, folder / gpt)
        weights.put(version, folder / sovits)
        return folder

    return pack


def texts(voice) -> dict[str, str]:
    return {name: said["text"] for name, said in voice["references"].items()}


def languages(voice) -> dict[str, str]:
    return {name: said["language"] for name, said in voice["references"].items()}


def test_a_recording_whose_name_is_its_transcript(pack, search, make_clip, tmp_path):
    folder = pack("trained", "派蒙", gpt="派蒙-e10.ckpt", sovits="派蒙_e8_s112.pth")
    make_clip(folder / f"{MORNING}.wav")
    make_clip(folder / "output_0001.wav")
    ((name, voice),) = search(tmp_path / "packs").items()
    assert name == "派蒙"
    assert texts(voice) == {"default": MORNING}


def test_a_sentence_in_letters_is_a_transcript_and_a_file_name_is_not(pack, search, make_clip, tmp_path):
    make_clip(pack() / "reference audio 01.wav")
    assert texts(search(tmp_path / "packs")["a"]) == {}
    make_clip(tmp_path / "packs" / "The river runs slowly past the mill.wav")
    voice = search(tmp_path / "packs")["a"]
    assert texts(voice) == {"default": "The river runs slowly past the mill"}
    assert languages(voice) == {"default": "en"}


def test_infer_config_names_pair_and_emotions(pack, search, make_clip, make_text, tmp_path):
    folder = pack("Klee", gpt="可莉.ckpt", sovits="klee.pth")
    make_clip(folder / "calm.wav")
    make_clip(folder / f"生气—{ANGRY}.wav")
    config = {
        "gpt_path": "D:\\models\\Klee\\可莉.ckpt",
        "sovits_path": "klee.pth",
        "software_version": "1.1",
        "emotion_list": {
            "默认": {"ref_wav_path": "calm.wav", "prompt_text": MORNING, "prompt_language": "多语种混合"},
            "生气": {
                "ref_wav_path": f"D:\\x\\生气—{ANGRY}.wav",
                "prompt_text": "",
                "prompt_language": "中文",
            },
            "gone": {"ref_wav_path": "gone.wav", "prompt_text": "x", "prompt_language": "英文"},
            "odd": 7,
        },
    }
    make_text(folder / "infer_config.json", json.dumps(config))
    voice = search(tmp_path / "packs")["klee"]
    assert voice["gpt"] == str(folder / "可莉.ckpt")
    assert voice["paired_by"] == f"named by {Path('Klee', 'infer_config.json')}"
    assert texts(voice) == {"default": MORNING, "生气": ANGRY}
    assert list(voice["references"]) == ["default", "生气"]


def test_a_collection_with_folders_of_emotions(pack, search, make_clip, tmp_path):
    folder = pack(
        "models", "v4", "胡桃", gpt="胡桃_ZH-e10.ckpt", sovits="胡桃_ZH_e10_s1000_l32.pth", version="v4"
    )
    (folder / "train.log").write_text("", encoding="utf-8")
    for language, words in (("中文", MORNING), ("日语", "おはようございます。")):
        make_clip(folder / "reference_audios" / language / "randoms" / f"{words}.wav", noise=0.03)
        make_clip(folder / "reference_audios" / language / "emotions" / f"【默认】{words}.wav")
    make_clip(folder / "reference_audios" / "中文" / "emotions" / f"【生气】{ANGRY}.wav")
    voice = search(tmp_path / "packs")["胡桃_ZH"]
    assert texts(voice) == {"default": MORNING, "生气": ANGRY}
    assert languages(voice) == {"default": "zh", "生气": "zh"}
    assert voice["references"]["default"]["of"] == 4


def test_weight_roots_in_the_folder_of_a_hub(pack, search, weights, tmp_path):
    root = tmp_path / "Twilight-SVe24-GPTe8"
    weights.put("v2", root / "GPT_weights_v2" / "twilight-e8.ckpt")
    weights.put("v2", root / "SoVITS_weights_v2" / "twi_e24_s100.pth")
    voice = search(root)["twi"]
    assert (voice["version"], voice["paired_by"]) == ("v2", "the only two in their folder")


def test_several_voices_side_by_side_keep_their_own_recordings(pack, search, make_clip, make_text, tmp_path):
    for name in ("jvnv_f1", "jvnv_m1"):
        folder = pack(gpt=f"{name}-e15.ckpt", sovits=f"{name}_e8_s480.pth")
        make_clip(folder / f"{name}.wav")
        make_text(folder / f"{name}.txt", f"これは{name[-2:]}の声です。よろしく。")
    make_clip(folder / f"{MORNING}.wav")
    found = search(tmp_path / "packs")
    assert {name: texts(voice) for name, voice in found.items()} == {
        "jvnv_f1": {"default": "これはf1の声です。よろしく。"},
        "jvnv_m1": {"default": "これはm1の声です。よろしく。"},
    }


def test_role_folders_with_a_config_and_texts_beside(pack, search, make_clip, make_text, tmp_path):
    folder = pack("roles", "keli", gpt="k1.ckpt", sovits="k2.pth")
    pack("roles", "keli", gpt="other.ckpt", sovits="more.pth")
    make_text(
        folder / "tts_infer.yaml",
        "custom:\n  t2s_weights_path: 'roles/keli/k1.ckpt'\n  vits_weights_path: k2.pth\n",
    )
    make_clip(folder / "reference_audios" / "zh" / "【开心】x.wav")
    make_text(folder / "reference_audios" / "zh" / "x.txt", f"{MORNING}\n", encoding="cp936", windows=True)
    found = search(tmp_path / "packs")
    assert (found["keli"]["gpt"], found["keli"]["sovits"]) == (
        str(folder / "k1.ckpt"),
        str(folder / "k2.pth"),
    )


def test_one_role_with_an_emotion(pack, search, make_clip, make_text, tmp_path):
    folder = pack("keli", gpt="k.ckpt", sovits="k.pth")
    make_clip(folder / "reference_audios" / "zh" / "【开心】x.wav")
    make_text(folder / "reference_audios" / "zh" / "x.txt", MORNING)
    assert texts(search(tmp_path / "packs")["k"]) == {"开心": MORNING}


@pytest.mark.parametrize("suffix", [".txt", ".lab"])
def test_the_transcript_beside_the_recording(pack, search, make_clip, make_text, tmp_path, suffix):
    folder = pack(gpt="X.ckpt", sovits="X.pth")
    make_clip(folder / "X.wav")
    make_text(folder / f"X{suffix}", "﻿The river runs slowly.\n", windows=True)
    assert texts(search(tmp_path / "packs")["X"]) == {"default": "The river runs slowly."}


def test_models_json_of_an_adapter(pack, search, make_clip, make_text, tmp_path):
    folder = pack("models", gpt="g1.ckpt", sovits="s1.pth")
    make_text(
        tmp_path / "packs" / "models.json",
        json.dumps(
            {"Yae": {"gpt": "models/g1.ckpt", "sovits": "models\\s1.pth", "prompt_lang": "ja"}, "no": 3}
        ),
    )
    make_clip(tmp_path / "packs" / "voice" / "Yae.wav")
    make_text(tmp_path / "packs" / "voice" / "Yae.txt", "八重神子")
    voice = search(tmp_path / "packs")["Yae"]
    assert voice["gpt"] == str(folder / "g1.ckpt")
    assert languages(voice) == {"default": "ja"}


def test_voice_json_and_the_prompt_of_genie(pack, search, make_clip, make_text, tmp_path):
    folder = pack()
    make_clip(folder / "ref.wav")
    make_text(
        folder / "voice.json", json.dumps({"reference_audio": "./ref.wav", "reference_text": "Hello there."})
    )
    assert texts(search(tmp_path / "packs")["a"]) == {"default": "Hello there."}
    (folder / "voice.json").unlink()
    make_clip(folder / "prompt_wav" / "sad.wav")
    make_text(folder / "prompt_wav.json", json.dumps({"Sad": {"wav": "sad.wav", "text": ANGRY}}))
    assert texts(search(tmp_path / "packs")["a"]) == {"Sad": ANGRY}


def test_a_trainers_output_is_called_like_its_folder(pack, search, make_text, tmp_path):
    folder = pack("Mika", "final", gpt="gpt.ckpt", sovits="sovits.pth")
    make_text(folder / "checkpoint.json", "{}")
    assert list(search(tmp_path / "packs")) == ["Mika"]
    assert list(search(folder)) == ["Mika"]


def test_a_list_in_a_pack(pack, search, make_clip, make_text, tmp_path):
    folder = pack()
    make_clip(folder / "clips" / "001.wav")
    make_text(folder / "a.list", f"C:/data/001.wav|someone|zh|{MORNING}\n")
    assert texts(search(tmp_path / "packs")["a"]) == {"default": MORNING}


def test_the_best_of_several_clips_is_taken(pack, search, make_clip, tmp_path):
    folder = pack()
    make_clip(folder / "这一段录音里有很多噪声啊。.wav", noise=0.05)
    make_clip(folder / "这一段录音的声音太大了啊。.wav", level=2.0)
    make_clip(folder / "这一段录音什么毛病也没有。.wav")
    make_clip(folder / "这一段太短了。.wav", seconds=2.0)
    make_clip(folder / "这一段太长了，一直说个不停。.wav", seconds=12.0)
    make_clip(folder / "一二三四.wav", seconds=9.0)
    (folder / "这一段根本不是录音啊。.wav").write_bytes(b"RIFF")
    said = search(tmp_path / "packs")["a"]["references"]["default"]
    assert (said["text"], said["of"]) == ("这一段录音什么毛病也没有。", 7)


def test_when_no_clip_can_serve_it_is_said_why(pack, search, make_clip, tmp_path):
    make_clip(pack() / f"{MORNING}.wav", seconds=12.0)
    (note,) = (note for note in search(tmp_path / "packs")["a"]["notes"] if "recordings" in note)
    assert "expected 3 to 10 s; cut it, with its transcript" in note
    assert "give one with --ref FILE --ref-text TEXT" in note


def test_a_config_cannot_lead_out_of_its_pack(pack, search, make_clip, make_text, tmp_path):
    secret = make_clip(tmp_path / "secret.wav")
    folder = pack()
    for wav in (str(secret), "../secret.wav", "..\\..\\secret.wav"):
        make_text(folder / "voice.json", json.dumps({"reference_audio": wav, "reference_text": MORNING}))
        assert texts(search(tmp_path / "packs")["a"]) == {}


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "{", '{"emotion_list": 3}', '{"emotion_list": {"a": {"ref_wav_path": 3}}}', "[" * 100000],
)
def test_damaged_configs_are_left_out(pack, search, make_text, tmp_path, content):
    folder = pack()
    for name in (
        "infer_config.json",
        "voice.json",
        "models.json",
        "prompt_wav.json",
        "tts_infer.yaml",
        "a.list",
    ):
        make_text(folder / name, content)
    assert texts(search(tmp_path / "packs")["a"]) == {}


@pytest.mark.parametrize(
    ("gpt", "sovits"),
    [("A-e9.CKPT", "a_E9_s1.PTH"), ("é-e1.ckpt", "é_e1_s1.pth"), ("a-e1 (1).ckpt", "a_e1_s1 - 副本.pth")],
)
def test_habits_of_file_names(pack, search, tmp_path, gpt, sovits):
    pack(gpt=gpt, sovits=sovits)
    pack(gpt="other-e1.ckpt", sovits="other_e1_s1.pth")
    found = search(tmp_path / "packs")
    assert sorted(voice["paired_by"] for voice in found.values()) == ["the same experiment"] * 2


def test_epochs_count_as_numbers_and_steps_decide_between_equal_ones(pack, search, tmp_path):
    for gpt, sovits in (
        ("a-e9.ckpt", "a_e9_s90.pth"),
        ("a-e10.ckpt", "a_e10_s95.pth"),
        ("a-e2.ckpt", "a_e10_s100.pth"),
    ):
        pack(gpt=gpt, sovits=sovits)
    voice = search(tmp_path / "packs")["a"]
    assert (Path(voice["gpt"]).name, Path(voice["sovits"]).name) == ("a-e10.ckpt", "a_e10_s100.pth")
