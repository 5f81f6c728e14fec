"""Sizes of the demo voice: everything that the official classes take from a config is small."""

from __future__ import annotations

from typing import Any

from features import LATENT

from sovits_exporter.demo.configs import gpt_config as official_gpt
from sovits_exporter.demo.configs import hubert_config as official_hubert
from sovits_exporter.demo.configs import sovits_config as official_sovits
from sovits_exporter.modeling.hifigan import HifiganConfig

STYLE_WIDTH = 512
FLOW_HIDDEN = 64  # of the 192 channels that the official flow has; the others stay silent
CODE_WIDTH = 48  # of the 768 columns of the codebook
CODES = 1024


def gpt_config() -> dict[str, Any]:
    """Returns the training config of the GPT checkpoint."""
    config = official_gpt("v2", tiny=False)
    config["model"] |= {
        "embedding_dim": 256,
        "hidden_dim": 256,
        "head": 8,
        "linear_units": 1024,
        "n_layer": 4,
    }
    return config


def sovits_config() -> dict[str, Any]:
    """Returns the training config of the SoVITS checkpoint."""
    config = official_sovits("v2", tiny=False)
    config["model"] |= {
        "inter_channels": LATENT,
        "filter_channels": 256,
        "n_layers": 2,
        "resblock_kernel_sizes": [3, 7],
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
        "upsample_initial_channel": 256,
        "upsample_kernel_sizes": [20, 16, 4, 4, 4],
    }
    return config


def hubert_config() -> dict[str, Any]:
    """Returns config.json of the speech encoder."""
    return official_hubert(tiny=False) | {
        "num_hidden_layers": 1,
        "intermediate_size": 256,
        "conv_dim": [64, 64, 64, 96, 128, 128, 128],
        "feat_extract_norm": "layer",
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 48,
    }


def decoder_config() -> HifiganConfig:
    """Returns the sizes of the waveform decoder."""
    model = sovits_config()["model"]
    return HifiganConfig(
        in_channels=model["inter_channels"],
        channels=model["upsample_initial_channel"],
        style_width=STYLE_WIDTH,
        upsample_rates=model["upsample_rates"],
        upsample_kernels=model["upsample_kernel_sizes"],
        resblock_kernels=model["resblock_kernel_sizes"],
        resblock_dilations=model["resblock_dilation_sizes"],
    )
