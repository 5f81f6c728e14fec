"""Latency for `gpu_report.py`: tokens per second, first sound, real-time factor and memory, ours and PyTorch's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from sovits_runtime.bench_voice import ENDLESS, Voice, reference_of
from sovits_runtime.bundle import Bundle
from sovits_runtime.machine import read_machine
from sovits_runtime.request import Phrase, SpeechOptions

TOKENS = 150


def timings(calls: dict[str, Callable[[], object]], *, repeats: int, audio_s: float) -> dict[str, Any]:
    """Times calls after a warm-up of two runs each; medians, smallest and largest in seconds.

    Args:
        calls: "tokens" makes `TOKENS` of them, "first_sentence" speaks one of two sentences of half the length,
            "utterance" speaks all of it; "first_chunk", where there is one, gives the first sound of a stream.
        repeats: Runs that count.
        audio_s: Length of the utterance in seconds.
    """
    found: dict[str, Any] = {}
    for name, call in calls.items():
        seconds = []
        for i in range(-2, repeats):
            start = time.perf_counter()
            call()
            if i >= 0:
                seconds.append(time.perf_counter() - start)
        found[name] = {"median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds)}
    found["tokens_per_s"] = TOKENS / found["tokens"]["median_s"]
    found["rtf"] = found["utterance"]["median_s"] / audio_s
    first = found.get("first_chunk", found["first_sentence"])
    found["summary"] = (
        f"{found['tokens_per_s']:.0f} tokens/s, first sound {1000 * first['median_s']:.1f} ms, RTF {found['rtf']:.4f}"
    )
    return found


def table(parts: dict[str, dict[str, Any]]) -> str:
    """The latency parts as a Markdown table."""
    lines = [
        "| | tokens/s | first chunk, ms | first sentence of 3 s, ms | RTF | GPU memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for name, part in parts.items():
        if not name.startswith("latency"):
            continue
        title = name.partition(", ")[2]
        if part["status"] == "passed":
            memory = part["gpu_bytes"] / 2**20
            chunk, sentence = (
                f"{1000 * part[n]['median_s']:.1f}" if n in part else "-"
                for n in ("first_chunk", "first_sentence")
            )
            figures = f"{part['tokens_per_s']:.0f} | {chunk} | {sentence} | {part['rtf']:.4f}"
            lines.append(f"| {title} | {figures} | {memory:.0f} |")
        else:
            lines.append(f"| {title} | {part['status']}: {part['reason']} | | | | |")
    return "\n".join(lines) + "\n"


def latency_of_bundle(
    bundle: Bundle, backend: str, *, repeats: int, device: str = "cuda", native: bool = False
) -> dict[str, Any]:
    """Times a bundle.

    Args:
        bundle: An opened bundle.
        backend: What runs it.
        repeats: Runs that count.
        device: Where.
        native: Whether the GPT's steps run on the own kernels.
    """
    before = used_bytes()
    threads = read_machine().usable_cores
    party = Voice(bundle, device=device, backend=backend, threads=threads, native=native)
    with party.voice as voice:
        work = party.workload(TOKENS)
        reference = reference_of(work)
        bert = work.bert[len(work.prompt_phones) :]
        half = len(work.phones) // 2

        def tokens() -> list[int]:
            inputs = (work.all_phones, work.bert, work.prompt)
            noise = work.token_noise()
            made = voice.text_to_semantic.generate(*inputs, options=ENDLESS, noise=noise, max_tokens=TOKENS)
            return made.tokens.tolist()

        def speak(count: int, phones: Any, features: Any) -> object:
            options = SpeechOptions(ENDLESS, pause_s=0.0, max_tokens=count)
            return voice.synthesize(phones, reference, bert=features, options=options)

        def first_chunk() -> None:
            options = SpeechOptions(ENDLESS, pause_s=0.0, max_tokens=TOKENS)
            chunks = iter(voice.stream([Phrase(work.phones, bert)], reference, options=options))
            next(chunks)
            del chunks  # closes it, which ends the sentence

        calls: dict[str, Callable[[], object]] = {
            "tokens": tokens,
            "first_chunk": first_chunk,
            "first_sentence": lambda: speak(TOKENS // 2, work.phones[:half], bert[:half]),
            "utterance": lambda: speak(TOKENS, work.phones, bert),
        }
        found = timings(calls, repeats=repeats, audio_s=work.audio_s)
        return {
            **found,
            "gpu_bytes": used_bytes() - before,
            "runs": voice.describe(),
            "first": tokens()[:32],
        }


def latency_of_eager(
    pair: tuple[Path, Path], bundle: Bundle, *, half: bool, compiled: bool, repeats: int
) -> dict[str, Any]:
    """Times PyTorch on the GPU, on the inputs of a bundle.

    Args:
        pair: The `.ckpt` and the `.pth` file.
        bundle: The bundle that was made of them.
        half: In FP16.
        compiled: With `torch.compile` around the decode step.
        repeats: Runs that count.
    """
    import torch
    from gpu_eager import GpuEager

    before = used_bytes()
    rival = GpuEager(*pair, half=half)
    if compiled:
        rival.compile()
    work = Voice(bundle, device="cpu", threads=1).workload(TOKENS)
    count = len(work.phones) // 2

    def tokens() -> list[int]:
        made = list(islice(rival.generate(work), TOKENS))
        torch.cuda.synchronize()
        return made

    calls: dict[str, Callable[[], object]] = {
        "tokens": tokens,
        "first_sentence": lambda: rival.speak(work, TOKENS // 2, work.phones[:count]),
        "utterance": lambda: rival.speak(work, TOKENS, work.phones),
    }
    found = timings(calls, repeats=repeats, audio_s=work.audio_s)
    return {**found, "gpu_bytes": used_bytes() - before, "first": tokens()[:32]}


def used_bytes() -> int:
    """Memory of the GPU that is in use, by whomever."""
    from sovits_runtime.gpu.cuda import open_cuda

    free, total = open_cuda().free_bytes()
    return total - free
