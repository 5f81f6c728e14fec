"""Semantic tokens to waveform: encoder, prior and flow, vocoder; whole or in pieces.

Source: GPT-SoVITS, module/models.py, SynthesizerTrn.decode and decode_streaming.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError
from sovits_runtime.graph import Array
from sovits_runtime.session import Session

FRAMES_PER_TOKEN = 2
DEFAULT_NOISE_SCALE = 0.5

Floats = NDArray[np.float32]


def frame_count(state_frames: int, speed: float) -> int:
    """Returns how many latent frames `state_frames` frames become at a speech speed (above 1 is faster).

    Raises:
        ShapeError: The speed is not between 0.1 and 10.
    """
    if not 0.1 <= speed <= 10:
        raise ShapeError(f"speed: got {speed}, expected 0.1 to 10 (1 is as spoken, 2 is twice as fast)")
    return state_frames if speed == 1 else int(state_frames / speed) + 1


def crossfade_state(state: Floats, previous: Floats) -> Floats:
    """Fades the tail of the previous chunk's state into the start of this one, as the original streams.

    The two weights are sines whose sum is not 1; that is the original's rule.

    Args:
        state: float32 [1, C, N].
        previous: float32 [1, C, o], o <= N.

    Returns:
        float32 [1, C, N].
    """
    o = previous.shape[2]
    if o > state.shape[2]:
        raise ShapeError(f"overlap of {o} frames is longer than the chunk of {state.shape[2]} frames")
    window = (
        np.sin(np.arange(2 * o, dtype=np.float32) * np.float32(np.pi / (2 * o)))
        if o
        else np.zeros(0, np.float32)
    )
    result = state.copy()
    result[:, :, :o] = state[:, :, :o] * window[:o] + previous * window[o:]
    return result


class SemanticDecoder:
    """The three graphs behind the GPT, each callable alone. Safe to use from several threads."""

    def __init__(self, encoder: Session, flow: Session, vocoder: Session) -> None:
        self.encoder = encoder
        self.flow = flow
        self.vocoder = vocoder
        channels = flow.spec.tensor("noise").shape[1]
        if isinstance(channels, str):
            raise ShapeError(f"graph {flow.spec.name}: the channels of 'noise' must be a fixed size")
        self.latent_channels = channels

    def encode(self, tokens: NDArray[np.int64], phones: NDArray[np.int64], style: Floats) -> Floats:
        """Tokens [n] and phones [T] of the target, style [1, gin, 1] to the state float32 [1, 192, 2n]."""
        feeds: dict[str, Array] = {"tokens": tokens[None], "phones": phones[None], "style": style}
        return self.encoder.run(feeds)["state"]

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

    def draw_noise(self, rng: np.random.Generator, state_frames: int, *, speed: float = 1.0) -> Floats:
        """Draws the prior's noise [1, C, F], frame by frame, so that a longer draw begins with a shorter one."""
        frames = frame_count(state_frames, speed)
        rows = rng.standard_normal((frames, self.latent_channels), dtype=np.float32)
        return np.ascontiguousarray(rows.T[None])

    def decode(
        self,
        tokens: NDArray[np.int64],
        phones: NDArray[np.int64],
        *,
        style: Floats,
        noise: Floats,
        noise_scale: float = DEFAULT_NOISE_SCALE,
    ) -> Floats:
        """Whole sentence at once.

        Args:
            tokens: int64 [n].
            phones: int64 [T], of the target alone.
            style: float32 [1, gin, 1].
            noise: float32 [1, C, F]; F sets the speed, see `frame_count`.
            noise_scale: Scale of the noise.

        Returns:
            Samples float32 [hop * F].

        Raises:
            ShapeError: Wrong shapes, or no tokens or phones.
        """
        state = self.encode(tokens, phones, style)
        return self.vocode(self.latent(state, style, noise, noise_scale), style)
