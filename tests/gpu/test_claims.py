"""The table of docs/gpu.md, the claims of the report, its parts and the tests for a GPU: each names the others."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
from gpu_claims import BENCHMARKS, SHOWN, claims

ROOT = Path(__file__).parents[2]
FAST = {
    "decode_tokens_per_s": 3500.0,
    "rtf": 0.004,
    "rtf_new_lengths": 0.006,
    "first_chunk": {"median_s": 0.015},
}


def table():
    """The rows of the table of claims: claim, parts, tests."""
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    section = text[text.index("## Claims and what shows them") :]
    rows = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return [(row[0], re.findall(r"`([^`]+)`", row[1]), re.findall(r"`([^`]+)`", row[2])) for row in rows[2:]]


def gpu_tests():
    """Every test that is marked for a GPU, as pytest names its file and function."""
    found = set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            marks = [ast.unparse(d) for d in getattr(node, "decorator_list", [])]
            if "pytest.mark.gpu" in marks:
                found.add(f"{path.relative_to(ROOT)}::{node.name}")
    return found


def test_the_page_lists_every_claim_with_its_parts():
    assert [(claim, tuple(parts)) for claim, parts, _ in table()] == [
        (c.text, c.parts) for c in claims.CLAIMS
    ]


def test_every_part_of_a_claim_has_a_test_on_a_gpu_that_the_page_names():
    for claim, parts, tests in table():
        assert tests == ["tests/gpu/test_on_gpu.py"], claim
        assert set(parts) <= set(SHOWN), claim
    assert gpu_tests() == {"tests/gpu/test_on_gpu.py::test_part"}


def test_every_part_shows_a_claim_or_is_a_tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        parts = importlib.import_module("parts").PARTS
    assert set(parts) == {*SHOWN, *claims.TOOLS}
    assert not set(SHOWN) & set(claims.TOOLS)


def one(text):
    return next(c for c in claims.CLAIMS if c.text == text)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"status": "passed", "summary": "fine"}, "held"),
        ({"status": "failed", "reason": "AssertionError: 3 numbers were old"}, "refuted"),
        ({"status": "failed", "reason": "BackendError: no memory"}, "not seen"),
        ({"status": "failed", "reason": "its process was ended by signal 11"}, "not seen"),
        ({"status": "skipped", "reason": "not installed"}, "not seen"),
        ({"status": "not run", "reason": "out of time"}, "not seen"),
    ],
)
def test_a_claim_is_held_refuted_or_not_seen(part, expected):
    claim = one("the fences of the grid barrier let no old number through")
    state, why = claims.verdict(claim, {"memory fences": part}, "NVIDIA H200")
    assert state == expected
    assert part.get("reason", part.get("summary")) in why


def test_one_part_that_is_wrong_refutes_what_another_held():
    claim = one("the CUDA kernel gives the CPU's numbers")
    parts = {
        "step kernels": {"status": "passed"},
        "verify with step kernels": {"status": "failed", "reason": "AssertionError: logits"},
    }
    assert claims.verdict(claim, parts, "H200")[0] == "refuted"


@pytest.mark.parametrize(
    ("text", "change", "expected"),
    [
        ("3,000 tokens/s on an H200", {}, "held"),
        ("3,000 tokens/s on an H200", {"decode_tokens_per_s": 2900.0}, "refuted"),
        ("20 ms to first audio on an H200", {}, "held"),
        ("20 ms to first audio on an H200", {"first_chunk": {"median_s": 0.021}}, "refuted"),
        ("RTF 0.005 on an H200", {}, "held"),
        ("RTF 0.005 on an H200", {"rtf": 0.0051}, "refuted"),
        ("new lengths cost nothing on TensorRT", {}, "refuted"),
        ("new lengths cost nothing on TensorRT", {"rtf_new_lengths": 0.0041}, "held"),
        ("10 times the tokens/s of eager PyTorch in FP16", {}, "held"),
        ("10 times the tokens/s of eager PyTorch in FP16", {"decode_tokens_per_s": 2000.0}, "refuted"),
    ],
)
def test_figures_are_judged(text, change, expected):
    parts = {
        "latency, TensorRT": {"status": "passed", **FAST, **change},
        "latency, eager FP16": {"status": "passed", "decode_tokens_per_s": 300.0},
    }
    assert claims.verdict(one(text), parts, "NVIDIA H200")[0] == expected
    if "on an H200" in text:
        assert claims.verdict(one(text), parts, "NVIDIA L4")[0] == "not seen"


def test_the_kernel_s_estimate_is_judged():
    claim = one("the CUDA kernel takes 230 to 290 µs a token on an H200")
    for rate, expected in ((4000.0, "held"), (3000.0, "refuted")):
        parts = {claim.parts[0]: {"status": "passed", "decode_tokens_per_s": rate}}
        assert claims.verdict(claim, parts, "NVIDIA H200")[0] == expected


def test_overlap_and_rows_are_judged():
    beside = {"status": "passed", "overlap": 1.4, "slower": 1.2}
    assert (
        claims.verdict(one("tokens and sound run at the same time"), {"tokens beside sound": beside}, "")[0]
        == "held"
    )
    assert (
        claims.verdict(one("tokens go first, beside sound"), {"tokens beside sound": beside}, "")[0] == "held"
    )
    beside |= {"overlap": 1.0, "slower": 2.0}
    for text in ("tokens and sound run at the same time", "tokens go first, beside sound"):
        assert claims.verdict(one(text), {"tokens beside sound": beside}, "")[0] == "refuted"
    claim = one("rows of a batch cost less than steps of their own")
    for rate, expected in ((5000, "held"), (1500, "refuted")):
        rows = {"1": {"tokens_per_s": 1000}, "8": {"tokens_per_s": rate}}
        assert (
            claims.verdict(claim, {"rows, TensorRT": {"status": "passed", "rows": rows}}, "")[0] == expected
        )
