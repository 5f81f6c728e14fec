"""Configs of the demo models: official numbers, or a tiny cut of them that runs in a moment."""

from __future__ import annotations

import re
import string
from typing import Any

from sovits_exporter.checkpoint.layout import Layout
from sovits_exporter.checkpoint.vocoder import HIFIGAN_SIZES
from sovits_runtime.bundle.model_spec import MODEL_SPECS, model_spec

Config = dict[str, Any]

SAMPLE_HANZI = "你好今天我们去河边散步这是一个用来测试的声音"
_HAN_FIRST, _HAN_LAST = 0x4E00, 0x9FA5
_MARKS = "…，。！？、；：（）《》〈〉「」『』【】〔—～·“”‘’"


# Without these a deep encoder of random layers tells one position from the next by a thousandth only.
ENCODER_GAINS = (
    (re.compile(r"attention\.(out_proj|output\.dense)\.weight$"), 0.25),
    (re.compile(r"(feed_forward\.output_dense|layer\.\d+\.output\.dense)\.weight$"), 0.5),
    (re.compile(r"layers?\.\d+\..*bias$"), 0.25),
)


def gpt_config(version: str, *, tiny: bool) -> Config:
    """Returns the training config of a GPT checkpoint."""
    config: Config = {
        "train": {"seed": 1234, "epochs": 20, "batch_size": 8, "precision": "16-mixed"},
        "optimizer": {
            "lr": 0.01,
            "lr_init": 1e-5,
            "lr_end": 1e-4,
            "warmup_steps": 2000,
            "decay_steps": 40000,
        },
        "data": {"max_eval_sample": 8, "max_sec": 54, "num_workers": 4, "pad_val": 1024},
        "model": {
            "vocab_size": 1025,
            "phoneme_vocab_size": 512 if MODEL_SPECS[version].symbols == "v1" else 732,
            "embedding_dim": 512,
            "hidden_dim": 512,
            "head": 16,
            "linear_units": 2048,
            "n_layer": 24,
            "dropout": 0,
            "EOS": 1024,
            "random_bert": 0,
        },
        "inference": {"top_k": 15},
    }
    if tiny:
        config["model"] |= {
            "embedding_dim": 64,
            "hidden_dim": 64,
            "head": 4,
            "linear_units": 256,
            "n_layer": 2,
        }
    return config


def sovits_config(version: str, *, tiny: bool) -> Config:
    """Returns the training config of a SoVITS checkpoint."""
    spec = model_spec(version)
    pro, wide = spec.speaker_network, spec.decoder_width > 512
    model: Config = {
        "inter_channels": 192,
        "hidden_channels": 192,
        "filter_channels": 768,
        "n_heads": 2,
        "n_layers": 6,
        "kernel_size": 3,
        "p_dropout": 0.0 if pro else 0.1,
        "resblock": "1",
        "resblock_kernel_sizes": [3, 7, 11],
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
        "upsample_rates": [10, 8, 2, 2, 2],
        "upsample_initial_channel": spec.decoder_width,
        "upsample_kernel_sizes": [20 if wide else 16, 16, 8, 2, 2],
        "n_layers_q": 3,
        "use_spectral_norm": False,
        "gin_channels": 1024 if pro else 512,
        "semantic_frame_rate": "25hz",
        "freeze_quantizer": True,
        "version": version,
    }
    if tiny:
        model |= {"inter_channels": 32, "filter_channels": 64, "n_layers": 2, "upsample_initial_channel": 64}
        model |= {"gin_channels": 128} if pro else {}
        model |= {"inter_channels": 192} if spec.flow else {}
    return {
        "train": {
            "seed": 1234,
            "epochs": 100,
            "learning_rate": 0.0001,
            "batch_size": 32,
            "segment_size": 20480,
        },
        "data": {
            "max_wav_value": 32768.0,
            "sampling_rate": 32000,
            "filter_length": 2048,
            "hop_length": 640,
            "win_length": 2048,
            "n_speakers": 300,
            "cleaned_text": True,
        },
        "model": model,
        "content_module": "cnhubert",
    }


def hubert_config(*, tiny: bool) -> Config:
    """Returns config.json of chinese-hubert-base; tiny keeps the width of the features and the frame rate."""
    return {
        "architectures": ["HubertModel"],
        "model_type": "hubert",
        "hidden_size": 768,
        "num_hidden_layers": 2 if tiny else 12,
        "num_attention_heads": 12,
        "intermediate_size": 64 if tiny else 3072,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "conv_dim": [32 if tiny else 512] * 7,
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "conv_bias": False,
        "feat_extract_norm": "group",
        "feat_extract_activation": "gelu",
        "feat_proj_layer_norm": True,
        "do_stable_layer_norm": False,
        "num_feat_extract_layers": 7,
        "num_conv_pos_embeddings": 16 if tiny else 128,
        "num_conv_pos_embedding_groups": 16,
    }


def bert_config(*, tiny: bool) -> Config:
    """Returns config.json of chinese-roberta-wwm-ext-large; a tiny one keeps the width of the features."""
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(bert_vocab(tiny=tiny)),
        "hidden_size": 1024,
        "num_hidden_layers": 3 if tiny else 24,
        "num_attention_heads": 16,
        "intermediate_size": 64 if tiny else 4096,
        "hidden_act": "gelu",
        "max_position_embeddings": 128 if tiny else 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }


def speaker_config(*, tiny: bool) -> Config:
    """Returns the sizes of the speaker network; a tiny one keeps the width of the embedding."""
    return {"channels": 64, "blocks": [1, 1, 1, 1] if tiny else [3, 4, 6, 3]}


def vocoder_config(kind: str, *, tiny: bool) -> Config:
    """Returns config.json of the vocoder of v3 ("bigvgan"), or the sizes of that of v4 and v5 ("hifigan")."""
    if kind == "hifigan":
        return {**HIFIGAN_SIZES, "upsample_initial_channel": 64 if tiny else 512}
    return {
        "resblock": "1",
        "num_mels": 100,
        "upsample_rates": [16, 16] if tiny else [4, 4, 2, 2, 2, 2],
        "upsample_kernel_sizes": [32, 32] if tiny else [8, 8, 4, 4, 4, 4],
        "upsample_initial_channel": 64 if tiny else 1536,
        "resblock_kernel_sizes": [3] if tiny else [3, 7, 11],
        "resblock_dilation_sizes": [[1, 3, 5]] if tiny else [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
        "use_tanh_at_final": False,
        "use_bias_at_final": False,
        "activation": "snakebeta",
        "snake_logscale": True,
        "sampling_rate": 24000,
        "n_fft": 1024,
        "hop_size": 256,
        "win_size": 1024,
        "fmin": 0,
        "fmax": None,
    }


def bert_vocab(*, tiny: bool) -> list[str]:
    """Returns the tokens by id: special tokens at their official ids, then ASCII, marks and hanzi."""
    special = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    hanzi = dict.fromkeys(SAMPLE_HANZI) if tiny else map(chr, range(_HAN_FIRST, _HAN_LAST + 1))
    ascii_marks = [c for c in string.printable if c.isprintable() and c != " "]
    return [*special, *ascii_marks, *_MARKS, *hanzi]


def hubert_layout(config: Config) -> Layout:
    """Returns the tensors of a HubertModel."""
    width, inner, channels = config["hidden_size"], config["intermediate_size"], config["conv_dim"]
    taps, groups = config["num_conv_pos_embeddings"], config["num_conv_pos_embedding_groups"]
    layout: Layout = {"masked_spec_embed": (width,)}
    for i, (into, out, kernel) in enumerate(
        zip([1, *channels], channels, config["conv_kernel"], strict=False)
    ):
        layout[f"feature_extractor.conv_layers.{i}.conv.weight"] = (out, into, kernel)
    layout |= _affine("feature_extractor.conv_layers.0.layer_norm", channels[0])
    layout |= _affine("feature_projection.layer_norm", channels[-1])
    layout |= _linear("feature_projection.projection", width, channels[-1])
    layout |= {
        "encoder.pos_conv_embed.conv.bias": (width,),
        "encoder.pos_conv_embed.conv.weight_g": (1, 1, taps),
        "encoder.pos_conv_embed.conv.weight_v": (width, width // groups, taps),
    }
    layout |= _affine("encoder.layer_norm", width)
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{i}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            layout |= _linear(f"{layer}.attention.{part}", width, width)
        layout |= _affine(f"{layer}.layer_norm", width)
        layout |= _linear(f"{layer}.feed_forward.intermediate_dense", inner, width)
        layout |= _linear(f"{layer}.feed_forward.output_dense", width, inner)
        layout |= _affine(f"{layer}.final_layer_norm", width)
    return layout


def bert_layout(config: Config) -> Layout:
    """Returns the tensors of a BertModel without pooler."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    layout: Layout = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        **_affine("embeddings.LayerNorm", width),
    }
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            layout |= _linear(f"{layer}.attention.self.{part}", width, width)
        layout |= _linear(f"{layer}.attention.output.dense", width, width)
        layout |= _affine(f"{layer}.attention.output.LayerNorm", width)
        layout |= _linear(f"{layer}.intermediate.dense", inner, width)
        layout |= _linear(f"{layer}.output.dense", width, inner)
        layout |= _affine(f"{layer}.output.LayerNorm", width)
    return layout


def _linear(name: str, out: int, into: int) -> Layout:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _affine(name: str, width: int) -> Layout:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
