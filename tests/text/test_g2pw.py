"""Polyphones by a made-up G2PW model: what it is asked, what its answers do, and what a broken folder gives."""

import sys
import weakref
from pathlib import Path

import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.text.zh.g2pw_folder import read_g2pw_folder

sys.path.append(str(Path(__file__).parent))
from made_up_g2pw import write_g2pw, write_model

pytest.importorskip("pypinyin")
pytest.importorskip("jieba")
pytest.importorskip("kokorog2p")
pytest.importorskip("tokenizers")


@pytest.fixture
def folder(tmp_path):
    return write_g2pw(tmp_path)


def read(folder, text, **options):
    from sovits_runtime.text import phonemize
    from sovits_runtime.text.zh.g2pw import PolyphoneReader

    return " ".join(phonemize(text, "zh", polyphones=PolyphoneReader(folder), **options).symbols)


def test_the_model_decides_what_pypinyin_would_read_otherwise(folder):
    assert read(folder, "行走.") == "h ang2 z ou3 ."
    assert read(folder, "行人.") == "x ing2 r en2 ."
    assert read(folder, "行走行人.") == "h ang2 z ou3 x ing2 r en2 ."


def test_without_the_folder_pypinyin_decides():
    from sovits_runtime.text import phonemize

    assert " ".join(phonemize("行走.", "zh").symbols) == "x ing2 z ou3 ."


def test_the_mask_keeps_the_model_to_the_readings_of_the_character(folder):
    """要 after 行 speaks for chóng, which 行 has not; without the mask the same answer would be taken."""
    assert read(folder, "行要.").startswith(("h ang2", "x ing2"))
    (folder / "config.py").write_text("use_mask = False\n", "utf-8")
    assert read(folder, "行要.").startswith("ch ong2")


def test_characters_left_to_pypinyin_are_not_asked(folder):
    assert read(folder, "不.").startswith("b u4")
    assert "不" in read_g2pw_folder(folder).readings


def test_sandhi_follows_the_model(folder):
    (folder / "POLYPHONIC_CHARS.txt").write_text("重\tㄓㄨㄥ4\n重\tㄔㄨㄥ2", "utf-8")
    write_model(folder / "g2pW.onnx", {"要": "ㄓㄨㄥ4", "走": "ㄔㄨㄥ2"}, sorted(["ㄓㄨㄥ4", "ㄔㄨㄥ2"]))
    assert read(folder, "不重要.").startswith("b u2 zh ong4")
    assert read(folder, "不重走.").startswith("b u4 ch ong2")


def test_corrections_of_the_folder_have_the_last_word(folder):
    (folder / "polyphonic.rep").write_text("行走: ['hang4', 'zou4']\n", "utf-8")
    (folder / "polyphonic-fix.rep").write_text("人: ['ren1']\n", "utf-8")
    assert read(folder, "行走.") == "h ang4 z ou4 ."
    assert read(folder, "人.").startswith("r en1")


def test_v1_models_were_trained_without(folder, monkeypatch):
    from sovits_runtime.text import phonemize

    monkeypatch.setenv("SOVITS_G2PW_DIR", str(folder))
    assert " ".join(phonemize("行走.", "zh").symbols) == "h ang2 z ou3 ."
    assert " ".join(phonemize("行走.", "zh", symbols="v1").symbols) == "x ing2 z ou3 ."


def test_the_pipeline_hands_the_reader_on(folder):
    from sovits_runtime.text.pipeline import TextFrontend
    from sovits_runtime.text.zh.g2pw import PolyphoneReader

    pytest.importorskip("budoux")
    frontend = TextFrontend(polyphones=PolyphoneReader(folder))
    assert frontend.read("我们行走。", "all_zh").symbols[4:6] == ("h", "ang2")


@pytest.fixture
def opened(monkeypatch):
    """The session options of every model that is opened, by ONNX Runtime's own class."""
    onnxruntime = pytest.importorskip("onnxruntime")
    seen, session = [], onnxruntime.InferenceSession

    def watch(model, options=None, **more):
        seen.append(options)
        return session(model, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watch)
    return seen


def test_the_model_is_opened_as_all_graphs_are_with_the_threads_of_the_voice(folder, opened, monkeypatch):
    from sovits_runtime.machine import onnx_runtime
    from sovits_runtime.text.zh.g2pw import PolyphoneReader

    monkeypatch.setattr(onnx_runtime, "usable_cores", lambda: 5)
    for threads, expected in ((3, 3), (None, 5)):
        PolyphoneReader(folder, threads=threads)
        options = opened.pop()
        assert options.intra_op_num_threads == expected
        for name, value in onnx_runtime.SPINNING.items():
            assert options.get_session_config_entry(name) == value


def test_a_released_reader_opens_its_model_again(folder, opened):
    from sovits_runtime.text.zh.g2pw import PolyphoneReader

    reader = PolyphoneReader(folder)
    first = reader.readings("行走")
    session = weakref.ref(reader._session)
    reader.release()
    assert session() is None
    assert reader.readings("行走") == first  # remembered, so that nothing is opened
    assert len(opened) == 1
    assert reader.readings("行人") == ("xing2", "ren2")
    assert len(opened) == 2


def test_a_voice_gives_it_its_threads_and_releases_it(
    folder, opened, tiny_bundle, monkeypatch, tmp_path_factory
):
    from sovits_runtime import Synthesizer
    from sovits_runtime.text.zh.g2pw import polyphone_reader

    monkeypatch.setenv("SOVITS_G2PW_DIR", str(folder))
    monkeypatch.setenv("SOVITS_EXPORT_CACHE", str(tmp_path_factory.mktemp("cache")))
    with Synthesizer.load(tiny_bundle, threads=2) as voice:
        reader = voice.text.frontend.polyphones
        assert opened[-1].intra_op_num_threads == 2
        assert reader is voice.open_reader(official=True).frontend.polyphones
        assert reader._session is not None
        voice.release_feature_graphs()
        assert reader._session is None
        assert voice.text.frontend.read("行走。", "all_zh").symbols[1:3] == ("h", "ang2")
        assert reader._session is not None
    assert reader._session is None  # the voice is closed
    assert polyphone_reader() is not reader  # asked for with other threads


def test_long_clauses_are_asked_in_stretches(folder):
    assert read(folder, "行走" * 600 + ".").count("h ang2") == 600


def test_the_tokenizer_may_lie_elsewhere(folder, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").rename(elsewhere / "vocab.txt")
    with pytest.raises(TextError, match="SOVITS_BERT_DIR"):
        read(folder, "行走.")
    monkeypatch.setenv("SOVITS_BERT_DIR", str(elsewhere))
    assert read(folder, "行走.") == "h ang2 z ou3 ."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g2pW.onnx", None, "holds no g2pW.onnx"),
        ("POLYPHONIC_CHARS.txt", None, "cannot be read"),
        ("POLYPHONIC_CHARS.txt", "行 ㄏㄤ2", "line 1: expected a character, a tab"),
        ("MONOPHONIC_CHARS.txt", "我\tㄨㄛ3\n\n们\tㄇㄣ5", "line 2"),
        ("bopomofo_to_pinyin_wo_tune_dict.json", "{", "not JSON"),
        ("bopomofo_to_pinyin_wo_tune_dict.json", "[1]", "expected a map"),
        ("config.py", "use_mask = (", "not a Python file"),
        ("polyphonic.rep", "行走: __import__('os')", "line 1"),
        ("polyphonic.rep", "行走: ['hang2']", "one reading a character"),
    ],
)
def test_broken_folders_are_named(folder, name, content, message):
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_text(content, "utf-8")
    with pytest.raises(TextError, match=message):
        read_g2pw_folder(folder)


def test_a_foreign_model_is_refused(folder):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(folder / "g2pW.onnx")
    del model.graph.input[-1]
    model.graph.node[-1].input[1] = "scores"
    onnx.save(model, folder / "g2pW.onnx")
    with pytest.raises(TextError, match="it is no G2PW model"):
        read(folder, "行走.")
