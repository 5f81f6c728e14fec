"""One request through eager PyTorch, recorded: what a bundle is verified against on the machine it runs on.

Every stage stores its inputs and outputs, so that each graph can be checked on exactly what PyTorch saw, and the whole
chain can be run again with the same noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sovits_exporter.building.golden_flow import record_flow
from sovits_exporter.building.request import GoldenWords
from sovits_exporter.checkpoint.models import Models
from sovits_exporter.modeling.eager import EagerOptions, generate
from sovits_exporter.modeling.t2s import BERT_WIDTH
from sovits_exporter.modeling.vits import (
    FRAMES_PER_TOKEN,
    SSL_WIDTH,
    PriorAndFlow,
    PromptTokens,
    ReferenceStyle,
    SemanticEncoder,
    SynthesizerTrn,
    Vocoder,
)
from sovits_exporter.modeling.vits_v3 import SynthesizerTrnV3
from sovits_runtime.audio import hubert_wave, reference_wave, speaker_wave
from sovits_runtime.audio.fbank import fbank
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import ModelSpec

SEED = 20
WAVE_S = 3.2
SAMPLE_RATE = ModelSpec.reference_sample_rate
PROMPT_PHONES = 12
TARGET_PHONES = 30
TOKENS = 120
NOISE_SCALE = 0.5


@dataclass(frozen=True)
class GoldenRequest:
    """The recorded request.

    Attributes:
        arrays: By name; see `record`.
        options: Sampling options of the free run.
    """

    arrays: dict[str, Array]
    options: EagerOptions = field(default_factory=EagerOptions)


def speech_like(rng: np.random.Generator, seconds: float, rate: int) -> NDArray[np.float32]:
    """A harmonic tone with moving pitch and loudness, float32 [n]: enough for graphs that read recordings."""
    t = np.arange(int(seconds * rate)) / rate
    pitch = 140 + 40 * np.sin(2 * np.pi * 1.3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 25))
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * 2.1 * t)
    wave = 0.12 * loudness * tone + 0.005 * rng.standard_normal(len(t))
    return (np.round(wave * 32767) / 32768).astype(np.float32)


@torch.inference_mode()
def record(models: Models, words: GoldenWords | None = None) -> GoldenRequest:
    """Runs the request.

    Args:
        words: What to say, without BERT features; None: random phones and features after a synthetic recording.

    Returns:
        Arrays named `wave` (recording at 32 kHz), `ssl`, `prompt`, `speaker` (where the version has one), `style`,
        `prompt_phones`, `phones`, `bert`, `token_noise`, `tokens`, `logits`, `leads`, `ended`, `decoded_tokens`,
        `state`, `noise`, `z`, `waveform` (of v3 to v5 those of `record_flow`); all float32 but ids (int64).
    """
    rng = np.random.default_rng(SEED)
    a: dict[str, Array] = {"wave": speech_like(rng, WAVE_S, SAMPLE_RATE) if words is None else words.wave}
    options = EagerOptions()
    _record_reference(models, a, rng)
    _record_words(models, a, rng, words)
    _record_tokens(models, a, rng, options)
    _record_speech(models, a, rng)
    return GoldenRequest(a, options)


def _record_reference(models: Models, a: dict[str, Array], rng: np.random.Generator) -> None:
    if models.hubert is not None:
        ssl = models.hubert(torch.from_numpy(hubert_wave(a["wave"], SAMPLE_RATE)[None]))
    else:
        ssl = torch.from_numpy(_coarse(rng.standard_normal((1, 189, SSL_WIDTH))))
    a["ssl"] = ssl.numpy()
    a["prompt"] = PromptTokens(models.vits)(ssl)[0].numpy()
    speaker = _record_speaker(models, a, rng) if models.spec.speaker_network else None
    wave = torch.from_numpy(reference_wave(a["wave"], SAMPLE_RATE)[None])
    style, _ = ReferenceStyle(models.vits)(wave, speaker)
    a["style"] = style.numpy()


def _record_speaker(models: Models, a: dict[str, Array], rng: np.random.Generator) -> Tensor:
    if models.speaker is not None:
        features = fbank(speaker_wave(a["wave"], SAMPLE_RATE))
        speaker: Tensor = models.speaker(torch.from_numpy(features[None]))
    else:
        speaker = torch.from_numpy(_coarse(0.2 * rng.standard_normal((1, models.spec.speaker_width))))
    a["speaker"] = speaker.numpy()
    return speaker


def _record_words(
    models: Models, a: dict[str, Array], rng: np.random.Generator, words: GoldenWords | None
) -> None:
    if words is not None:
        a["prompt_phones"], a["phones"] = words.prompt_phones, words.phones
        a["bert"] = np.zeros((len(words.prompt_phones) + len(words.phones), BERT_WIDTH), np.float32)
        return
    a["prompt_phones"] = rng.integers(0, models.spec.n_symbols, PROMPT_PHONES)
    a["phones"] = rng.integers(0, models.spec.n_symbols, TARGET_PHONES)
    a["bert"] = _coarse(0.5 * rng.standard_normal((PROMPT_PHONES + TARGET_PHONES, BERT_WIDTH)))


def _record_tokens(
    models: Models, a: dict[str, Array], rng: np.random.Generator, options: EagerOptions
) -> None:
    phones = np.concatenate([a["prompt_phones"], a["phones"]])
    vocab = models.t2s.config.vocab
    noise = np.maximum(_coarse(rng.exponential(size=(TOKENS + 1, vocab))), np.float32(1e-3))
    a["token_noise"] = noise
    steps = generate(
        models.t2s,
        torch.from_numpy(phones[None]),
        torch.from_numpy(a["bert"][None]),
        torch.from_numpy(a["prompt"][None]),
        options=options,
        noise=lambda i: torch.from_numpy(noise[i : i + 1]),
        measure_lead=True,
    )
    tokens, logits, leads = [], [], []
    ended = False
    for step in steps:
        logits.append(step.logits.numpy().copy())
        leads.append(step.lead)
        ended = step.stop
        if ended or len(logits) > TOKENS:
            break
        tokens.append(step.token)
    # A voice that ends at once still needs something to decode; the tokens are then arbitrary but the same everywhere.
    a["tokens"] = np.array(tokens, np.int64)
    a["ended"] = np.array(ended)
    a["logits"] = np.array(logits, np.float32)
    a["leads"] = np.array(leads, np.float32)


def _record_speech(models: Models, a: dict[str, Array], rng: np.random.Generator) -> None:
    if models.spec.flow is not None:
        assert isinstance(models.vits, SynthesizerTrnV3)
        assert models.vocoder is not None
        record_flow(models.vits, models.vocoder, spec=models.spec, a=a, rng=rng)
        return
    assert isinstance(models.vits, SynthesizerTrn)
    style = torch.from_numpy(a["style"])
    tokens = a["tokens"] if len(a["tokens"]) else np.arange(20, dtype=np.int64)
    a["decoded_tokens"] = tokens
    state = SemanticEncoder(models.vits)(
        torch.from_numpy(tokens[None]), torch.from_numpy(a["phones"][None]), style
    )
    noise = _coarse(rng.standard_normal((1, models.vits.channels, FRAMES_PER_TOKEN * len(tokens))))
    z, _, _ = PriorAndFlow(models.vits)(state, style, torch.from_numpy(noise), torch.tensor([NOISE_SCALE]))
    a["state"], a["noise"], a["z"] = state.numpy(), noise, z.numpy()
    a["waveform"] = Vocoder(models.vits)(z, style)[0].numpy()


def _coarse(x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rounds to FP16, which both sides then read as the same float32 numbers."""
    return x.astype(np.float16).astype(np.float32)
