"""Text to WAV in five languages from the tiny voice, through Python and the command line, with torch blocked."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
import soundfile
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime.text.ja.openjtalk import find_dictionary

TEXTS = {
    "zh": (
        "今天我们去河边散步，好吗？",
        ("pypinyin", "jieba", "zh_normalization", "kokorog2p", "tokenizers"),
    ),
    "en": ("Hello there, this is one voice.", ("pronouncing", "g2p_en", "wordsegment")),
    "ja": ("今日はいい天気ですね。", ("pyopenjtalk",)),
    "ko": ("안녕하세요, 반갑습니다.", ("g2pk2", "jamo")),
    "yue": ("你今日食咗飯未呀？", ("ToJyutping", "zh_normalization")),
}
BLOCKED = """
import json, sys
for name in ("torch", "onnx", "onnxscript", "onnx_ir", "transformers", "safetensors", "librosa", "scipy"):
    sys.modules[name] = None
"""


def is_installed(language):
    found = all(find_spec(module) for module in TEXTS[language][1])
    return found and (language != "ja" or find_dictionary() is not None)


INSTALLED = [language for language in TEXTS if is_installed(language)]


def needs(language):
    return pytest.mark.skipif(language not in INSTALLED, reason=f"the extra {language} is not installed")


LANGUAGES = [pytest.param(language, marks=needs(language)) for language in TEXTS]


def run(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture(scope="module")
def spoken(tiny_bundle, demo_files, folder):
    """Every installed language spoken twice in one process without torch: through Python and the command line."""
    texts = {language: TEXTS[language][0] for language in INSTALLED}
    code = (
        BLOCKED
        + f"""
from sovits_exporter.cli.main import main
from sovits_runtime import SpeechOptions, Synthesizer
bundle, recording, folder = {str(tiny_bundle)!r}, {str(demo_files.reference_wav)!r}, {str(folder)!r}
spoken = {{}}
with Synthesizer.load(bundle, threads=1) as voice:
    for language, text in {texts!r}.items():
        reference = voice.reference_from_text(recording, text, language=language)
        audio = voice.synthesize_text(text, reference, language=language, options=SpeechOptions(max_tokens=12))
        audio.save(f"{{folder}}/python-{{language}}.wav")
        spoken[language] = [len(reference.phones), float(abs(reference.bert).max())]
        main(["speak", bundle, "--threads", "1", "--ref", recording, "--ref-text", text, "--text", text, "--lang",
              language, "--max-seconds", "0.48", "-o", f"{{folder}}/cli-{{language}}.wav"], standalone_mode=False)
json.dump(spoken, open(f"{{folder}}/spoken.json", "w"))
assert not any(sys.modules[name] for name in ("torch", "onnx", "transformers"))
"""
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    return folder, json.loads((folder / "spoken.json").read_text())


@pytest.mark.parametrize("language", LANGUAGES)
def test_text_becomes_the_same_sound_through_python_and_the_command_line(spoken, language):
    folder, known = spoken
    by_python, rate = soundfile.read(folder / f"python-{language}.wav")
    by_command, _ = soundfile.read(folder / f"cli-{language}.wav")
    assert rate == 32000
    assert len(by_python) >= 12 * 1280
    assert abs(by_python).max() > 0.01
    assert (by_python == by_command).all()
    assert known[language][0] > 10


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_mandarin_has_bert_features(spoken, language):
    assert (spoken[1][language][1] > 0) == (language == "zh")


@pytest.mark.skipif("en" not in INSTALLED, reason="the extra en is not installed")
def test_long_text_is_spoken_piece_by_piece(voice, reference):
    from sovits_runtime import SpeechOptions

    taken = []

    def lines():
        for number in range(100):
            taken.append(number)
            yield "The river runs slowly past the old stone mill.\n"

    options = SpeechOptions(max_tokens=12, pause_s=0)
    sentences = voice.text.speak(lines(), reference, language="en", options=options)
    assert len(next(sentences).tokens) == 12
    chunks = voice.stream_text(lines(), reference, language="en", options=options)
    assert sum(len(next(chunks).samples) for _ in range(2)) == 12 * 1280
    assert len(taken) < 9


@pytest.mark.skipif("zh" not in INSTALLED, reason="the extra zh is not installed")
def test_mandarin_features_are_those_of_the_graph(voice):
    import numpy as np

    piece = next(iter(voice.text.pieces("今天我们去河边散步。", "zh")))
    features = voice.text.bert_features(piece)
    tokens = voice.text._tokenizer.encode(piece.norm_text)
    rows = voice.text._encode(tokens)
    assert features.shape == (len(piece.ids), 1024)
    np.testing.assert_array_equal(features, np.repeat(rows, piece.phones[0].word2ph, axis=0))


@pytest.mark.skipif("zh" not in INSTALLED, reason="the extra zh is not installed")
def test_words_that_were_read_once_need_no_bert(tiny_bundle, monkeypatch, tmp_path, caplog):
    from sovits_runtime import Synthesizer

    monkeypatch.setenv("SOVITS_EXPORT_CACHE", str(tmp_path))
    made = []
    for _ in range(3):
        with Synthesizer.load(tiny_bundle, threads=1) as voice:
            piece = next(iter(voice.text.pieces("今天我们去河边散步。", "zh")))
            made.append((voice.text.bert_features(piece).tobytes(), "_session" in vars(voice.text)))
            voice.release_feature_graphs()
            assert "_session" not in vars(voice.text)
        if len(made) == 2:
            (kept,) = (tmp_path / "bert").iterdir()
            kept.write_bytes(b"damaged")
    assert [opened for _, opened in made] == [True, False, True]
    assert len({features for features, _ in made}) == 1
    assert "is made again" in caplog.text


@pytest.mark.skipif("zh" not in INSTALLED, reason="the extra zh is not installed")
def test_a_bundle_without_bert_says_so_and_speaks(voice, monkeypatch, caplog):
    from sovits_runtime.speech.text_reader import TextSpeaker

    bundle = type(voice.bundle)(
        voice.bundle.path,
        {
            **voice.bundle.manifest,
            "graphs": {k: v for k, v in voice.bundle.manifest["graphs"].items() if k != "bert"},
        },
        voice.bundle.shared,
    )
    monkeypatch.setattr(voice, "bundle", bundle)
    speaker = TextSpeaker(voice)
    piece = speaker.frontend.read("今天我们去河边。", "zh")
    assert speaker.bert_features(piece) is None
    assert speaker.bert_features(piece) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "--bert" in caplog.text


def test_the_tokenizer_travels_with_bert(tiny_bundle, demo_files):
    part = json.loads((tiny_bundle / "manifest.json").read_text())["shared"]["bert"]
    names = {name for name in ("vocab.txt", "tokenizer.json") if (demo_files.bert / name).is_file()}
    assert names
    assert names <= set(part["files"])


def test_a_shared_bert_without_tokenizer_is_exported_again(demo_files, tmp_path):
    from sovits_exporter.checkpoint.tokenizer import copy_tokenizer, lacks_tokenizer

    assert lacks_tokenizer(demo_files.bert, tmp_path)
    copy_tokenizer(demo_files.bert, tmp_path)
    assert not lacks_tokenizer(demo_files.bert, tmp_path)


def test_a_bert_folder_without_tokenizer_is_refused(tmp_path):
    from sovits_exporter.checkpoint.tokenizer import copy_tokenizer
    from sovits_runtime.errors import CheckpointError

    with pytest.raises(CheckpointError, match=r"vocab\.txt"):
        copy_tokenizer(tmp_path, tmp_path)


SPEAK = ("speak", "nowhere", "--reference", "x.npz", "-o", "a.wav")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((*SPEAK,), "exactly one of --text, --text-file and --phones"),
        ((*SPEAK, "--text", "a", "--phones", "AA1"), "exactly one of"),
        ((*SPEAK, "--text", "a"), "give --lang"),
        ((*SPEAK, "--text", "a", "--lang", "fr"), "--lang"),
        ((*SPEAK, "--phones", "AA1", "--ref-text", "a"), "needs its language"),
        ((*SPEAK, "--phones", "AA1", "--ref-text", "a", "--ref-phones", "AA1"), "not both"),
        (("reference", "nowhere", "a.wav", "--text", "a", "-o", "b.npz"), "needs its language"),
        (("phones", "a"), "--lang"),
    ],
)
def test_wrong_use_is_named_with_exit_code_2(args, message):
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert message in result.output


@pytest.mark.skipif("en" not in INSTALLED, reason="the extra en is not installed")
def test_phones_shows_what_is_read():
    shown = run("phones", "--lang", "en", "It isn’t 15 😊.")
    assert shown.exit_code == 0, shown.output
    assert "isn't fifteen" in shown.output
    assert "note: English: dropped 😊" in shown.output
    assert "IH1 Z AH0 N T" in shown.output
    (piece,) = json.loads(run("phones", "--lang", "en", "It isn’t 15.", "--json", "--official").stdout)
    assert "isnt" in piece["stretches"][0]["norm_text"]
    assert len(piece["stretches"][0]["ids"]) == len(piece["phones"])


@pytest.mark.skipif("en" not in INSTALLED, reason="the extra en is not installed")
def test_text_comes_from_a_file_and_the_reference_from_text(tiny_bundle, demo_files, tmp_path):
    saved, out, page = tmp_path / "me.npz", tmp_path / "a.wav", tmp_path / "page.txt"
    page.write_text("One line.\nAnother line here.\n", encoding="utf-8")
    made = run(
        "reference",
        tiny_bundle,
        demo_files.reference_wav,
        "--text",
        "The river.",
        "--lang",
        "en",
        "-o",
        saved,
    )
    assert made.exit_code == 0, made.output
    result = run(
        "speak", tiny_bundle, "--reference", saved, "--text-file", page, "--lang", "en", "--cut", "cut0",
        "--max-seconds", "0.48", "-o", out, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["sentences"]) == 2
    page.write_bytes(b"\xff\xfe")
    broken = run("speak", tiny_bundle, "--reference", saved, "--text-file", page, "--lang", "en", "-o", out)
    assert broken.exit_code == 1
    assert "UTF-8" in broken.output
