"""The part of `conformance.py` that replays v3 to v5: features, every Euler step, guidance, windows, vocoder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from conformance_errors import absolute, differing, noise_share, relative
from conformance_guided import guided_stages
from numpy.typing import NDArray

from sovits_exporter.graphs.graph_def import GraphDef
from sovits_runtime.audio.mel import denormed, normed, reference_mel
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.flow_windows import FlowPrompt
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import SpeechOptions, TokenSequence

Floats = NDArray[np.float32]
Golden = Mapping[str, Array]
Stage = tuple[str, float, str]

CHANNELS_KEPT = 8  # some recorded features hold every eighth channel
LORA_CHANNELS_KEPT = 4
CHUNK_STEPS = 4
GUIDED_STEPS, GUIDANCE = 3, 0.7


class FlowPath(Protocol):
    """One way to run a model with flow matching."""

    @property
    def decoder(self) -> FlowMatchingDecoder: ...
    def codes(self, ssl: Floats) -> Array: ...
    def style(self, wave: Floats, speaker: Floats | None) -> tuple[Floats, Floats]: ...


class TorchGraph:
    """A PyTorch module with the face of a session."""

    def __init__(self, graph: GraphDef) -> None:
        self.graph = graph
        self.spec = graph.spec
        self.provider = "torch"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self.graph.run({name: np.ascontiguousarray(array) for name, array in feeds.items()})


def flow_stages(path: FlowPath, g: Golden) -> Iterator[Stage]:
    yield "prompt tokens", differing(path.codes(np.ascontiguousarray(g["in_ssl"].T)), g["codes"]), "tokens"
    style, spectrogram = path.style(g["in_wav32"], None)
    key, rows = ("spec", slice(None)) if "spec" in g else ("spec_every4", slice(None, None, 4))
    yield "spectrogram", relative(spectrogram[0, rows], g[key]), "signal"
    yield "style", relative(style[0, :, 0], g["ge"]), "signal"
    decoder = path.decoder
    mel = reference_mel(g["in_wav_mel"], decoder.flow.mel_sample_rate, flow=decoder.flow)
    yield "reference mel", relative(mel, g["mel"]), "signal"
    spoken = Spoken(decoder, g, style)
    yield "features", relative(spoken.features[0], g["fea"]), "signal"
    yield (
        "features of the prompt",
        relative(spoken.prompt_features[0, ::CHANNELS_KEPT], g["fea_ref"]),
        "signal",
    )
    fast = spoken.features_at(float(g["in_speed"]))[0, ::CHANNELS_KEPT]
    yield "features, speed", relative(fast, g["fea_speed"]), "signal"
    for steps in (4, 8):
        made = spoken.prompted(steps)
        yield f"mel, {steps} Euler steps", absolute(made[0], g[f"cfm_{steps}"]), "euler step"
    if decoder.flow.guidance is not None:
        yield from guided_stages(spoken, g)
    if "cfm_cfg" in g:
        yield "mel, guided", absolute(spoken.guided()[0], g["cfm_cfg"]), "euler step"
    speech = made[:, :, spoken.prompt_len :]
    yield "vocoder's input", relative(denormed(speech)[0], g["vocoder_in"]), "signal"
    wave = decoder.vocoder.run({"mel": g["vocoder_in"][None]})["waveform"][0]
    yield "waveform of the recorded mel", noise_share(wave, g["wav"]), "noise over signal"
    yield "waveform", noise_share(decoder.vocode(speech), g["wav"]), "noise over signal"
    if "chunk_wav" in g and decoder.flow.guidance is None:
        yield from _windows(decoder, g, style)


def lora_stages(path: FlowPath, g: Golden, lora: Golden) -> Iterator[Stage]:
    """What a LoRA fine-tune makes of the inputs that were recorded for its base."""
    style, _ = path.style(g["in_wav32"], None)
    yield "style", relative(style[0, :, 0], lora["ge"]), "signal"
    spoken = Spoken(path.decoder, g, style)
    yield "features", relative(spoken.features[0, ::LORA_CHANNELS_KEPT], lora["fea"]), "signal"
    yield "mel, 4 Euler steps", absolute(spoken.prompted(4)[0], lora["cfm_4"]), "euler step"
    for key in sorted(lora):
        if found := re.fullmatch(r"cfm_4_cfg([\d.]+)", key):
            made = spoken.prompted(4, guidance=float(found[1]))
            yield f"mel, 4 steps of guidance {found[1]}", absolute(made[0], lora[key]), "euler step"


class Spoken:
    """The recorded sentence, up to the mel; frames of the prompt stay in, as in the recorded values."""

    def __init__(self, decoder: FlowMatchingDecoder, g: Golden, style: Floats) -> None:
        self.decoder, self.g, self.style = decoder, g, style
        self.prompt_len = int(g["cfm_prompt_len"])
        self.features = self.features_at(1.0)
        prompt = _ids(g["in_prompt"]), _ids(g["in_phones_prompt"])
        self.prompt_features = decoder.features_of(decoder.encode(*prompt, style), style)

    def features_at(self, speed: float) -> Floats:
        tokens = _ids(self.g["gpt_tokens"][: int(self.g["in_ncode"])])
        state = self.decoder.encode(tokens, _ids(self.g["in_phones"]), self.style)
        return self.decoder.features_of(state, self.style, speed=speed)

    def prompted(self, steps: int, *, guidance: float | None = None) -> Floats:
        """As `FlowMatchingDecoder.solve`, with zeros for the prompt's frames."""
        n = self.prompt_len
        mel = normed(self.g["mel"])[None, :, :n]
        made = self.decoder.solve(
            self.features,
            FlowPrompt(self.prompt_features[:, :, :n], mel),
            noise=lambda shape: np.ascontiguousarray(self.g["in_cfm_noise"][None, :, : shape[2]]),
            steps=steps,
            guidance=guidance,
        )
        return np.pad(made, ((0, 0), (0, 0), (n, 0)))

    def guided(self) -> Floats:
        """Guidance away from the velocity without prompt and condition, which no caller of ours uses."""
        n = self.prompt_len
        features = np.concatenate([self.prompt_features[:, :, :n], self.features], axis=2)
        x = self.g["in_cfm_noise"][None, :, : features.shape[2]].copy()
        prompt_mel = np.zeros_like(x)
        prompt_mel[:, :, :n] = normed(self.g["mel"])[None, :, :n]
        x[:, :, :n] = 0
        condition = self.decoder.condition
        at = {"prompt_len": np.array([n], np.int64)}
        told = condition.run({**at, "features": features, "prompt_mel": prompt_mel})
        nothing = condition.run({**at, "features": np.zeros_like(features), "prompt_mel": np.zeros_like(x)})
        for i in range(GUIDED_STEPS):
            at = {
                "x": x,
                "time": np.array([i / GUIDED_STEPS], np.float32),
                "step_size": np.array([1 / GUIDED_STEPS], np.float32),
            }
            towards, away = (self.decoder.step.run({**at, **c})["velocity"] for c in (told, nothing))
            x = x + np.float32(1 / GUIDED_STEPS) * (towards + (towards - away) * np.float32(GUIDANCE))
            x[:, :, :n] = 0
        return x


def _windows(decoder: FlowMatchingDecoder, g: Golden, style: Floats) -> Iterator[Stage]:
    """Small windows, so that the recorded sentence fills several: one after another, and side by side."""
    sizes = {"prompt_frames": int(g["chunk_T_ref"]), "window_frames": int(g["chunk_T_chunk"])}
    whole, decoder.flow = decoder.flow, replace(decoder.flow, **sizes)
    phones, bert = _ids(g["in_phones_prompt"]), np.zeros((len(g["in_phones_prompt"]), 1024), np.float32)
    reference = Reference("golden", phones, bert, _ids(g["in_prompt"]), style, g["mel"])
    n = int(g["in_ncode"])
    tokens, phones = _ids(g["gpt_tokens"]), _ids(g["in_phones"])
    first, second = TokenSequence(tokens[:n], phones), TokenSequence(tokens[n - 4 : n], phones[:6])
    options = SpeechOptions(flow_steps=CHUNK_STEPS)
    one = decoder.speak(first, reference, options=options, noise=_Shifted(g["in_cfm_noise"], 7))
    yield "windows one after another", noise_share(one, g["chunk_wav"]), "noise over signal"
    if "chunk_batch_wav_0" in g:
        noise = _Shifted(g["in_cfm_noise"], 5)
        both = decoder.speak_joined([first, second], reference, options=options, noise=noise)
        for i, wave in enumerate(both):
            yield (
                f"windows side by side {i}",
                noise_share(wave, g[f"chunk_batch_wav_{i}"]),
                "noise over signal",
            )
    decoder.flow = whole


class _Shifted:
    """The recorded noise, further on by some frames for every window."""

    def __init__(self, noise: Floats, shift: int) -> None:
        self.noise, self.shift, self.drawn = noise, shift, 0

    def __call__(self, shape: tuple[int, ...]) -> Floats:
        starts = [self.shift * (self.drawn + k) for k in range(shape[0])]
        self.drawn += shape[0]
        return np.stack([self.noise[:, start : start + shape[2]] for start in starts])


def _ids(array: Array) -> NDArray[np.int64]:
    return array.astype(np.int64)
