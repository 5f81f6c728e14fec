"""HiFi-GAN in chunks: the waveform of tokens that are still being made.

    tokens     |-- history --|-- new ------|- look-ahead -|    the encoder runs over all of these, with every chunk
    frames     |- flow context -|-- new ---|- look-ahead -|    prior and flow; of the result the new frames are kept
    frames  |- vocoder context -|-- new --|                    the vocoder, on final latents alone

* The encoder looks both ways, so it reads the newest tokens again with every chunk. The state of a frame is taken over
  once, `lookahead_tokens` tokens before the newest one, and never again.
* Prior and flow run over the frames taken over, and over as many before them as the flow can see.
* The vocoder runs over final frames with its full receptive field on both sides. Chunks laid side by side therefore
  equal the waveform of the whole latent up to rounding: there is no join and no fade.

The prior's noise belongs to the absolute frame. Against the sentence decoded as a whole, two things differ: what the
encoder would make of later tokens, and the flow at its right edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.speech.chunked_vocoder import ChunkedVocoder, context_of, lengths_of
from sovits_runtime.speech.decoder import FRAMES_PER_TOKEN, frame_count, resampled
from sovits_runtime.speech.hifigan_graphs import HifiganGraphs
from sovits_runtime.speech.noise import NormalNoise
from sovits_runtime.speech.types import ChunkOptions, Floats, SpeechOptions


class HifiganStream:
    """One sentence on its way through the HiFi-GAN decoder; holds a few seconds of frames, however long it gets.

    Args:
        graphs: The decoder's graphs.
        phones: int64 [T], of the sentence.
        style: float32 [1, gin, 1], the global speaker embedding.
        options: How to speak.
        chunks: How to cut.
        noise: The prior's noise, called with [1, C, frames] for one stretch of frames after the other.

    Raises:
        ShapeError: The speed is out of range.
        BundleError: The bundle was built by a release that did not speak in chunks.
    """

    def __init__(
        self,
        graphs: HifiganGraphs,
        phones: NDArray[np.int64],
        style: Floats,
        *,
        options: SpeechOptions,
        chunks: ChunkOptions,
        noise: NormalNoise,
    ) -> None:
        frame_count(1, options.speed)  # refuses a bad speed before anything is spoken
        self.graphs = graphs
        self.phones = phones
        self.style = style
        self.options = options
        self.chunks = chunks
        self._sample_noise = noise
        self._flow_context = context_of(graphs.flow)
        self._vocoder = ChunkedVocoder(
            lambda z: graphs.vocode(z, style),
            context_of(graphs.vocoder),
            lengths=lengths_of(graphs.vocoder),
        )
        self._taken = 0  # frames whose state and latent are final
        self._states = np.zeros((1, graphs.state_channels, 0), np.float32)  # the last of them, for the flow
        self._noise = np.zeros((1, graphs.latent_channels, 0), np.float32)  # from the same frame on

    def run(self, tokens: Iterable[int]) -> Iterator[Floats]:
        """Yields samples float32 [n] while tokens come in; one empty chunk at most, the last."""
        so_far: list[int] = []
        ends = self.chunks.ends()
        end = next(ends)
        for token in tokens:
            so_far.append(token)
            if len(so_far) >= end + self.chunks.lookahead_tokens:
                yield self.feed(np.array(so_far, np.int64), end)
                end = next(ends)
        if so_far:
            yield self.finish(np.array(so_far, np.int64))

    def feed(self, tokens: NDArray[np.int64], end: int) -> Floats:
        """Takes the sentence over up to token `end` and returns the samples float32 [n] that are final now.

        Args:
            tokens: int64 [k], all tokens so far, k >= end.
            end: Tokens that the sentence is taken over to, at least as many as before.
        """
        speed = self.options.speed
        states = self._states_up_to(tokens, int(FRAMES_PER_TOKEN * len(tokens) / speed))
        return self._vocoder.feed(self._take(states, int(FRAMES_PER_TOKEN * end / speed)))

    def finish(self, tokens: NDArray[np.int64]) -> Floats:
        """Returns the rest of the samples float32 [n], once `tokens` int64 [k] are the whole sentence."""
        frames = frame_count(FRAMES_PER_TOKEN * len(tokens), self.options.speed)
        return self._vocoder.finish(self._take(self._states_up_to(tokens, frames), frames))

    def _states_up_to(self, tokens: NDArray[np.int64], frames: int) -> Floats:
        """States [1, C, n] of the frames from the first that is not final up to `frames`, at the sentence's speed."""
        speed = self.options.speed
        first = max(int(self._taken * speed / FRAMES_PER_TOKEN) - self.chunks.history_tokens, 0)
        state = self.graphs.encode(tokens[first:], self.phones, self.style)
        start = FRAMES_PER_TOKEN * first
        if speed == 1:
            return state[:, :, self._taken - start : frames - start]
        return resampled(state, (np.arange(self._taken, frames) + 0.5) * speed - 0.5 - start)

    def _take(self, states: Floats, end: int) -> Floats:
        """Makes the frames up to `end` final, seeing all of `states`, and returns their latent [1, C, n]."""
        before, count = self._states.shape[2], end - self._taken
        window = np.concatenate([self._states, states], axis=2)
        missing = window.shape[2] - self._noise.shape[2]
        if missing > 0:
            further = self._sample_noise((1, self.graphs.latent_channels, missing))
            self._noise = np.concatenate([self._noise, further], axis=2)
        noise = np.ascontiguousarray(self._noise[:, :, : window.shape[2]])
        z = self.graphs.latent(window, self.style, noise, self.options.noise_scale)
        kept = max(before + count - self._flow_context, 0)
        self._states, self._noise = window[:, :, kept : before + count], self._noise[:, :, kept:]
        self._taken = end
        return z[:, :, before : before + count]
