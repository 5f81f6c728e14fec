"""Sound before the sentence is done: waveform in chunks, from tokens that are still being made.

Three parts with three kinds of memory:

* the encoder reads the newest tokens again with every chunk, because it looks both ways; what it says about a frame is
  taken over once, `lookahead_tokens` tokens before the newest one, and never again;
* prior and flow run over the frames taken over, and over as many before them as the flow can see;
* the vocoder runs over frames that are final, again with all that it can see on both sides, so that chunks laid side by
  side are the waveform of the whole latent to rounding: no join, no fade, nothing said twice or lost.

The prior's noise belongs to the absolute frame. Against the sentence decoded as a whole, only what the encoder would
make of later tokens differs, and the flow at its right edge. v3 and v4 need all tokens before they start; their chunks
are the windows of flow matching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import BundleError
from sovits_runtime.speech.decoder import FRAMES_PER_TOKEN, SemanticDecoder, frame_count, resampled
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import ChunkOptions, Floats, NormalNoise, SpeechOptions, Utterance


def hifigan_chunks(
    decoder: SemanticDecoder,
    tokens: Iterable[int],
    phones: NDArray[np.int64],
    *,
    reference: Reference,
    options: SpeechOptions,
    chunks: ChunkOptions,
    noise: NormalNoise,
) -> Iterator[Floats]:
    """Yields samples float32 [n] while tokens come in; one empty chunk at most, the last.

    Args:
        decoder: The decoder.
        tokens: Semantic tokens of one sentence, as they are made.
        phones: int64 [T], of the sentence.
        reference: The voice.
        options: How to speak.
        chunks: How to cut.
        noise: The prior's noise, called with [1, C, frames] for one stretch of frames after the other.

    Raises:
        BundleError: The bundle was built by a release that did not speak in chunks.
    """
    speech = ChunkedSpeech(decoder, phones, reference.style, options=options, chunks=chunks, noise=noise)
    so_far: list[int] = []
    ends = chunks.ends()
    end = next(ends)
    for token in tokens:
        so_far.append(token)
        if len(so_far) >= end + chunks.lookahead_tokens:
            yield speech.speak(np.array(so_far, np.int64), end)
            end = next(ends)
    if so_far:
        yield speech.finish(np.array(so_far, np.int64))


def flow_chunks(
    decoder: FlowMatchingDecoder,
    tokens: Iterable[int],
    phones: NDArray[np.int64],
    *,
    reference: Reference,
    options: SpeechOptions,
    chunks: ChunkOptions,
    noise: NormalNoise,
) -> Iterator[Floats]:
    """Yields samples float32 [n] window by window, once all tokens are there. Arguments as in `hifigan_chunks`."""
    whole = np.fromiter(tokens, np.int64)
    if not len(whole):
        return
    vocoder = ChunkedVocoder(decoder.vocode, context_of(decoder.vocoder))
    pieces = decoder.utterance_pieces(Utterance(whole, phones), reference, options=options, noise=noise)
    for mel in pieces:
        yield vocoder.speak(mel)
    yield vocoder.finish()


class ChunkedVocoder:
    """Turns final frames into samples as they come; holds as many as the vocoder can see.

    Args:
        vocode: Frames [1, C, F] to samples [hop * F].
        context: How many frames to either side a sample depends on.
    """

    def __init__(self, vocode: Callable[[Floats], Floats], context: int) -> None:
        self._vocode = vocode
        self._context = context
        self._frames: Floats | None = None
        self._spoken = 0  # of the frames held, those whose samples were given out

    def speak(self, frames: Floats) -> Floats:
        """Takes final frames [1, C, F] and returns the samples that do not depend on later ones; maybe none."""
        held = self._hold(frames)
        return self._speak_to(max(held - self._context, self._spoken))

    def finish(self, frames: Floats | None = None) -> Floats:
        """Takes the last frames [1, C, F], if there are more, and returns the samples that are left."""
        if frames is not None:
            self._hold(frames)
        return np.zeros(0, np.float32) if self._frames is None else self._speak_to(self._frames.shape[2])

    def _hold(self, frames: Floats) -> int:
        self._frames = frames if self._frames is None else np.concatenate([self._frames, frames], axis=2)
        return int(self._frames.shape[2])

    def _speak_to(self, end: int) -> Floats:
        assert self._frames is not None
        if end == self._spoken:
            return np.zeros(0, np.float32)
        samples = self._vocode(np.ascontiguousarray(self._frames))
        hop = len(samples) // self._frames.shape[2]
        spoken = samples[self._spoken * hop : end * hop]
        kept = max(end - self._context, 0)
        self._frames, self._spoken = self._frames[:, :, kept:], end - kept
        return spoken


class ChunkedSpeech:
    """One sentence on its way through the HiFi-GAN decoder; holds a few seconds of frames, however long it gets."""

    def __init__(
        self,
        decoder: SemanticDecoder,
        phones: NDArray[np.int64],
        style: Floats,
        *,
        options: SpeechOptions,
        chunks: ChunkOptions,
        noise: NormalNoise,
    ) -> None:
        frame_count(1, options.speed)  # refuses a bad speed before anything is spoken
        self.decoder = decoder
        self.phones = phones
        self.style = style
        self.options = options
        self.chunks = chunks
        self._draw = noise
        self._flow_context = context_of(decoder.flow)
        self._vocoder = ChunkedVocoder(lambda z: decoder.vocode(z, style), context_of(decoder.vocoder))
        self._taken = 0  # frames whose state and latent are final
        self._states = np.zeros((1, decoder.state_channels, 0), np.float32)  # the last of them, for the flow
        self._noise = np.zeros((1, decoder.latent_channels, 0), np.float32)  # from the same frame on

    def speak(self, tokens: NDArray[np.int64], end: int) -> Floats:
        """Takes the sentence over up to token `end` and returns the samples float32 [n] that are final now.

        Args:
            tokens: int64 [k], all tokens so far, k >= end.
            end: Tokens that the sentence is taken over to, at least as many as before.
        """
        speed = self.options.speed
        states = self._states_up_to(tokens, int(FRAMES_PER_TOKEN * len(tokens) / speed))
        return self._vocoder.speak(self._take(states, int(FRAMES_PER_TOKEN * end / speed)))

    def finish(self, tokens: NDArray[np.int64]) -> Floats:
        """Returns the rest of the samples float32 [n], once `tokens` int64 [k] are the whole sentence."""
        frames = frame_count(FRAMES_PER_TOKEN * len(tokens), self.options.speed)
        return self._vocoder.finish(self._take(self._states_up_to(tokens, frames), frames))

    def _states_up_to(self, tokens: NDArray[np.int64], frames: int) -> Floats:
        """States [1, C, n] of the frames from the first that is not final up to `frames`, at the sentence's speed."""
        speed = self.options.speed
        first = max(int(self._taken * speed / FRAMES_PER_TOKEN) - self.chunks.history_tokens, 0)
        state = self.decoder.encode(tokens[first:], self.phones, self.style)
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
            drawn = self._draw((1, self.decoder.latent_channels, missing))
            self._noise = np.concatenate([self._noise, drawn], axis=2)
        noise = np.ascontiguousarray(self._noise[:, :, : window.shape[2]])
        z = self.decoder.latent(window, self.style, noise, self.options.noise_scale)
        kept = max(before + count - self._flow_context, 0)
        self._states, self._noise = window[:, :, kept : before + count], self._noise[:, :, kept:]
        self._taken = end
        return z[:, :, before : before + count]


def context_of(graph: Session) -> int:
    """Returns how many frames to either side a frame of the graph's output depends on.

    Raises:
        BundleError: The bundle does not say.
    """
    context = graph.spec.context
    if context is None:
        raise BundleError(
            f"graph {graph.spec.name}: the bundle does not say how far it sees, which speaking in chunks needs; it was "
            "built by an older release, build it again"
        )
    return context
