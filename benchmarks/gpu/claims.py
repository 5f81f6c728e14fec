"""What docs/gpu.md claims of a GPU, and which part of the report says whether it is so.

A claim is held, refuted or not seen. It is not seen where its part was skipped, did not begin, or failed for a reason
that says nothing of the claim, such as a package that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HELD, REFUTED, NOT_SEEN = "held", "refuted", "not seen"
REFUTES = "AssertionError"
"""What a part raises that found its claim to be wrong."""
GOAL_TOKENS, GOAL_FIRST_S, GOAL_RTF, GOAL_TIMES = 3000, 0.02, 0.005, 10
H200 = "H200"
KERNEL_US = (230, 290)
"""The estimate of a step of our kernel on an H200."""
ROWS = ("rows, ONNX Runtime", "rows, TensorRT")
EAGER = "latency, eager FP16"
OURS = ("latency, TensorRT", "latency, ONNX Runtime CUDA and step kernels", "latency, ONNX Runtime CUDA")
KERNELS = ("latency, step kernels, prefill on the CPU", "latency, ONNX Runtime CUDA and step kernels")

Parts = Mapping[str, Mapping[str, Any]]
Verdict = tuple[str, str]
"""One of the three, and why."""


@dataclass(frozen=True)
class Claim:
    """One thing that is said of a GPU.

    Attributes:
        text: What, as docs/gpu.md says it.
        parts: The parts that show it.
        judge: Reads it from figures; None: it is held where a part passed, and refuted where one found it wrong.
    """

    text: str
    parts: tuple[str, ...]
    judge: Callable[[Parts, str], Verdict] | None = None


def verdict(claim: Claim, parts: Parts, gpu: str) -> Verdict:
    """Says what became of a claim.

    Args:
        claim: The claim.
        parts: What every part gave, by name.
        gpu: Name of the card.
    """
    found = [
        (name, parts.get(name, {"status": "not run", "reason": "not asked for"})) for name in claim.parts
    ]
    for name, part in found:
        if part["status"] == "failed" and str(part.get("reason", "")).startswith(REFUTES):
            return REFUTED, f"{name}: {part['reason']}"
    passed = {name: part for name, part in found if part["status"] == "passed"}
    if not passed:
        return NOT_SEEN, "; ".join(
            f"{name}: {part['status']}, {part.get('reason', '')}" for name, part in found
        )
    if claim.judge is not None:
        return claim.judge({**parts, **passed} if claim.judge is _ten_times else passed, gpu)
    return HELD, "; ".join(f"{name}: {part.get('summary', 'passed')}" for name, part in passed.items())


def judged(parts: Parts, gpu: str) -> list[dict[str, str]]:
    """Every claim with its verdict, for the report."""
    rows = []
    for claim in CLAIMS:
        state, why = verdict(claim, parts, gpu)
        rows.append({"claim": claim.text, "verdict": state, "why": why})
    return rows


def _best(
    parts: Parts, read: Callable[[Mapping[str, Any]], float | None], *, most: bool
) -> tuple[float, str] | None:
    figures = [(value, name) for name, part in parts.items() if (value := read(part)) is not None]
    return (max if most else min)(figures) if figures else None


def _goal(
    read: Callable[[Mapping[str, Any]], float | None], limit: float, unit: str, *, most: bool
) -> Callable[[Parts, str], Verdict]:
    """A goal on an H200, which another card can neither reach nor miss."""

    def judge(parts: Parts, gpu: str) -> Verdict:
        best = _best(parts, read, most=most)
        if best is None:
            return NOT_SEEN, "no part gave the figure"
        words = f"{best[0]:.4g} {unit} ({best[1]})"
        if H200 not in gpu:
            return NOT_SEEN, f"{words}, but this is {gpu}"
        good = best[0] >= limit if most else best[0] <= limit
        return (HELD if good else REFUTED), f"{words}, goal {limit:g}"

    return judge


def _first_sound(part: Mapping[str, Any]) -> float | None:
    return part["first_chunk"]["median_s"] if "first_chunk" in part else None


def _step_us(parts: Parts, gpu: str) -> Verdict:
    best = _best(parts, lambda part: part.get("decode_tokens_per_s"), most=True)
    if best is None:
        return NOT_SEEN, "no part gave the figure"
    micros = 1e6 / best[0]
    words = f"{micros:.0f} µs a token ({best[1]})"
    if H200 not in gpu:
        return NOT_SEEN, f"{words}, but this is {gpu}"
    return (
        HELD if micros <= KERNEL_US[1] else REFUTED
    ), f"{words}, estimate {KERNEL_US[0]} to {KERNEL_US[1]}"


def _ten_times(parts: Parts, gpu: str) -> Verdict:
    eager = parts.get(EAGER, {}).get("decode_tokens_per_s")
    best = _best({n: parts[n] for n in OURS if n in parts}, lambda p: p.get("decode_tokens_per_s"), most=True)
    if not eager or best is None:
        return NOT_SEEN, "eager PyTorch or ours gave no figure"
    times = best[0] / eager
    return (
        HELD if times >= GOAL_TIMES else REFUTED
    ), f"{times:.1f} times eager FP16 ({best[1]}), goal {GOAL_TIMES}"


def _new_lengths(parts: Parts, gpu: str) -> Verdict:
    ((name, part),) = list(parts.items())[:1]
    ratio = part["rtf_new_lengths"] / part["rtf"]
    return (HELD if ratio > 1.2 else REFUTED), f"{name}: {ratio:.2f} times as long at new lengths"


def _no_new_lengths(parts: Parts, gpu: str) -> Verdict:
    ((name, part),) = list(parts.items())[:1]
    ratio = part["rtf_new_lengths"] / part["rtf"]
    return (HELD if ratio <= 1.2 else REFUTED), f"{name}: {ratio:.2f} times as long at new lengths"


def _overlaps(parts: Parts, gpu: str) -> Verdict:
    best = _best(parts, lambda part: part["overlap"], most=True)
    assert best is not None
    return (HELD if best[0] > 1.05 else REFUTED), f"{best[0]:.2f} s of work in a second ({best[1]})"


def _goes_first(parts: Parts, gpu: str) -> Verdict:
    worst = _best(parts, lambda part: part["slower"], most=True)
    assert worst is not None
    return (
        HELD if worst[0] <= 1.5 else REFUTED
    ), f"tokens take {worst[0]:.2f} times as long beside sound ({worst[1]})"


def _more_rows(parts: Parts, gpu: str) -> Verdict:
    name, part = next(iter(parts.items()))
    times = part["rows"]["8"]["tokens_per_s"] / part["rows"]["1"]["tokens_per_s"]
    return (HELD if times > 2 else REFUTED), f"{name}: 8 rows make {times:.1f} times the tokens of one"


def _batches_captured(parts: Parts, gpu: str) -> Verdict:
    state = {name: part["runs"]["token_steps"] for name, part in parts.items()}
    words = "; ".join(f"{name}: {how}, {parts[name]['runs']['token_rows']}" for name, how in state.items())
    return (HELD if set(state.values()) == {"captured"} else REFUTED), words


def _rate(part: Mapping[str, Any]) -> float | None:
    return part.get("decode_tokens_per_s")


CLAIMS: Sequence[Claim] = (
    Claim("copies, events and pinned memory order work as the runtime expects", ("streams and events",)),
    Claim("a step is captured once and replayed, with caches in place", ("token scheduler, captured",)),
    Claim("where capture is refused, steps are enqueued", ("token scheduler, enqueued",)),
    Claim("a driver takes a cooperative launch in a captured graph", ("cooperative launch, captured",)),
    Claim("the fences of the grid barrier let no old number through", ("memory fences",)),
    Claim("the CUDA kernel gives the CPU's numbers", ("step kernels", "verify with step kernels")),
    Claim("ONNX Runtime's numbers are right, its caches updated in place", ("verify on ONNX Runtime CUDA",)),
    Claim("TensorRT's numbers are right, its caches updated in place", ("verify on TensorRT",)),
    Claim("the other flavour of TensorRT is right too", ("TensorRT, the other flavour",)),
    Claim("engines of every graph are built on this GPU", ("engines",)),
    Claim("the packages of the other CUDA line run", ("the other CUDA line",)),
    Claim(
        "requests at once make the tokens that each makes alone",
        ("requests together, ONNX Runtime", "requests together, step kernels", "requests together, TensorRT"),
    ),
    Claim("tokens and sound run at the same time", ("tokens beside sound",), _overlaps),
    Claim("tokens go first, beside sound", ("tokens beside sound",), _goes_first),
    Claim("a row of a batch computes what it computes alone", ROWS),
    Claim(
        "the step of every batch size is captured once, for all rows that come and go",
        ROWS,
        _batches_captured,
    ),
    Claim(
        "rows of a batch cost less than steps of their own",
        ROWS,
        _more_rows,
    ),
    Claim("new lengths cost time on ONNX Runtime", ("latency, ONNX Runtime CUDA",), _new_lengths),
    Claim("new lengths cost nothing on TensorRT", ("latency, TensorRT",), _no_new_lengths),
    Claim("the CUDA kernel takes 230 to 290 µs a token on an H200", KERNELS, _step_us),
    Claim("3,000 tokens/s on an H200", (*OURS, KERNELS[0]), _goal(_rate, GOAL_TOKENS, "tokens/s", most=True)),
    Claim("20 ms to first audio on an H200", OURS, _goal(_first_sound, GOAL_FIRST_S, "s", most=False)),
    Claim("RTF 0.005 on an H200", OURS, _goal(lambda p: p.get("rtf"), GOAL_RTF, "RTF", most=False)),
    Claim("10 times the tokens/s of eager PyTorch in FP16", OURS, _ten_times),
)
"""In the order of the table in docs/gpu.md."""

TOOLS = (
    "doctor",
    "versions",
    "latency, eager FP16",
    "latency, eager FP32",
    "latency, compiled FP16",
    "vocoder, by convolution",
)
"""Parts that show no claim: conditions, baselines, and what decides a default."""
