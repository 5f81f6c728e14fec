"""The three graphs behind the GPT of v1 to v2ProPlus: encoder, prior and flow, vocoder.

Source: GPT-SoVITS, module/models.py, SynthesizerTrn.decode and decode_streaming.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import ShapeError
from sovits_runtime.speech.decoder import encode_tokens
from sovits_runtime.speech.types import DEFAULT_NOISE_SCALE, Floats


class HifiganGraphs:
    """The graphs, each callable alone."""

    def __init__(self, encoder: Session, flow: Session, vocoder: Session) -> None:
        self.encoder = encoder
        self.flow = flow
        self.vocoder = vocoder
        self.state_channels, self.latent_channels = _channels(flow, "state"), _channels(flow, "noise")

    def encode(self, tokens: NDArray[np.int64], phones: NDArray[np.int64], style: Floats) -> Floats:
        """Runs the encoder; arguments and result as in `encode_tokens`."""
        return encode_tokens(self.encoder, tokens, phones, style)

    def latent(
        self, state: Floats, style: Floats, noise: Floats, noise_scale: float = DEFAULT_NOISE_SCALE
    ) -> Floats:
        """State [1, 192, N] and normal noise [1, C, F] to the vocoder's latent float32 [1, C, F]."""
        feeds: dict[str, Floats] = {
            "state": state,
            "style": style,
            "noise": noise,
            "noise_scale": np.array([noise_scale], np.float32),
        }
        return self.flow.run(feeds)["z"]

    def vocode(self, z: Floats, style: Floats) -> Floats:
        """Latent [1, C, F] to samples float32 [hop * F], in [-1, 1]."""
        samples: Floats = self.vocoder.run({"z": z, "style": style})["waveform"][0]
        return samples


def _channels(graph: Session, tensor: str) -> int:
    channels = graph.spec.tensor(tensor).shape[1]
    if isinstance(channels, str):
        raise ShapeError(f"graph {graph.spec.name}: the channels of {tensor!r} must be a fixed size")
    return channels
