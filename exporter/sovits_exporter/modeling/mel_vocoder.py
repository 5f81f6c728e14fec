"""Graph `mel_vocoder`: ln mel [1, 100, F] to a waveform [1, F * hop], by the network that the version takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sovits_exporter.modeling.bigvgan import Bigvgan
from sovits_exporter.modeling.hifigan import Generator, HifiganConfig
from sovits_exporter.modeling.sizes import MEL_BANDS


def mel_vocoder(config: Mapping[str, Any]) -> Generator | Bigvgan:
    """Builds the vocoder.

    Args:
        config: `kind`: "bigvgan" or "hifigan"; the other sizes by the names of BigVGAN's config.json; `bias`: whether
            the last convolution has one.
    """
    sizes = HifiganConfig(
        in_channels=MEL_BANDS,
        channels=config["upsample_initial_channel"],
        style_width=0,
        upsample_rates=config["upsample_rates"],
        upsample_kernels=config["upsample_kernel_sizes"],
        resblock_kernels=config["resblock_kernel_sizes"],
        resblock_dilations=config["resblock_dilation_sizes"],
        output_bias=config["bias"],
    )
    kinds: dict[str, type[Bigvgan] | type[Generator]] = {"bigvgan": Bigvgan, "hifigan": Generator}
    return kinds[config["kind"]](sizes)
