"""What `engine debug` found, as one self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from sovits_exporter.debugging.find import Finding
from sovits_exporter.debugging.layers import Difference
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import write_file
from sovits_runtime.drawing.page import facts, machine_facts, page, table, versions_line
from sovits_runtime.errors import BundleError
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.machine.onnx_runtime import PACKAGES

VERSIONS = ("sovits-export", "numpy", "polygraphy", *PACKAGES, "tensorrt")
_WIDTH, _HEIGHT = 960, 150
_LEAST = 1e-6


def write_debug_page(path: Path, bundle: Bundle, findings: Sequence[Finding]) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: Where.
        bundle: The bundle under suspicion.
        findings: One a graph.

    Raises:
        BundleError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_file(path) as file:
            file.write(_page(bundle, findings).encode("utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror})") from error


def _page(bundle: Bundle, findings: Sequence[Finding]) -> str:
    machine, versions = read_machine(), installed_versions(VERSIONS)
    wrong = [f for f in findings if f.first is not None]
    words = f"{len(wrong)} of {len(findings)} graphs differ" if wrong else "Every layer is within its limit"
    head = f'<div class="verdict {"bad" if wrong else "good"}"><h1>{words}</h1>{"".join(map(_line, findings))}</div>'
    about = {
        "Bundle": str(bundle.path),
        "Digest": bundle.digest,
        "Precision": bundle.precision,
        **machine_facts(machine),
        "Versions": versions_line({"Python": machine.python, **versions}),
        "Written": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    parts = [head, *(part for f in findings for part in _graph(f)), "<h2>About</h2>", facts(about)]
    return page(f"{bundle.path.name}: layer by layer", "\n".join(parts))


def _line(finding: Finding) -> str:
    return f"<p>{escape(finding.verdict())}</p>"


def _graph(finding: Finding) -> Iterator[str]:
    yield f"<h2>{escape(finding.graph)}</h2>"
    yield (
        f'<p class="soft">{escape(finding.sides[0])} against {escape(finding.sides[1])}, {finding.runs} runs, '
        f"{finding.seconds:.0f} s. A difference is a fraction of the layer's full scale; its limit is "
        f"{finding.limit:g}.</p>"
    )
    if finding.note:
        yield f"<p>{escape(finding.note)}</p>"
    if finding.first is not None and finding.first.spread:
        yield f"<p>{escape(finding.first.layer.title)}: {escape(finding.first.spread)}.</p>"
    if finding.choice:
        yield f"<p>{escape(finding.choice.verdict(finding.graph))}</p>"
    if finding.layers:
        yield f"<figure>{_chart(finding)}<figcaption>Difference by layer, in the order of the graph; logarithmic"
        yield ", with the limit as a line.</figcaption></figure>"
        heads = ("layer", "difference", "limit", "expected", "got", "")
        yield table(heads, map(_row, finding.layers), numbers=(1, 2))


def _row(difference: Difference) -> tuple[str, ...]:
    layer = difference.layer
    weights = f"<small>{escape(', '.join(layer.weights))}</small>" if layer.weights else ""
    state = ("good", "within") if difference.passed else ("bad", "beyond")
    bad = f"<small>{difference.not_finite} not finite</small>" if difference.not_finite else ""
    return (
        f"{escape(layer.op)} {escape(layer.name)}{weights}",
        f"{difference.error:.2g}",
        f"{difference.limit:.2g}",
        f"{difference.expected[0]:.4g} to {difference.expected[1]:.4g}",
        f"{difference.got[0]:.4g} to {difference.got[1]:.4g}{bad}",
        f'<span class="pill {state[0]}">{state[1]}</span>',
    )


def _chart(finding: Finding) -> str:
    """Bars on a logarithmic scale, from a millionth to one and beyond."""
    step = _WIDTH / len(finding.layers)
    bars = []
    for i, difference in enumerate(finding.layers):
        height = _height(difference.error)
        colour = "#15803d" if difference.passed else "#b91c1c"
        title = escape(f"{difference.layer.op} {difference.layer.name}: {difference.error:.2g}")
        bars.append(
            f'<rect x="{i * step:.2f}" y="{_HEIGHT - height:.1f}" width="{max(step - 0.5, 0.5):.2f}" '
            f'height="{height:.1f}" fill="{colour}"><title>{title}</title></rect>'
        )
    line = _HEIGHT - _height(finding.limit)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">{"".join(bars)}'
        f'<line x1="0" x2="{_WIDTH}" y1="{line:.1f}" y2="{line:.1f}" stroke="#b91c1c" stroke-dasharray="6 4"/></svg>'
    )


def _height(error: float) -> float:
    if not math.isfinite(error) or error >= 1:
        return float(_HEIGHT)
    return max(1.0, _HEIGHT * (1 - math.log10(max(error, _LEAST)) / math.log10(_LEAST)))
