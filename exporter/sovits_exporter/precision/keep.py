"""Which parts to keep in FP32, as a file: `engine debug --keep` writes it, `convert --keep` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sovits_calibration.fp32_nodes import Fp32Node
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import content_digest, json_text, write_file
from sovits_runtime.errors import BundleError, shown
from sovits_runtime.machine.json_file import read_json

KIND = "parts to keep in FP32"
SCHEMA = 1
KEPT = "kept"
REMEDY = "write it with 'sovits-export engine debug BUNDLE --keep FILE'"

Kept = Mapping[str, Sequence[Fp32Node]]
"""By graph, what stays FP32."""


def write_keep(path: Path, source: Bundle, kept: Kept) -> None:
    """Writes the file, whole or not at all.

    Args:
        path: Where. A file of this kind is replaced.
        source: The FP32 bundle that the parts are of.
        kept: What to keep.

    Raises:
        BundleError: Something else is there, or it cannot be written.
    """
    if path.exists():
        _read(path)
    graphs = {name: [{"node": n.node, "op": n.op} for n in nodes] for name, nodes in kept.items()}
    content = {"kind": KIND, "schema": SCHEMA, "bundle": source.digest, "graphs": graphs}
    try:
        with write_file(path) as file:
            file.write(json_text({**content, "digest": content_digest(content)}).encode("utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror})") from error


def read_keep(path: Path, source: Bundle) -> dict[str, list[Fp32Node]]:
    """Reads the file, for a bundle to convert.

    Args:
        path: The file.
        source: The FP32 bundle. It may be another voice's than the file was made of, with graphs of the same parts.

    Raises:
        BundleError: It is not such a file, was changed by hand, or names parts that the bundle has not.
    """
    content = _read(path)
    kept = {}
    for graph, nodes in content["graphs"].items():
        if graph not in source.graph_names:
            raise BundleError(
                f"{path}: names graph {graph!r}; {source.path} has {', '.join(source.graph_names)}: {REMEDY} for it"
            )
        there = {n.outputs[0].name: n.op_type for n in ir.load(source.graph_path(graph)).graph}
        for node in nodes:
            if there.get(node["node"]) != node["op"]:
                raise BundleError(
                    f"{path}: names {node['op']} {node['node']} of graph {graph}, which {source.path} has not; it is "
                    f"for another version or build: {REMEDY} for this one"
                )
        detail = f"named by {path.name}"
        kept[graph] = [Fp32Node(n["node"], n["op"], KEPT, detail) for n in nodes]
    return kept


def _read(path: Path) -> dict[str, Any]:
    value = read_json(path, what="a file of parts to keep in FP32", error=BundleError, remedy=REMEDY)
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise BundleError(f"{path}: is not a file of parts to keep in FP32; {REMEDY}")
    if value.get("schema") != SCHEMA:
        raise BundleError(
            f"{path}: has schema {shown(value.get('schema'))}, this version reads {SCHEMA}; {REMEDY}"
        )
    content = {name: part for name, part in value.items() if name != "digest"}
    if value.get("digest") != content_digest(content):
        raise BundleError(f"{path}: was changed by hand (its digest does not match); {REMEDY}")
    if not _has_shape(value.get("graphs")):
        raise BundleError(f"{path}: does not say which parts of which graphs to keep; {REMEDY}")
    return value


def _has_shape(graphs: Any) -> bool:
    return isinstance(graphs, dict) and all(
        isinstance(nodes, list)
        and all(
            isinstance(n, dict) and isinstance(n.get("node"), str) and isinstance(n.get("op"), str)
            for n in nodes
        )
        for nodes in graphs.values()
    )
