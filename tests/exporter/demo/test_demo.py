"""The demo voice: its weights follow the fixed rule, its files are official ones, and nothing stays half written."""

import hashlib
import json
import wave
import zipfile

import numpy as np
import pytest
import torch

from sovits_exporter.checkpoint.layout import gpt_layout, sovits_layout
from sovits_exporter.checkpoint.official import load_gpt, load_sovits
from sovits_exporter.checkpoint.pretrained import load_hubert, read_pretrained
from sovits_exporter.demo.audio import speech_like
from sovits_exporter.demo.configs import bert_config, bert_layout, bert_vocab, hubert_config, hubert_layout
from sovits_exporter.demo.demo import write_demo_checkpoint
from sovits_exporter.demo.weights import fill, unit
from sovits_runtime.errors import CheckpointError
from sovits_runtime.text.symbols import symbol_table

# One tensor for each case of the rule, seed 3; the official outputs on record were made with these weights.
RECORDED = [
    ("model.h.layers.0.self_attn.in_proj_weight", (12, 4), "cccf53547f753858"),
    ("model.h.layers.0.self_attn.in_proj_bias", (12,), "fea8bfae29f783cb"),
    ("model.h.layers.1.norm2.weight", (8,), "8e8942f1332bdc2d"),
    ("model.ar_text_position.alpha", (1,), "27306c287575821d"),
    ("model.ar_text_embedding.word_embeddings.weight", (5, 4), "f342642a835867d9"),
    ("enc_p.encoder_ssl.attn_layers.0.emb_rel_k", (1, 9, 96), "8d3b5eed97750229"),
    ("enc_p.proj.weight", (6, 4, 1), "6c2ea1510c929907"),
    ("dec.ups.0.weight_g", (4, 1, 1), "920ab720ab813502"),
    ("dec.ups.0.weight_v", (4, 2, 16), "194250ac67661473"),
    ("dec.conv_post.weight", (1, 2, 7), "cee0d4421c18ba8a"),
    ("prelu.weight", (7,), "3adef2886f2ddeca"),
    ("quantizer.vq.layers.0._codebook.embed", (9, 7), "f716e6bc8d91093d"),
    ("quantizer.vq.layers.0._codebook.cluster_size", (5,), "f603f94b1d517d51"),
    ("enc_p.encoder2.norm_layers_1.0.gamma", (5,), "0de7255899b84bc6"),
    ("enc_p.encoder2.norm_layers_1.0.beta", (5,), "6ef2ef6690395993"),
    ("resblocks.0.activations.0.act.alpha", (6,), "b2fad1145fdf000b"),
    ("resblocks.0.activations.0.upsample.filter", (1, 1, 12), "e573c87fb61c0860"),
    ("cfm.estimator.rotary_embed.inv_freq", (32,), "fbd34497ae14419f"),
    ("layer1.0.bn3.running_var", (5,), "53f94cd68a9985f9"),
    ("layer1.0.bn3.weight", (5,), "d0857499fbc248fe"),
    ("conv_post.weight_g", (1, 1, 1), "c01fd23bd3724eae"),
    ("seg_1.weight", (3, 4), "3ce6738b81cc4fcb"),
]


@pytest.mark.parametrize(("name", "shape", "digest"), RECORDED)
def test_weights_follow_the_recorded_rule(name, shape, digest):
    values = fill(name, shape, 3)
    assert (values.dtype, values.shape) == (np.float32, shape)
    assert hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()[:16] == digest
    assert np.array_equal(values, values.astype(np.float16))


def test_unit_values_have_unit_variance():
    values = unit("x", (1001, 3), 0)
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.02
    assert not np.array_equal(values, unit("x", (1001, 3), 1))
    assert not np.array_equal(values, unit("y", (1001, 3), 0))


@pytest.fixture(scope="module")
def demo(folder):
    return write_demo_checkpoint(folder / "demo", tiny=True, bert=True)


def test_checkpoints_hold_the_rule(demo):
    gpt, sovits = load_gpt(demo.gpt), load_sovits(demo.sovits)
    assert (sovits.version, gpt.info, sovits.info) == ("v2", "GPT-e15", "8epoch_96iteration")
    for name, shape in gpt_layout(gpt.config).items():
        assert np.array_equal(gpt.tensors[name.removeprefix("model.")].numpy(), fill(name, shape, 0))
    name = "enc_p.proj.weight"
    shape = sovits_layout(sovits.config, "v2")[name]
    assert np.array_equal(sovits.tensors[name].numpy(), fill(name, shape, 0))


def test_files_are_as_the_trainer_writes_them(demo):
    with zipfile.ZipFile(demo.sovits) as z:
        data = z.read(f"{demo.sovits.stem}/data.pkl")
    assert b"cutils\nHParams\n" in data
    assert b"HalfStorage" in data
    assert b"FloatStorage" not in data
    content = torch.load(demo.gpt, weights_only=True)
    assert list(content) == ["weight", "config", "info"]
    assert {t.dtype for t in content["weight"].values()} == {torch.half}


@pytest.mark.parametrize(("version", "header"), [("v1", b"PK"), ("v2Pro", b"05"), ("v2ProPlus", b"06")])
def test_other_versions(tmp_path, version, header):
    files = write_demo_checkpoint(
        tmp_path / "new" / "folder", version=version, tiny=True, hubert=False, speaker=False
    )
    assert files.sovits.read_bytes()[:4] == header + b"\x03\x04"
    assert load_sovits(files.sovits).version == version
    assert load_gpt(files.gpt).config["model"]["phoneme_vocab_size"] == (512 if version == "v1" else 732)
    assert files.hubert is None
    assert files.bert is None
    assert files.speaker is None
    assert sorted(p.name for p in files.gpt.parent.iterdir()) == [
        "demo-gpt.ckpt",
        "demo-sovits.pth",
        "reference.json",
        "reference.wav",
        "target.json",
    ]


def bytes_by_name(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_arguments_give_the_same_bytes(demo, tmp_path):
    again = write_demo_checkpoint(tmp_path / "a", tiny=True, bert=True)
    assert bytes_by_name(again.gpt.parent) == bytes_by_name(demo.gpt.parent)
    other = write_demo_checkpoint(tmp_path / "b", tiny=True, seed=1, hubert=False)
    assert other.gpt.read_bytes() != demo.gpt.read_bytes()
    assert other.sovits.read_bytes() != demo.sovits.read_bytes()


def test_encoders_tell_positions_apart(demo):
    rng = np.random.default_rng(0)
    wave_16k = torch.from_numpy(rng.standard_normal((1, 16000)).astype(np.float32) * 0.1)
    ids = torch.tensor([[101, *range(200, 210), 102]])
    with torch.inference_mode():
        bert = read_pretrained(demo.bert, "bert").module()
        ssl, text = load_hubert(demo.hubert)(wave_16k)[0], bert(ids)
    assert ssl.shape[-2:] == (49, 768)
    assert text.shape[-2:] == (10, 1024)
    for features in (ssl, text):
        assert 0.5 < float(features.std()) < 2
        assert float(features.std(-2).mean()) > 0.3
        assert float(features.abs().max()) < 50


def test_layouts_of_the_encoders_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    spelling = {
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
    }
    for tiny in (True, False):
        with torch.device("meta"):
            config = hubert_config(tiny=tiny)
            hubert = transformers.HubertModel(transformers.HubertConfig(**config)).state_dict()
            text_config = bert_config(tiny=tiny)
            bert = transformers.BertModel(
                transformers.BertConfig(**text_config), add_pooling_layer=False
            ).state_dict()
        for new, old in spelling.items():
            hubert = {name.replace(new, old): tensor for name, tensor in hubert.items()}
        assert hubert_layout(config) == {name: tuple(tensor.shape) for name, tensor in hubert.items()}
        assert bert_layout(text_config) == {name: tuple(tensor.shape) for name, tensor in bert.items()}


def test_vocabulary(demo):
    vocab = bert_vocab(tiny=False)
    assert len(vocab) == len(set(vocab)) == 21128
    assert [vocab[i] for i in (0, 100, 101, 102, 103)] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert set("你好,.!?-…") <= set(vocab)
    tokens = (demo.bert / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert tokens == bert_vocab(tiny=True)
    assert len(tokens) == json.loads((demo.bert / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    tokenizer = json.loads((demo.bert / "tokenizer.json").read_text(encoding="utf-8"))
    assert tokenizer["model"]["vocab"] == {token: i for i, token in enumerate(tokens)}


def test_tokenizer_file_is_one(demo):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(demo.bert / "tokenizer.json"))
    assert tokenizer.encode("你好,龘.").tokens == ["[CLS]", "你", "好", ",", "[UNK]", ".", "[SEP]"]


def test_reference_sounds_like_speech(demo):
    with wave.open(str(demo.reference_wav)) as f:
        assert (f.getnchannels(), f.getsampwidth(), f.getframerate(), f.getnframes()) == (1, 2, 32000, 160000)
        samples = np.frombuffer(f.readframes(-1), "<i2") / 32768
    assert 0.5 < np.abs(samples).max() < 0.7
    loudness = np.sqrt((samples.reshape(-1, 1600) ** 2).mean(axis=1))
    assert (loudness < 0.003).sum() >= 3  # pauses
    assert (loudness > 0.05).mean() > 0.6
    spectra = np.abs(np.fft.rfft(samples.reshape(-1, 1600) * np.hanning(1600), axis=1)) ** 2  # bins of 20 Hz
    hiss = spectra[:, 300:].sum(axis=1) / (spectra.sum(axis=1) + 1e-9)  # share above 6 kHz
    assert (hiss > 0.5).sum() >= 3  # s, sh, f
    assert (hiss < 0.05).mean() > 0.5  # vowels


def test_noise_of_the_reference_follows_the_seed():
    phones = ["S", "AA1"]
    assert len(speech_like(phones, seconds=0.5)) == 16000
    assert not np.array_equal(speech_like(phones, seconds=0.5), speech_like(phones, seconds=0.5, seed=1))


@pytest.mark.parametrize("table", ["v1", "v2"])
def test_phones_are_symbols(demo, table):
    for path in (demo.reference, demo.target):
        sentence = json.loads(path.read_text(encoding="utf-8"))
        assert list(sentence) == ["language", "text", "phones"]
        assert sentence["language"] == "en"
        assert set(sentence["phones"]) <= set(symbol_table(table))
        assert len(sentence["phones"]) > 40


def test_progress_reaches_the_end(tmp_path):
    seen = {}
    calls = []

    def progress(name, done, total):
        assert seen.get(name, 0) < done <= total
        seen[name] = done
        calls.append((name, done, total))

    write_demo_checkpoint(tmp_path, tiny=True, progress=progress)
    assert set(seen) == {"demo-gpt.ckpt", "demo-sovits.pth", "chinese-hubert-base"}
    assert {(name, total) for name, _, total in calls} == set(seen.items())


def test_nothing_half_written_stays(tmp_path):
    def interrupt(name, done, total):
        if name == "chinese-hubert-base" and done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_demo_checkpoint(tmp_path, tiny=True, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_existing_files_are_kept(tmp_path):
    (tmp_path / "chinese-hubert-base").mkdir()
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(CheckpointError, match="chinese-hubert-base exists already"):
        write_demo_checkpoint(tmp_path, tiny=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chinese-hubert-base", "notes.txt"]
    files = write_demo_checkpoint(tmp_path, tiny=True, hubert=False)
    assert files.gpt.is_file()
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_demo_checkpoint(tmp_path / "file", tiny=True)


@pytest.mark.parametrize(("version", "told"), [("v5", "'v5' is unknown")])
def test_versions_without_a_demo_are_refused(tmp_path, version, told):
    with pytest.raises(CheckpointError, match=told):
        write_demo_checkpoint(tmp_path / "new", version=version)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_full_size_checkpoints_load(tmp_path):
    files = write_demo_checkpoint(tmp_path, version="v2")
    gpt, sovits = load_gpt(files.gpt), load_sovits(files.sovits)
    assert round(sum(t.numel() for t in gpt.tensors.values()) / 1e6, 1) == 77.6
    assert len(sovits.tensors) == 673 - 3 - (
        5 + 90 + 36
    )  # of training, and folded pairs: ups, resblocks, flow
