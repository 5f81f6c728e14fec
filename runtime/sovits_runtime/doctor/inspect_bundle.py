"""What is inside a bundle, as data and as text."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sovits_runtime.backends.plan import describe_plans
from sovits_runtime.backends.prepacked import describe_prepacked
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import engine_records, read_record
from sovits_runtime.bundle.names import FP16
from sovits_runtime.bundle.shape import fields, switch, text
from sovits_runtime.doctor.inspect_plans import plan_lines
from sovits_runtime.errors import BackendError, BundleError
from sovits_runtime.machine.json_file import read_json

_VERIFICATION = fields({"passed": switch, "provider": text})
_PRECISIONS = {"FLOAT": "FP32", "HALF": "FP16", "BF16": "BF16"}


def describe(bundle: Bundle) -> dict[str, Any]:
    """Returns versions, sources, graphs with sizes and errors, and the last verification."""
    m = bundle.manifest
    return {
        "path": str(bundle.path),
        "digest": bundle.digest,
        "model": m["model"],
        "compared_with": "FP32" if bundle.precision == FP16 else "PyTorch",
        "choices": m.get("precision", {}).get("choices", []),
        "flow": asdict(bundle.spec.flow) if bundle.spec.flow else None,
        "made_by": m["made_by"],
        "sources": m["sources"],
        "graphs": {name: _graph(bundle, name) for name in bundle.graph_names},
        "bytes": sum(r["bytes"] for r in m["files"].values()),
        "shared": {k: {"folder": p["folder"], "bytes": _bytes(p["files"])} for k, p in m["shared"].items()},
        "engines": [_engine(path) for path in engine_records(bundle)],
        "prepacked": describe_prepacked(bundle),
        "plans": describe_plans(bundle),
        "voice": [reference.to_json() for reference in bundle.references],
        "references": sorted(p.name for p in (bundle.path / "references").glob("*.npz")),
        "verification": _verification(bundle.path / "verification.json"),
    }


def describe_text(d: dict[str, Any]) -> str:
    """Returns `describe`'s result for people."""
    lines = [
        f"{d['path']}: GPT-SoVITS {d['model']['version']}, {d['model']['sample_rate']} Hz, {d['bytes'] / 1e6:.0f} MB",
        f"  digest   {d['digest']}",
        "  made by  " + ", ".join(f"{k} {v}" for k, v in d["made_by"].items()),
        *(f"  {k:<8} {s['file']} ({s['info']}), sha256 {s['sha256'][:16]}" for k, s in d["sources"].items()),
        *(f"  shared   {p['folder']}, {p['bytes'] / 1e6:.0f} MB" for p in d["shared"].values()),
        *_flow_lines(d["flow"]),
        f"  graph               precision  {'error vs ' + d['compared_with']:<16}  inputs",
    ]
    for name, g in d["graphs"].items():
        lines.append(f"    {name:<17} {g['precision']:<10} {_error(g):<17} {g['inputs']}")
        lines += [f"      in FP32: {line}" for line in _fp32_lines(g["fp32_parts"])]
    lines += [f"  {line}" for line in choice_lines(d["choices"])]
    lines += _engine_lines(d["engines"])
    lines += [_prepacked_line(entry) for entry in d["prepacked"]]
    lines += plan_lines(d["plans"])
    lines += [_voice_line(reference) for reference in d["voice"]]
    verdict = _verdict(d["verification"])
    return "\n".join(
        [*lines, f"  references  {len(d['references'])} prepared", f"  last verification  {verdict}"]
    )


def _voice_line(reference: Mapping[str, str]) -> str:
    """A reference that the bundle carries."""
    spoken = f", says: {reference['text']}" if reference["text"] else ""
    clip = ", with its recording" if "clip" in reference else ""
    return f"  voice    {reference['name']} ({reference['language'] or 'language unknown'}{clip}){spoken}"


def _verification(path: Path) -> Any:
    """The last verification, None where there was none, or what is wrong with its file."""
    if not os.path.lexists(path):
        return None
    try:
        value = read_json(path, what="a verification", error=BundleError, remedy="verify the bundle again")
        _VERIFICATION(value, "")
    except ValueError as error:
        return {"problem": str(error)}
    return value


def _verdict(verification: Any) -> str:
    if verification is None:
        return "none"
    if "problem" in verification:
        return f"unknown: {verification['problem']}"
    return f"{'passed' if verification['passed'] else 'FAILED'} on {verification['provider']}"


def _error(graph: Mapping[str, Any]) -> str:
    if "kl" in graph:
        return f"KL {graph['kl']:.1e} nats"
    if "snr_db" in graph:
        return f"SNR {graph['snr_db']:.1f} dB"
    return f"{graph['error']:.1e}" if "error" in graph else "not measured"


def choice_lines(choices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Measurements of each precision of the GPT and the vocoder, as tables; nothing where none were taken."""
    gpt = [row for row in choices if row["part"] == "gpt"]
    head = [f"{'GPT in':<7} {'MB':>5} {'KL, nats':>9} {'best token':>10} {'step':>9}"] if gpt else []
    return [*head, *map(_gpt_line, gpt), *(_vocoder_line(row) for row in choices if row["part"] == "sovits")]


def _gpt_line(row: Mapping[str, Any]) -> str:
    error, step_ms = row["error"], row["times"]["step_ms"]
    verdict = "chosen" if row["chosen"] else "" if row["within"] else "costs too much"
    return (
        f"{row['precision']:<7} {row['bytes'] / 1e6:>5.0f} {error['kl']:>9.1e} {error['agreement']:>10.1%} "
        f"{step_ms:>6.1f} ms  {verdict}"
    )


def _vocoder_line(row: Mapping[str, Any]) -> str:
    error, layers = row["error"], row["layers"]
    int8 = sum(layer["chosen"] for layer in layers)
    sound = "no error" if error["snr_db"] is None else f"SNR {error['snr_db']:.1f} dB"
    return (
        f"vocoder with {int8} of {len(layers)} layers in int8: {sound}, log-mel distance {error['log_mel_db']:.2f} dB, "
        f"{row['seconds_fp32'] / row['seconds_int8']:.2f} times as fast, {'chosen' if row['chosen'] else 'not chosen'}"
    )


def _flow_lines(flow: dict[str, Any] | None) -> list[str]:
    if flow is None:
        return []
    return [
        f"  flow     {flow['steps']} Euler steps by default, windows of {flow['window_frames']} mel frames with a "
        f"prompt of up to {flow['prompt_frames']}",
        f"  mel      {flow['mel_bands']} bands of a {flow['mel_sample_rate']} Hz reference, "
        f"{flow['mel_hop']} samples a frame; vocoder {flow['vocoder']}",
    ]


def _graph(bundle: Bundle, name: str) -> dict[str, Any]:
    g = bundle.manifest["graphs"][name]
    spec = bundle.graph_spec(name)
    inputs = [f"{t.name}{list(t.shape)}" for t in spec.inputs if "_cache_" not in t.name]
    caches = len(spec.aliases)
    return {
        "precision": g["precision"],
        "fp32_parts": bundle.manifest.get("precision", {}).get("islands", {}).get(name, []),
        "shared": g["shared"],
        **{k: g["check"][k] for k in ("error", "kl", "snr_db", "limit") if k in g["check"]},
        "inputs": ", ".join(inputs) + (f", {caches} caches" if caches else ""),
        "dims": {d.name: [d.min, d.opt, d.max] for d in spec.dims},
    }


def _fp32_lines(parts: list[dict[str, str]]) -> list[str]:
    """FP32 fallback nodes in lines: one a reason, or one a measurement where that decided."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        by_reason.setdefault((part["reason"], part["detail"]), []).append(part["op"])
    return [
        f"{len(ops)} operators ({', '.join(sorted(set(ops)))}), {reason}" + (f": {detail}" if detail else "")
        for (reason, detail), ops in by_reason.items()
    ]


def _engine(path: Path) -> dict[str, Any]:
    try:
        record = read_record(path)
    except BackendError as error:
        return {"problem": str(error)}
    keys = ("name", "bytes", "cache_size")
    target = {
        k: record.key_fields[k] for k in ("capability", "flavour", "version", "cuda", "platform", "device")
    }
    return {**{k: getattr(record, k) for k in keys}, **target, **record.built, "problem": record.problem()}


def _engine_lines(engines: list[dict[str, Any]]) -> list[str]:
    if not engines:
        return []
    lines = [
        "  engine              for                          MB      built in  layers that compute, by precision"
    ]
    for e in engines:
        if "name" not in e:
            lines.append(f"    {e['problem']}")
            continue
        where = f"{e['capability']} {e['flavour']} {e['version']} {e['device']}"
        layers: Counter[str] = Counter()
        for counts in e["layers"].values():
            layers.update(counts)
        precision = ", ".join(f"{n} {_PRECISIONS.get(kind, kind)}" for kind, n in layers.most_common())
        problem = f"  DAMAGED: {e['problem']}" if e["problem"] else ""
        lines.append(
            f"    {e['name']:<17} {where:<26} {e['bytes'] / 1e6:>8.1f} {e['seconds']:>8.1f} s  {precision}{problem}"
        )
    return lines


def _prepacked_line(entry: dict[str, Any]) -> str:
    if entry["problem"]:
        return f"  prepacked  {entry['folder']}: {entry['problem']}"
    made_for = f"{entry['cpu']}, ONNX Runtime {entry['onnxruntime']}"
    where = "used here" if entry["here"] else "not for this machine"
    return f"  prepacked  {entry['bytes'] / 1e6:.0f} MB for {made_for}: {where}"


def _bytes(files: dict[str, Any]) -> int:
    return sum(r["bytes"] for r in files.values())
