"""The part of `conformance.py` that replays v5: guidance, every Euler step, what is prepared, windows, long speech."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from conformance_errors import absolute, differing, noise_share, relative
from numpy.typing import NDArray

from sovits_exporter.demo.weights import unit
from sovits_runtime.audio.mel import denormed, normed
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.session import Session
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.flow_windows import FlowPrompt
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import SpeechOptions, TokenSequence

Floats = NDArray[np.float32]
Golden = Mapping[str, Array]
Stage = tuple[str, float, str]

CHANNELS_KEPT = 8
LONG_CHANNELS_KEPT = 32
FULL_WIDTH = 1024  # of files of this width every eighth channel of the conditions is recorded
CHUNK_STEPS, LOUD = 4, 6
CODES, PHONES = 1024, 700  # of the made-up long sentences


class Spoken(Protocol):
    """The recorded sentence, up to its features; see `conformance_flow.Spoken`."""

    decoder: FlowMatchingDecoder
    style: Floats
    features: Floats
    prompt_features: Floats
    prompt_len: int


class Noted:
    """A session that keeps what it was fed and gave."""

    def __init__(self, session: Session) -> None:
        self.session, self.spec, self.provider = session, session.spec, session.provider
        self.fed: list[Mapping[str, Array]] = []
        self.gave: list[Mapping[str, Array]] = []

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.fed.append({name: array.copy() for name, array in feeds.items()})
        made = self.session.run(feeds)
        self.gave.append(made)
        return made


@dataclass(frozen=True)
class Solved:
    """One flow matching: x before each step and after the last [steps + 1, 100, T], and what the graphs gave."""

    states: Floats
    velocities: list[Floats]
    condition: Mapping[str, Array]


def guided_stages(spoken: Spoken, g: Golden) -> Iterator[Stage]:
    """The stages that versions with guidance have beside those of all flow matching."""
    solutions = {}
    for name in sorted(g):
        if found := re.fullmatch(r"cfm_(\d+)(?:_cfg([\d.]+))?(_loud)?", name):
            steps, rate, loud = found.groups()
            solved = solve(spoken, g, int(steps), float(rate) if rate else None, LOUD if loud else 1)
            solutions[name] = solved
            yield f"{name}, mel", absolute(solved.states[-1], g[name]), "euler step"
            if f"{name}_states" in g:
                kept = g.get(f"{name}_steps_kept", np.arange(int(steps)))
                yield (
                    f"{name}, every step",
                    absolute(solved.states[1:][kept], g[f"{name}_states"]),
                    "euler step",
                )
    yield from _first_step(solutions["cfm_4"], g)
    if "cfm_4_velocity" in g:
        guided = solutions["cfm_4_cfg1.3" if "cfm_4_cfg1.3" in g else "cfm_4"]
        towards, away = guided.velocities[0]
        yield "velocity", absolute(towards, g["cfm_4_velocity"]), "euler step"
        yield "velocity without the prompt", absolute(away, g["cfm_4_velocity_without_prompt"]), "euler step"
    yield from _windows(spoken, g)
    for name in "abc":
        if f"long_{name}_sizes" in g:
            yield from _long(spoken, g, name)


def solve(spoken: Spoken, g: Golden, steps: int, rate: float | None, loudness: int) -> Solved:
    """Solves the recorded window, noting every step."""
    decoder, n = spoken.decoder, spoken.prompt_len
    mel = np.float32(loudness) * normed(g["mel"])[None, :, :n]
    with noted(decoder) as (condition, step):
        made = decoder.solve(
            spoken.features,
            FlowPrompt(spoken.prompt_features[:, :, :n], mel),
            noise=lambda shape: np.ascontiguousarray(g["in_cfm_noise"][None, :, : shape[2]]),
            steps=steps,
            guidance=rate,
        )
    last = np.pad(made, ((0, 0), (0, 0), (n, 0)))
    states = np.concatenate([*(feeds["x"][:1] for feeds in step.fed), last])
    return Solved(states, [given["velocity"] for given in step.gave], condition.gave[0])


@contextmanager
def noted(decoder: FlowMatchingDecoder) -> Iterator[tuple[Noted, Noted]]:
    """Notes what condition and step of a decoder are fed and give."""
    plain = decoder.condition, decoder.step
    decoder.condition, decoder.step = condition, step = Noted(plain[0]), Noted(plain[1])
    try:
        yield condition, step
    finally:
        decoder.condition, decoder.step = plain


def _first_step(solved: Solved, g: Golden) -> Iterator[Stage]:
    yield "x before the first step", absolute(solved.states[0], g["cfm_start"]), "euler step"
    for name, key in (("condition", "static_condition"), ("unprompted", "static_negative_condition")):
        whole = solved.condition[name][0]
        kept = whole[:, ::CHANNELS_KEPT] if whole.shape[1] == FULL_WIDTH else whole
        yield f"{name} of all steps", relative(kept, g[key]), "signal"


def _windows(spoken: Spoken, g: Golden) -> Iterator[Stage]:
    """Small windows, so that the recorded sentence fills several: lengths and prompts are the recorded ones."""
    decoder, whole = spoken.decoder, spoken.decoder.flow
    decoder.flow = replace(
        whole,
        prompt_frames=int(g["chunk_T_ref"]),
        window_frames=int(g["chunk_T_chunk"]),
        speech_frames=int(g["chunk_max_target"]),
        prompt_tail=int(g["chunk_tail"]),
    )
    phones = _ids(g["in_phones_prompt"])
    bert = np.zeros((len(phones), 1024), np.float32)
    reference = Reference("golden", phones, bert, _ids(g["in_prompt"]), spoken.style, g["mel"])
    said = TokenSequence(_ids(g["gpt_tokens"][: int(g["in_ncode"])]), _ids(g["in_phones"]))
    draws = iter(range(1 << 30))

    def noise(shape: tuple[int, ...]) -> Floats:
        start = 7 * next(draws)
        return g["in_cfm_noise"][None, :, start : start + shape[2]]

    try:
        options = SpeechOptions(flow_steps=CHUNK_STEPS)
        with noted(decoder) as (condition, _):
            mels = list(decoder.utterance_pieces(said, reference, options=options, noise=noise))
        yield "frames of windows", differing(_lengths(mels), g["chunk_frames"]), "tokens"
        r = g["chunk_prompt_mel"].shape[2]
        prompts = np.concatenate([feeds["prompt_mel"][:, :, :r] for feeds in condition.fed])
        features = np.concatenate([feeds["features"][:, ::CHANNELS_KEPT, :r] for feeds in condition.fed])
        yield "prompts of windows, mel", absolute(prompts, g["chunk_prompt_mel"]), "euler step"
        yield "prompts of windows, features", relative(features, g["chunk_prompt_fea"]), "signal"
        mel = np.concatenate(mels, axis=2)
        yield "mel of windows", absolute(mel[0], g["chunk_mel"]), "euler step"
        yield "windows, waveform", noise_share(decoder.vocode(mel), g["chunk_wav"]), "noise over signal"
    finally:
        decoder.flow = whole


def _long(spoken: Spoken, g: Golden, name: str) -> Iterator[Stage]:
    """A long sentence in windows of the official sizes."""
    decoder, seed = spoken.decoder, seed_of(g)
    n_reference, n_tokens, steps = (int(n) for n in g[f"long_{name}_sizes"])

    def ids(key: str, count: int, top: int) -> NDArray[np.int64]:
        return drawn_bits(f"long.{name}.{key}", count, seed) % top

    mel = 3 * unit(f"long.{name}.mel", (1, 100, 4 * n_reference + 3), seed)
    phones = ids("prompt_phones", max(3, n_reference // 4), PHONES)
    bert = np.zeros((len(phones), 1024), np.float32)
    prompt = ids("prompt", n_reference, CODES)
    reference = Reference("golden", phones, bert, prompt, spoken.style, denormed(mel)[0])
    said = TokenSequence(ids("tokens", n_tokens, CODES), ids("phones", max(3, n_tokens // 4), PHONES))
    draws = iter(range(1 << 30))
    options = SpeechOptions(flow_steps=steps)

    def noise(shape: tuple[int, ...]) -> Floats:
        return unit(f"long.{name}.noise.{next(draws)}", shape, seed)

    features = decoder.features_of(decoder.encode(said.tokens, said.phones, spoken.style), spoken.style)
    yield (
        f"long {name}, features",
        relative(features[0, ::LONG_CHANNELS_KEPT], g[f"long_{name}_fea"]),
        "signal",
    )
    with noted(decoder) as (condition, _):
        mels = list(decoder.utterance_pieces(said, reference, options=options, noise=noise))
    yield f"long {name}, frames", differing(_lengths(mels), g[f"long_{name}_frames"]), "tokens"
    frames = [feeds["features"].shape[2] - m.shape[2] for feeds, m in zip(condition.fed, mels, strict=True)]
    yield (
        f"long {name}, frames of prompts",
        differing(np.array(frames), g[f"long_{name}_prompt_frames"]),
        "tokens",
    )
    mel = np.concatenate(mels, axis=2)[0]
    yield f"long {name}, mel", absolute(mel, g[f"long_{name}_mel"]), "euler step"


def drawn_bits(name: str, count: int, seed: int) -> NDArray[np.int64]:
    """The 16-bit numbers int64 [count] that `unit` scales."""
    drawn = unit(name, (count,), seed).astype(np.float64) * (32768 / math.sqrt(3)) + 32767.5
    return np.rint(drawn).astype(np.int64)


def seed_of(g: Golden) -> int:
    """The seed that a file names."""
    return int(json.loads(g["meta"].tobytes())["seed"])


def _lengths(mels: list[Floats]) -> Array:
    return np.array([mel.shape[2] for mel in mels])


def _ids(array: Array) -> NDArray[np.int64]:
    return array.astype(np.int64)
