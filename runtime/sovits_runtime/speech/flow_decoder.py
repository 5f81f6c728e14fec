"""Semantic tokens to waveform by flow matching (v3 to v5): features, Euler steps from noise to mel, vocoder.

Long speech is made in windows that begin with a prompt, the reference's mel and features. One sentence alone goes
window after window, each prompted by the end of the one before, or by the reference with that end; in v3 and v4 several
sentences together fill windows that overlap, all prompted by the reference, whose waveforms are joined where they fit.

Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS.using_vocoder_synthesis and using_vocoder_synthesis_batched_infer;
module/models_v5.py, synthesize_v5_mel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio.mel import denormed, normed
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.names import CFM_CONDITION, CFM_FEATURES, CFM_STEP, MEL_VOCODER, SOVITS_ENCODER
from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import BundleError, ShapeError, TextError
from sovits_runtime.speech.chunked_vocoder import ChunkedVocoder, context_of, lengths_of
from sovits_runtime.speech.decoder import (
    FRAMES_PER_TOKEN,
    Arrays,
    GraphOpener,
    Stage,
    encode_tokens,
    frame_count,
)
from sovits_runtime.speech.flow_recording import recorded_condition, recorded_mel, recorded_steps
from sovits_runtime.speech.flow_windows import OVERLAP_FRAMES, FlowPrompt, cut_along, split_windows, stretch
from sovits_runtime.speech.noise import NormalNoise
from sovits_runtime.speech.reference import NEEDS_TRANSCRIPT, Reference
from sovits_runtime.speech.sola import sola_join
from sovits_runtime.speech.types import ChunkOptions, Floats, SpeechOptions, TokenSequence

GRAPHS = (SOVITS_ENCODER, CFM_FEATURES, CFM_CONDITION, CFM_STEP, MEL_VOCODER)
NO_GUIDANCE = 1e-5  # of the original: a rate up to this is none


class FlowMatchingDecoder:
    """The five graphs behind the GPT of v3 to v5, each callable alone; see `SpeechDecoder`.

    Args:
        sessions: The graphs by the names of `GRAPHS`.
        spec: The version's row.

    Raises:
        BundleError: The version has no flow matching.
    """

    waveform_tolerance: ClassVar[float] = 1e-3  # through many more layers than HiFi-GAN alone

    def __init__(self, sessions: dict[str, Session], spec: ModelSpec) -> None:
        if spec.flow is None:
            raise BundleError(
                f"model version {spec.version} has no flow matching; its decoder is {spec.decoder!r}"
            )
        self.flow = spec.flow
        self.encoder, self.features, self.condition, self.step, self.vocoder = (sessions[n] for n in GRAPHS)

    @classmethod
    def open(cls, graph: GraphOpener, spec: ModelSpec) -> FlowMatchingDecoder:
        """Opens the graphs of a bundle."""
        return cls({name: graph(name) for name in GRAPHS}, spec)

    @property
    def latent_channels(self) -> int:
        """There is no latent: channels of the encoder's state."""
        channels = self.features.spec.tensor("state").shape[1]
        assert isinstance(channels, int)
        return channels

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Encoder, features, condition, Euler step and vocoder.

        Beside what all stages may read, these read `window_features` [1, 512, T] (the prompt's and the speech's, of the
        first window), `prompt_mel` [1, 100, T], zero after the prompt, the inputs of the Euler step by its own names,
        and `mel` [1, 100, F], normed.
        """
        return (
            Stage(
                SOVITS_ENCODER,
                ("state",),
                lambda a: {"state": self.encode(a["tokens"], a["phones"], a["style"])},
            ),
            Stage(
                "cfm_features",
                ("features",),
                lambda a: {"features": self.features_of(a["state"], a["style"])},
            ),
            Stage(
                "cfm_condition",
                self.condition.spec.output_names,
                lambda a: _run(self.condition, {**a, "features": a["window_features"]}),
                recorded_condition,
            ),
            Stage(
                "cfm_step",
                ("velocity", "next_x"),
                lambda a: _run(self.step, a),
                recorded_steps,
            ),
            Stage("mel_vocoder", ("waveform",), lambda a: {"waveform": self.vocode(a["mel"])}, recorded_mel),
        )

    def encode(self, tokens: NDArray[np.int64], phones: NDArray[np.int64], style: Floats) -> Floats:
        """Runs the encoder; arguments and result as in `encode_tokens`."""
        return encode_tokens(self.encoder, tokens, phones, style)

    def features_of(self, state: Floats, style: Floats, *, speed: float = 1.0) -> Floats:
        """State of the encoder to features at the rate of the mel.

        Args:
            state: float32 [1, 192, 2n].
            style: float32 [1, 512, 1], the global speaker embedding.
            speed: Above 1 is faster.

        Returns:
            float32 [1, 512, F].

        Raises:
            ShapeError: The speed is out of range.
        """
        state_frames = state.shape[2]
        stretched = stretch(state, frame_count(state_frames, speed))
        valid = int(state_frames // FRAMES_PER_TOKEN * self.flow.frames_per_token / speed) + (speed != 1)
        feeds: dict[str, Array] = {
            "state": np.ascontiguousarray(stretched),
            "style": style,
            "valid_frames": np.array([valid], np.int64),
        }
        return self.features.run(feeds)["features"]

    def prompt_of(self, reference: Reference) -> FlowPrompt:
        """Mel and features of the reference, cut to the same length and to the longest prompt.

        Raises:
            BundleError: The reference was made by a voice without flow matching.
            TextError: The reference has no transcript.
        """
        if reference.mel is None:
            raise BundleError(
                "this reference holds no mel spectrogram, which v3 to v5 speak from: it was made with a voice of "
                "another version; make it again with this bundle"
            )
        if len(reference.prompt) == 0:
            raise TextError(NEEDS_TRANSCRIPT)
        state = self.encode(reference.prompt, reference.phones, reference.style)
        features, mel = self.features_of(state, reference.style), normed(reference.mel)[None]
        common = min(features.shape[2], mel.shape[2])
        start = max(0, common - self.flow.prompt_frames)
        return FlowPrompt(features[:, :, start:common], mel[:, :, start:common])

    def solve(
        self,
        features: Floats,
        prompt: FlowPrompt,
        *,
        noise: NormalNoise,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> Floats:
        """Integrates noise to the mel of windows; prompt frames take part, but are not in the result.

        Source: GPT-SoVITS, module/models.py, CFM.inference.

        Args:
            features: float32 [windows, 512, F], without the prompt's.
            prompt: What every window begins with.
            noise: Called once, for [windows, 100, prompt and F].
            steps: Euler steps; None: what the version is made for.
            guidance: 0 to 2, how far each step is led away from what it would be without the prompt's mel; None: what
                the version is made for.

        Raises:
            ShapeError: The version takes no guidance.

        Returns:
            Normed mel float32 [windows, 100, F].
        """
        count, _, frames = features.shape
        whole = np.concatenate([np.repeat(prompt.features, count, axis=0), features], axis=2)
        x = noise((count, self.flow.mel_bands, len(prompt) + frames)) * np.float32(self.flow.noise_scale)
        x[:, :, : len(prompt)] = 0
        steps, rate = steps or self.flow.steps, self._guidance(guidance)
        limit = self.step.spec.dim_ranges["batch"].max // (2 if rate else 1)
        groups = [slice(i, i + limit) for i in range(0, count, limit)]
        return np.concatenate([self._integrate(whole[g], x[g], prompt, steps, rate) for g in groups])

    def _guidance(self, asked: float | None) -> float:
        """The rate to follow, 0 for none."""
        if self.flow.guidance is None and asked is not None:
            raise ShapeError(f"guidance: got {asked:g}, but this decoder takes none; leave it out")
        rate = (self.flow.guidance or 0.0) if asked is None else asked
        return rate if rate > NO_GUIDANCE else 0.0

    def _integrate(
        self, features: Floats, x: Floats, prompt: FlowPrompt, steps: int, guidance: float
    ) -> Floats:
        prompt_mel = np.zeros_like(x)
        prompt_mel[:, :, : len(prompt)] = prompt.mel
        told: dict[str, Array] = {
            "features": features,
            "prompt_mel": prompt_mel,
            "prompt_len": np.array([len(prompt)], np.int64),
            "step_size": np.array([1 / steps], np.float32),
        }
        told |= _run(self.condition, told)
        for i in range(steps):
            told["time"] = np.array([i / steps], np.float32)
            x = self._guided(x, told, guidance) if guidance else _run(self.step, {**told, "x": x})["next_x"]
        return x[:, :, len(prompt) :]

    def _guided(self, x: Floats, told: Arrays, rate: float) -> Floats:
        """One step away from what is made without the prompt's mel, both as rows of one batch.

        Source: GPT-SoVITS, module/models.py, CFM.inference.
        """
        rows = {**told, "x": np.concatenate([x, x])}
        rows["condition"] = np.concatenate([told["condition"], told["unprompted"]])
        towards, away = np.split(_run(self.step, rows)["velocity"], 2)
        moved: Floats = x + told["step_size"] * (towards + (towards - away) * np.float32(rate))
        moved[:, :, : told["prompt_len"][0]] = 0
        return moved

    def vocode(self, mel: Floats) -> Floats:
        """Normed mel [1, 100, F] to samples float32 [hop * F]."""
        samples: Floats = self.vocoder.run({"mel": denormed(mel)})["waveform"][0]
        return samples

    def mel_pieces(
        self,
        features: Floats,
        prompt: FlowPrompt,
        *,
        noise: NormalNoise,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> Iterator[Floats]:
        """Yields the normed mel [1, 100, f] of one sentence window by window; arguments as in `solve`."""
        size, tail, first = self.flow.window_speech(len(prompt)), self.flow.prompt_tail, prompt
        for start in range(0, features.shape[2], size):
            piece = features[:, :, start : start + size]
            mel = self.solve(piece, prompt, noise=noise, steps=steps, guidance=guidance)
            yield mel
            prompt = first.then(piece, mel, tail=tail)

    def speak(
        self, utterance: TokenSequence, reference: Reference, *, options: SpeechOptions, noise: NormalNoise
    ) -> Floats:
        """Decodes one utterance; see `SpeechDecoder.speak`. Noise is sampled once a window.

        Raises:
            BundleError: As `prompt_of`.
            TextError: As `prompt_of`.
            ShapeError: The speed is out of range, or guidance is asked of a version without.
        """
        pieces = self.utterance_pieces(utterance, reference, options=options, noise=noise)
        return self.vocode(np.concatenate(list(pieces), axis=2))

    def token_needs(self, chunks: ChunkOptions) -> Iterator[int]:
        """Nothing can be made before the end; see `SpeechDecoder.token_needs`."""
        return iter(())

    def stream(
        self,
        tokens: Iterable[int],
        phones: NDArray[np.int64],
        *,
        reference: Reference,
        options: SpeechOptions,
        chunks: ChunkOptions,
        noise: NormalNoise,
    ) -> Iterator[Floats]:
        """Decodes window by window; see `SpeechDecoder.stream`.

        Flow matching needs all tokens before it starts, and its windows are as long as the version's rule has them. So
        `chunks` decides only how much of a window's mel goes through the vocoder at once.
        """
        whole = np.fromiter(tokens, np.int64)
        if not len(whole):
            return
        up, down = self.flow.feature_rate
        ends = (FRAMES_PER_TOKEN * end * up // down for end in chunks.ends())
        vocoder = ChunkedVocoder(self.vocode, context_of(self.vocoder), lengths=lengths_of(self.vocoder))
        mels = self.utterance_pieces(TokenSequence(whole, phones), reference, options=options, noise=noise)
        for part in cut_along(mels, ends):
            yield vocoder.feed(part)
        yield vocoder.finish()

    def utterance_pieces(
        self, utterance: TokenSequence, reference: Reference, *, options: SpeechOptions, noise: NormalNoise
    ) -> Iterator[Floats]:
        """Yields the normed mel [1, 100, f] of an utterance window by window; arguments and errors as in `speak`."""
        features = self._features(utterance, reference, options)
        return self.mel_pieces(
            features,
            self.prompt_of(reference),
            noise=noise,
            steps=options.flow_steps,
            guidance=options.guidance,
        )

    def speak_joined(
        self,
        utterances: Sequence[TokenSequence],
        reference: Reference,
        *,
        options: SpeechOptions,
        noise: NormalNoise,
    ) -> list[Floats]:
        """Fills windows with all sentences, makes them side by side, and cuts the joined waveform.

        Noise is sampled once. Joins shorten the waveform by up to 320 samples each, which the last sentence lacks.
        v5 speaks sentence by sentence, as `speak` does.
        """
        if not self.flow.joins_sentences:
            return [self.speak(u, reference, options=options, noise=noise) for u in utterances]
        prompt = self.prompt_of(reference)
        parts = [self._features(u, reference, options) for u in utterances]
        size, hop = self.flow.window_speech(len(prompt)), self.flow.vocoder_hop
        windows, padding = split_windows(np.concatenate(parts, axis=2), size)
        mel = self.solve(windows, prompt, noise=noise, steps=options.flow_steps, guidance=options.guidance)
        side_by_side = np.ascontiguousarray(mel.transpose(1, 0, 2)).reshape(1, mel.shape[1], -1)
        pieces = np.split(self.vocode(side_by_side), len(windows))
        joined = sola_join(pieces, OVERLAP_FRAMES * hop)
        spoken = joined[OVERLAP_FRAMES * hop : len(joined) - padding * hop]
        ends = np.cumsum([hop * part.shape[2] for part in parts])
        return [spoken[end - hop * part.shape[2] : end] for end, part in zip(ends, parts, strict=True)]

    def _features(self, utterance: TokenSequence, reference: Reference, options: SpeechOptions) -> Floats:
        state = self.encode(utterance.tokens, utterance.phones, reference.style)
        return self.features_of(state, reference.style, speed=options.speed)


def _run(graph: Session, arrays: Arrays) -> dict[str, Array]:
    """Runs a graph on those of the arrays that it reads.

    So a bundle may have any of the two forms that there have been: in the older one a step is told the prompt's mel and
    length, and `cfm_condition` gives neither `turn` nor `moves`.
    """
    return graph.run({name: arrays[name] for name in graph.spec.input_names if name in arrays})
