"""Measures how fast a voice is with its plan, and chooses chunks by that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import islice

import numpy as np

from sovits_runtime.bundle import Bundle
from sovits_runtime.speech.chunk_plan import Speeds, plan_chunks
from sovits_runtime.speech.hifigan_decoder import HifiganDecoder
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.verify.recorded import recorded_options, recorded_request

SHORT, LONG = 40, 80
"""Tokens of two sentences; one costs more than the other by what their frames cost."""
STEPS = 12
ROUNDS = 5


def suitable_chunks(bundle: Bundle, plan: str, threads: int) -> Mapping[str, float] | None:
    """Fields of `ChunkOptions` for a choice of the bundle's plan; None for a decoder that does not cut by tokens."""
    with Synthesizer.load(bundle, plan=plan, threads=threads) as voice:
        if not isinstance(voice.decoder, HifiganDecoder):
            return None
        chunks = plan_chunks(measure_speeds(voice, voice.decoder))
    return {
        "first_tokens": chunks.first_tokens,
        "growth": chunks.growth,
        "most_tokens": chunks.most_tokens,
    }


def measure_speeds(voice: Synthesizer, decoder: HifiganDecoder) -> Speeds:
    """Times prefill, steps and sound of a loaded voice on its recorded request."""
    golden = recorded_request(voice.bundle)
    options = recorded_options(voice.bundle)
    phones = np.concatenate([golden["prompt_phones"], golden["phones"]])

    def gpt(tokens: int) -> None:
        made = voice.text_to_semantic.steps(
            phones,
            golden["bert"],
            golden["prompt"],
            options=options,
            noise=lambda _: np.ones((1, voice.text_to_semantic.vocab), np.float32),
            forced=np.resize(golden["tokens"], STEPS),
        )
        for _ in islice(made, tokens):
            pass

    def sound(tokens: int) -> None:
        noise = np.zeros(decoder.noise_shape(tokens, 1.0), np.float32)
        decoder.decode(
            np.resize(golden["decoded_tokens"], tokens), golden["phones"], style=golden["style"], noise=noise
        )

    prefill, steps = _usual(lambda: gpt(1)), _usual(lambda: gpt(STEPS))
    short, long = _usual(lambda: sound(SHORT)), _usual(lambda: sound(LONG))
    frames = 2 * (LONG - SHORT)
    frame = max(long - short, 0.0) / frames
    return Speeds(
        prefill=prefill,
        token=max(steps - prefill, 0.0) / (STEPS - 1),
        chunk=max(short - 2 * SHORT * frame, 0.0),
        frame=frame,
        context=decoder.vocoder.spec.context or 0,
    )


def _usual(run: Callable[[], None]) -> float:
    """The median: a player waits for what usually happens, and not for what went best."""
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))
