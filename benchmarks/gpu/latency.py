"""Latency for `report.py`: tokens per second, first sound, real-time factor and memory, ours and PyTorch's.

Everybody speaks the same workload: the same phones, prompt and sampling noise, and as many tokens.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sovits_runtime.backends.voice import GptSteps
from sovits_runtime.bench.runner import ENDLESS, BundleRunner, reference_of
from sovits_runtime.bench.workload import TARGET_PHONES, TOKEN_RATE_HZ, Workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.machine import read_machine
from sovits_runtime.speech.types import Phrase, SpeechOptions
from sovits_runtime.t2s.device_loop import POLL_STEPS
from sovits_runtime.t2s.generator import SemanticGenerator, TokenStream

TOKENS = 150
WARM_UP = 2
"""Runs that do not count, of everything that is repeated."""
BEFORE_DECODE = 1 + POLL_STEPS
"""Tokens after which decoding alone is timed: the one of the prefill, and the first batch that ours give at once."""
NEW_LENGTHS = 10
"""Most sentences of lengths that nothing ran at before. ONNX Runtime's CUDA provider chooses cuDNN's plan for every
convolution anew for each (microsoft/onnxruntime#23006), which repeating one length hides."""
SHOWN_TOKENS = 32


def token_figures(stream: Callable[[], Iterable[int]], *, repeats: int) -> dict[str, Any]:
    """Times tokens: all of them, the prefill with the first one, and decoding alone.

    Args:
        stream: Begins a sentence and gives its tokens, each when it has come back.
        repeats: Runs that count.
    """
    tokens, runs = [], []
    for _ in range(WARM_UP + repeats):
        tokens, arrivals = [], []
        start = time.perf_counter()
        for token in stream():
            tokens.append(token)
            arrivals.append(time.perf_counter() - start)
        runs.append(arrivals)
    runs = runs[WARM_UP:]
    count = len(tokens)
    return {
        "tokens": spread([run[-1] for run in runs]),
        "prefill": spread([run[0] for run in runs]),
        "tokens_per_s": statistics.median(count / run[-1] for run in runs),
        "decode_tokens_per_s": statistics.median(
            (count - BEFORE_DECODE) / (run[-1] - run[BEFORE_DECODE - 1]) for run in runs
        ),
        "first": tokens[:SHOWN_TOKENS],
    }


def speech_figures(
    speak: Callable[[int, int], object],
    *,
    repeats: int,
    first_chunk: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Times sentences of one length again and again, then sentences of ever other lengths, each once.

    Args:
        speak: Speaks a number of tokens for a number of phones.
        repeats: Runs that count.
        first_chunk: Gives the first sound of a stream for a number of phones, where there are streams.
    """
    new = [TARGET_PHONES - 1 - i for i in range(min(repeats, NEW_LENGTHS))]
    counts = [TOKENS - 3 * (i + 1) for i in range(len(new))]
    figures: dict[str, Any] = {}
    if first_chunk:
        figures["first_chunk"] = spread(_repeated(lambda: first_chunk(TARGET_PHONES), repeats))
    figures["first_sentence"] = spread(_repeated(lambda: speak(TOKENS // 2, TARGET_PHONES // 2), repeats))
    figures["utterance"] = spread(_repeated(lambda: speak(TOKENS, TARGET_PHONES), repeats))
    figures["rtf"] = figures["utterance"]["median_s"] * TOKEN_RATE_HZ / TOKENS
    seconds = [_seconds(lambda c=c, p=p: speak(c, p)) for c, p in zip(counts, new, strict=True)]
    figures["utterance_new_lengths"] = {"tokens": counts, "phones": new, **spread(seconds)}
    figures["rtf_new_lengths"] = statistics.median(
        s * TOKEN_RATE_HZ / c for s, c in zip(seconds, counts, strict=True)
    )
    if first_chunk:
        others = [phones - len(new) for phones in new]
        seconds = [_seconds(lambda p=p: first_chunk(p)) for p in others]
        figures["first_chunk_new_lengths"] = {"phones": others, **spread(seconds)}
    return figures


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds)}


def summary(figures: dict[str, Any]) -> str:
    """The figures in one line."""
    text = f"{figures['decode_tokens_per_s']:.0f} tokens/s decoding, {figures['tokens_per_s']:.0f} with the prefill"
    if "rtf" not in figures:
        return f"{text} of {1000 * figures['prefill']['median_s']:.1f} ms"
    first = figures.get("first_chunk", figures["first_sentence"])["median_s"]
    return f"{text}, first sound {1000 * first:.1f} ms, RTF {figures['rtf']:.4f}"


def latency_of_bundle(
    bundle: Bundle,
    backend: str,
    *,
    repeats: int,
    device: str = "cuda",
    gpt_steps: GptSteps = "onnxruntime",
) -> dict[str, Any]:
    """Times a bundle.

    Args:
        bundle: An opened bundle.
        backend: What runs it.
        repeats: Runs that count.
        gpt_steps: What runs the GPT's steps.
    """
    before = used_bytes()
    threads = read_machine().usable_cores
    runner = BundleRunner(bundle, device=device, backend=backend, threads=threads, gpt_steps=gpt_steps)
    with runner.voice as voice:
        work = runner.workload(TOKENS)
        reference = reference_of(work)
        bert = work.bert[len(work.prompt_phones) :]

        def options(count: int) -> SpeechOptions:
            return SpeechOptions(ENDLESS, pause_s=0.0, max_tokens=count)

        def speak(count: int, phones: int) -> object:
            return voice.synthesize(
                work.phones[:phones], reference, bert=bert[:phones], options=options(count)
            )

        def first_chunk(phones: int) -> object:
            phrase = Phrase(work.phones[:phones], bert[:phones])
            with closing(voice.stream([phrase], reference, options=options(TOKENS))) as chunks:
                return next(chunks)

        figures = {
            **token_figures(lambda: tokens_of(voice.text_to_semantic, work, TOKENS), repeats=repeats),
            **speech_figures(speak, first_chunk=first_chunk, repeats=repeats),
        }
        facts = {"gpu_bytes": used_bytes() - before, "repeats": repeats, "runs": voice.describe()}
        return {"summary": summary(figures), **figures, **facts}


def latency_of_eager(
    pair: tuple[Path, Path], *, half: bool, compiled: bool, repeats: int, device: str = "cuda"
) -> dict[str, Any]:
    """Times PyTorch on the GPU.

    Args:
        pair: The `.ckpt` and the `.pth` file.
        half: In FP16.
        compiled: With `torch.compile` around the decode step.
        repeats: Runs that count.
    """
    from eager import GpuEager, used_torch_bytes

    before = used_torch_bytes(device)
    baseline = GpuEager(*pair, TOKENS, device=device, half=half)
    if compiled:
        baseline.compile()
    figures = {
        **token_figures(lambda: baseline.generate(TOKENS), repeats=repeats),
        **speech_figures(baseline.speak, repeats=repeats),
    }
    facts = {
        "gpu_bytes": used_torch_bytes(device) - before,
        "repeats": repeats,
        "runs": {**baseline.describe(), "compiled": compiled},
    }
    return {"summary": summary(figures), **figures, **facts}


def tokens_of(model: SemanticGenerator, work: Workload, count: int) -> TokenStream:
    """Begins the workload's sentence."""
    inputs = (work.all_phones, work.bert, work.prompt)
    return model.tokens(*inputs, options=ENDLESS, noise=work.token_noise(), max_tokens=count)


def used_bytes() -> int:
    """Memory of the GPU that is in use, by whomever."""
    from sovits_runtime.gpu.cuda import open_cuda

    free, total = open_cuda().free_bytes()
    return total - free


def _repeated(call: Callable[[], object], repeats: int) -> list[float]:
    return [_seconds(call) for _ in range(WARM_UP + repeats)][WARM_UP:]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
