"""Several requests at once, and tokens beside sound: what a GPU makes of streams that could run at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import numpy as np
from latency import TOKENS

from sovits_runtime import Synthesizer
from sovits_runtime.backends.voice import GptSteps
from sovits_runtime.bench.runner import ENDLESS, workload_for
from sovits_runtime.bench.workload import Workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import SpeechOptions, TokenSequence
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.verify.recorded import recorded_request

COUNTS = (1, 2, 4, 8)
"""Requests at once."""


def requests_together(
    bundle: Bundle, backend: str, *, gpt_steps: GptSteps = "onnxruntime", repeats: int
) -> dict[str, Any]:
    """Makes tokens for 1 to 8 requests at once, each compared with itself alone, and times them.

    Args:
        bundle: An opened bundle.
        backend: What runs it.
        gpt_steps: What runs the GPT's steps.
        repeats: Runs of each number that count.

    Raises:
        AssertionError: A request's tokens depend on who runs beside it.
    """
    most = max(COUNTS)
    with Synthesizer.load(
        bundle, device="cuda", backend=backend, gpt_steps=gpt_steps, requests=most, plan="none"
    ) as voice:
        work = workload_for(voice, TOKENS)
        alone = [_tokens(voice, work, seed) for seed in range(most)]
        rates: dict[str, float] = {}
        with ThreadPoolExecutor(most) as pool:
            for count in COUNTS:
                seconds = []
                for _ in range(1 + repeats):
                    start = time.perf_counter()
                    made = list(pool.map(lambda seed: _tokens(voice, work, seed), range(count)))
                    seconds.append(time.perf_counter() - start)
                    for seed, tokens in enumerate(made):
                        if not np.array_equal(tokens, alone[seed]):
                            raise AssertionError(f"request {seed} of {count} differs from the request alone")
                rates[str(count)] = round(count * TOKENS / float(np.median(seconds[1:])))
        runs = voice.describe()
    words = ", ".join(f"{rate:.0f} with {count}" for count, rate in rates.items())
    return {"summary": f"tokens/s of all: {words}; equal to each alone", "tokens_per_s": rates, "runs": runs}


def tokens_beside_sound(bundle: Bundle, backend: str, *, repeats: int) -> dict[str, Any]:
    """Makes tokens while another thread makes sound, and both alone.

    Args:
        bundle: An opened bundle.
        backend: What runs it.
        repeats: Sentences of tokens that count.
    """
    golden = recorded_request(bundle)
    with Synthesizer.load(bundle, device="cuda", backend=backend, requests=2, plan="none") as voice:
        work = workload_for(voice, TOKENS)

        def sound() -> object:
            return _sound(voice, golden)

        def tokens() -> object:
            return [_tokens(voice, work, seed) for seed in range(repeats)]

        sound(), tokens()  # the first of each is slower
        sound_s, tokens_s = _seconds(sound), _seconds(tokens)
        over, made = Event(), 0
        with ThreadPoolExecutor(1) as pool:
            start = time.perf_counter()
            beside = pool.submit(lambda: (_seconds(tokens), over.set())[0])
            while not over.is_set():
                sound()
                made += 1
            beside_s, wall = beside.result(), time.perf_counter() - start
    overlap = (tokens_s + made * sound_s) / max(wall, beside_s)
    return {
        "summary": f"tokens take {beside_s / tokens_s:.2f} times as long beside sound; {overlap:.2f} s of work in 1 s",
        "tokens_alone_s": tokens_s,
        "tokens_beside_s": beside_s,
        "sound_alone_s": sound_s,
        "sounds": made,
        "slower": beside_s / tokens_s,
        "overlap": overlap,
    }


def _tokens(voice: Synthesizer, work: Workload, seed: int) -> Any:
    noise = seeded_noise(np.random.default_rng(seed), voice.text_to_semantic.vocab)
    stream = voice.text_to_semantic.tokens(
        work.all_phones, work.bert, work.prompt, options=ENDLESS, noise=noise, max_tokens=TOKENS
    )
    return stream.finish().tokens


def _sound(voice: Synthesizer, g: Any) -> object:
    bert = g["bert"][: len(g["prompt_phones"])]
    reference = Reference("", g["prompt_phones"], bert, g["prompt"], g["style"], mel=g.get("reference_mel"))
    steps = len(g["velocities"]) if "velocities" in g else None
    return voice.decoder.speak(
        TokenSequence(g["decoded_tokens"], g["phones"]),
        reference,
        options=SpeechOptions(flow_steps=steps),
        noise=lambda _: g["noise"],
    )


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
