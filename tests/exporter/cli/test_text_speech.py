"""Text to WAV in five languages from the tiny voice, through Python and the command line, with torch blocked."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
import soundfile

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
    return folder, json.loads((folder / "spoken.json").read_text(encoding="utf-8"))


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
    sentences = voice.synthesize_each(voice.text.phrases(lines(), "en"), reference, options=options)
    assert len(next(sentences).tokens) == 12
    chunks = voice.stream_text(lines(), reference, language="en", options=options)
    assert sum(len(next(chunks).samples) for _ in range(2)) == 12 * 1280
    assert len(taken) < 9


@pytest.mark.skipif("zh" not in INSTALLED, reason="the extra zh is not installed")
def test_mandarin_features_are_those_of_the_graph(voice):
    import numpy as np

    text, bert = "今天我们去河边散步。", voice.text.bert
    phrase = next(voice.text.phrases(text, "zh"))
    piece = next(voice.text.frontend.pieces(text, "zh"))
    rows = bert._encode(bert._tokenizer.encode(piece.norm_text))
    assert phrase.bert.shape == (len(phrase.phones), 1024)
    np.testing.assert_array_equal(phrase.bert, np.repeat(rows, piece.phones[0].word2ph, axis=0))


@pytest.mark.skipif("zh" not in INSTALLED, reason="the extra zh is not installed")
def test_words_that_were_read_once_need_no_bert(tiny_bundle, monkeypatch, tmp_path, caplog):
    from sovits_runtime import Synthesizer

    monkeypatch.setenv("SOVITS_EXPORT_CACHE", str(tmp_path))
    made = []
    for _ in range(3):
        with Synthesizer.load(tiny_bundle, threads=1) as voice:
            phrase, bert = next(voice.text.phrases("今天我们去河边散步。", "zh")), voice.text.bert
            made.append((phrase.bert.tobytes(), "_session" in vars(bert)))
            voice.release_feature_graphs()
            assert "_session" not in vars(bert)
        if len(made) == 2:
            (kept,) = (tmp_path / "bert").iterdir()
            kept.write_bytes(b"damaged")
    assert [opened for _, opened in made] == [True, False, True]
    assert len({features for features, _ in made}) == 1
    assert "is made again" in caplog.text


@pytest.mark.skipif("zh" not in INSTALLED, reason="the extra zh is not installed")
def test_a_bundle_without_bert_says_so_and_speaks(voice, monkeypatch, caplog):
    bundle = type(voice.bundle)(
        voice.bundle.path,
        {
            **voice.bundle.manifest,
            "graphs": {k: v for k, v in voice.bundle.manifest["graphs"].items() if k != "bert"},
        },
        voice.bundle.shared,
    )
    monkeypatch.setattr(voice, "bundle", bundle)
    monkeypatch.delitem(vars(voice), "_bert", raising=False)
    reader = voice.open_reader()
    monkeypatch.delitem(vars(voice), "_bert")  # the other tests' voice holds BERT
    for _ in range(2):
        (phrase,) = reader.phrases("今天我们去河边。", "zh")
        assert phrase.bert is None
        assert phrase.text == "今天我们去河边。"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "--bert" in caplog.text


def test_the_tokenizer_travels_with_bert(tiny_bundle, demo_files):
    part = json.loads((tiny_bundle / "manifest.json").read_text(encoding="utf-8"))["shared"]["bert"]
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
