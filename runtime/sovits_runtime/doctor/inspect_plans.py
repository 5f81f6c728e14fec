"""The plans of a bundle as text: what was tried, what it took, how far it is from FP32, and what was chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def plan_lines(plans: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describes plans, as `backends.plan.describe_plans` gives them."""
    lines = []
    for plan in plans:
        if plan["problem"]:
            lines.append(f"  plan       {plan['folder']}: {plan['problem']}")
            continue
        where = "used here" if plan["here"] else "not for this machine"
        libraries = f"ONNX Runtime {plan['onnxruntime']}"
        libraries += f", OpenVINO {plan['openvino']}" if plan["openvino"] else ""
        lines.append(
            f"  plan       {plan['active']}, {plan['threads']} threads, for {plan['cpu']}, {libraries}: {where}"
        )
        lines += [f"    {line}" for line in table_lines(plan["table"], plan["engines"])]
        lines.append(f"    {chunk_line(plan['chunks'].get(plan['active']))}")
    return lines


def table_lines(table: Sequence[Mapping[str, Any]], engines: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Describes what was tried, a line an engine of a graph.

    Args:
        table: Rows of a plan.
        engines: Choice -> graph -> engine.
    """
    lines = [f"{'graph':<17} {'engine':<14} {'ms':>9} {'error':>9} {'SNR dB':>7}  taken by"]
    for row in table:
        kinds = [kind for kind, chosen in engines.items() if chosen.get(row["graph"]) == row["engine"]]
        taken = " and ".join(kinds) if kinds else "" if row["within"] else "too far from FP32"
        note = f"  ({row['note']})" if row["note"] else ""
        seconds, snr = _number(row["seconds"]), _number(row["snr_db"])
        if math.isnan(seconds):
            lines.append(f"{row['graph']:<17} {row['engine']:<14} {'-':>9} {'-':>9} {'-':>7}  {row['note']}")
            continue
        shown = f"{min(snr, 999):>7.0f}"
        lines.append(
            f"{row['graph']:<17} {row['engine']:<14} {1000 * seconds:>9.2f} {_number(row['error']):>9.1e} {shown}"
            f"  {taken}{note}"
        )
    return lines


def chunk_line(chunks: Mapping[str, float] | None) -> str:
    """Says how a stream is cut."""
    if chunks is None:
        return "chunks of a stream: the defaults"
    return (
        f"chunks of a stream: {chunks['first_tokens']:g} tokens first, then growing by {chunks['growth']:g} "
        f"up to {chunks['most_tokens']:g}"
    )


def _number(value: Any) -> float:
    """A number of a JSON file, where "nan" and "inf" are words."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
