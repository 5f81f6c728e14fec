"""The layouts must give exactly the names and shapes that the official classes save.

The digests were taken from the state dicts of the official implementation, at commit 48b1a01, built from its own
config files ("full") and from the reduced ones of the demo ("tiny").
"""

import hashlib
import json

import pytest

from sovits_exporter.checkpoint.layout import Layout, gpt_layout, sovits_layout
from sovits_exporter.demo.configs import gpt_config, sovits_config
from sovits_exporter.modeling.sizes import DEMO_DIT, OFFICIAL_DIT
from sovits_runtime.errors import CheckpointError

OFFICIAL_GPT = {
    ("v1", "full"): "00e217d746b883ad",
    ("v1", "tiny"): "27d468e472383abd",
    ("v2", "full"): "0e98397d250e75b7",
    ("v2", "tiny"): "aba4ec25cb4927f0",
}
OFFICIAL_SOVITS = {
    ("v1", "full"): "175e5de7897827dd",
    ("v1", "tiny"): "f8e96fadb9213ef6",
    ("v2", "full"): "542b1e51cd7ebea1",
    ("v2", "tiny"): "ede689b6fdb96d33",
    ("v2Pro", "full"): "947111adfa98b467",
    ("v2Pro", "tiny"): "2e6ada980003f1e3",
    ("v2ProPlus", "full"): "46c4f2db518d04a9",
    ("v2ProPlus", "tiny"): "61f97cc2d476325f",
    ("v3", "full"): "6d28d17107f0a6c8",
    ("v3", "tiny"): "e7a2ee7e4119aecd",
    ("v4", "full"): "6d28d17107f0a6c8",
    ("v4", "tiny"): "e7a2ee7e4119aecd",
    ("v5dev", "full"): "a87c82329a6a3e5e",
    ("v5dev", "tiny"): "636dfd7598995f2a",
    ("v5turbo", "full"): "a87c82329a6a3e5e",
    ("v5turbo", "tiny"): "636dfd7598995f2a",
}


def digest(layout: Layout) -> str:
    text = json.dumps(sorted((name, list(shape)) for name, shape in layout.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(("version", "size"), OFFICIAL_GPT)
def test_gpt_layout_is_official(version, size):
    assert digest(gpt_layout(gpt_config(version, tiny=size == "tiny"))) == OFFICIAL_GPT[version, size]


@pytest.mark.parametrize(("version", "size"), OFFICIAL_SOVITS)
def test_sovits_layout_is_official(version, size):
    dit = DEMO_DIT if size == "tiny" else OFFICIAL_DIT
    layout = sovits_layout(sovits_config(version, tiny=size == "tiny"), version, dit)
    assert digest(layout) == OFFICIAL_SOVITS[version, size]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("embedding_dim", "512", "str"),
        ("embedding_dim", 512.0, "float"),
        ("embedding_dim", True, "bool"),
        ("embedding_dim", 10**9, "1 to 8192"),
        ("hidden_dim", 32, "expected 64"),
        ("head", 7, "a divisor of 64"),
        ("head", 0, "1 to 8192"),
        ("n_layer", 10**6, "1 to 128"),
        ("n_layer", -1, "1 to 128"),
        ("EOS", 1025, "expected 1024"),
        ("vocab_size", 1024, "expected 1025"),
        ("phoneme_vocab_size", None, "NoneType"),
    ],
)
def test_gpt_sizes_are_checked(key, value, told):
    config = gpt_config("v2", tiny=True)
    config["model"][key] = value
    with pytest.raises(CheckpointError) as e:
        gpt_layout(config)
    assert f"model.{key} = " in str(e.value)
    assert told in str(e.value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("model.hidden_channels", 256, "expected 192"),
        ("model.gin_channels", 256, "expected 512"),
        ("model.inter_channels", 33, "an even number"),
        ("model.n_heads", 5, "a divisor of 192"),
        ("model.n_layers", 1, "2 to 128"),
        ("model.kernel_size", 4, "an odd number"),
        ("model.resblock", "2", "expected '1'"),
        ("model.resblock", 1, "expected '1'"),
        ("model.upsample_rates", [10, 8, 2, 2], "factors of 640"),
        ("model.upsample_rates", "10 8 2 2 2", "positive integers"),
        ("model.upsample_rates", [], "positive integers"),
        ("model.upsample_kernel_sizes", [16, 16, 8, 2], "a list of 5"),
        ("model.upsample_kernel_sizes", [9, 16, 8, 2, 2], "plus an even number"),
        ("model.upsample_initial_channel", 100, "a multiple of 32"),
        ("model.resblock_kernel_sizes", [3, 7, 10], "odd numbers"),
        ("model.resblock_dilation_sizes", [[1, 3, 5]], "3 lists of 3"),
        ("model.resblock_dilation_sizes", [[1, 3], [1, 3], [1, 3]], "3 lists of 3"),
        ("data.sampling_rate", 48000, "expected 32000"),
        ("data.hop_length", "640", "expected 640"),
    ],
)
def test_sovits_sizes_are_checked(key, value, told):
    config = sovits_config("v2", tiny=True)
    section, name = key.split(".")
    config[section][name] = value
    with pytest.raises(CheckpointError) as e:
        sovits_layout(config, "v2")
    assert f"{key} = " in str(e.value)
    assert told in str(e.value)


@pytest.mark.parametrize("config", [{}, {"model": None}, {"model": [1]}, {"model": {"head": 4}}])
def test_missing_keys_are_named(config):
    with pytest.raises(CheckpointError, match=r"lacks model\.embedding_dim"):
        gpt_layout(config)


def test_pro_models_may_have_another_style_width():
    config = sovits_config("v2Pro", tiny=True)
    assert sovits_layout(config, "v2Pro")["ge_to512.weight"] == (512, 128)
