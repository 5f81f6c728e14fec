"""Finds in an ONNX graph what TensorRT would refuse or silently get wrong, on a machine without TensorRT.

The rules know what the parser does not tell. Where TensorRT for RTX is installed, its real parser runs as well.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from sovits_engines.builder import parser_complaints
from sovits_engines.engine_graph import trt_graphs
from sovits_engines.lint import attention, files, fp16, operators, shapes, types
from sovits_engines.lint.graph import Level, LintGraph, Rule
from sovits_runtime.backends.trt_api import TrtApi
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BundleError

RULES: tuple[Rule, ...] = (
    *files.RULES,
    *operators.RULES,
    *attention.RULES,
    *types.RULES,
    *fp16.RULES,
    *shapes.RULES,
)
PARSER = "trt-parser"


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        graph: Name of the graph.
        rule: The rule that it breaks.
        level: `error` where TensorRT refuses or silently computes something else; `warning` where it may.
        where: The node or tensor.
        message: What is wrong and what to do.
    """

    graph: str
    rule: str
    level: Level
    where: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def lint_model(
    model: onnx.ModelProto,
    folder: Path,
    *,
    name: str,
    spec: GraphSpec | None = None,
    parser: TrtApi | None = None,
) -> list[Finding]:
    """Checks one graph.

    Args:
        model: The graph; its weights may lie in files.
        folder: Where these files are.
        name: What to call it.
        spec: Its inputs and outputs; without one, ranges and pairs are not checked.
        parser: A TensorRT whose parser runs too, where all weights are there.

    Raises:
        BundleError: Its functions call each other in a circle.
    """
    graph = LintGraph(model, folder, spec)
    findings = [
        Finding(name, rule.id, rule.level, where, message)
        for rule in RULES
        for where, message in rule.check(graph)
    ]
    if parser is not None and not graph.unreadable:
        findings += [
            Finding(name, PARSER, "error", where, f"{parser.title} refuses it: {message}")
            for where, message in parser_complaints(parser, model, folder / f"{name}.onnx")
        ]
    return list(dict.fromkeys(findings))


def lint_file(path: Path, *, parser: TrtApi | None = None) -> list[Finding]:
    """Checks a `.onnx` file.

    Raises:
        BundleError: It is no ONNX file, or its functions call each other in a circle.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise BundleError(f"{path}: not an ONNX file ({error}); give a .onnx file or a bundle") from error
    if not model.graph.node:
        raise BundleError(f"{path}: not an ONNX file, or an empty one; give a .onnx file or a bundle")
    return lint_model(model, path.parent, name=path.stem, parser=parser)


def lint_bundle(bundle: Bundle, *, parser: TrtApi | None = None) -> list[Finding]:
    """Checks the copies of a bundle's graphs that TensorRT gets."""
    return [
        finding
        for engine in trt_graphs(bundle)
        for finding in lint_model(
            engine.model(), engine.path.parent, name=engine.name, spec=engine.spec, parser=parser
        )
    ]
