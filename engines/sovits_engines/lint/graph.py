"""An ONNX graph as the rules look at it: nodes, types, constants, who makes and who uses what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx.inliner
from onnx import helper, numpy_helper

from sovits_engines.lint.flow import constant_names, inner_graphs, is_official, steps, value_sources
from sovits_engines.weights import map_weight, weight_file
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.errors import BundleError

Level = Literal["error", "warning"]
Complaint = tuple[str, str]
"""Name of the node (or tensor), and what is wrong and what to do."""
Size = int | str | None
_NUMBERS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        id: Its name in reports.
        level: `error` where TensorRT refuses or silently computes something else; `warning` where it may.
        check: Yields what breaks it.
    """

    id: str
    level: Level
    check: Callable[[LintGraph], Iterator[Complaint]]


class LintGraph:
    """One graph.

    Attributes:
        model: The model, with its functions written out; weights may lie in files.
        folder: Where those files are.
        spec: Inputs and outputs of the graph, where they are known.
        steps: What runs, in the order of the file.
        nodes: All nodes, those of inner graphs included.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path, spec: GraphSpec | None = None) -> None:
        self.model = _without_functions(model)
        self.folder = folder
        self.spec = spec
        self.graphs = list(_graphs(self.model.graph))
        self.steps = list(steps(self.model.graph))
        self.nodes = [step.node for step in self.steps if not step.feeds]
        self.producers = {name: node for node in self.nodes for name in node.output if name}

    @cached_property
    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        """Nodes that read a tensor."""
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        return readers

    @cached_property
    def constants(self) -> dict[str, onnx.TensorProto]:
        """Initializers and outputs of Constant nodes."""
        constants = {tensor.name: tensor for graph in self.graphs for tensor in graph.initializer}
        for node in self.of("Constant"):
            tensor = _constant(node)
            if tensor is not None:
                constants[node.output[0]] = tensor
        return constants

    @cached_property
    def unreadable(self) -> dict[str, str]:
        """Files of weights that cannot be read, and why; the weight's name where it lies in the graph."""
        problems: dict[str, str] = {}
        for name, tensor in self.constants.items():
            try:
                map_weight(tensor, self.folder)
            except BundleError as error:
                problems.setdefault(weight_file(tensor) or name, str(error.__cause__))
        return problems

    @cached_property
    def constant_names(self) -> set[str]:
        """Tensors that are the same in every run, whatever the inputs and their sizes."""
        return constant_names(self.steps, self.constants)

    @cached_property
    def sources(self) -> dict[str, frozenset[str]]:
        """Inputs of the graph on whose values a tensor depends; tensors without any are left out."""
        return value_sources(self.steps, self.inputs)

    @cached_property
    def types(self) -> dict[str, onnx.TypeProto.Tensor]:
        """Element type and shape of every tensor that has one."""
        try:
            inferred = onnx.shape_inference.infer_shapes(self.model, data_prop=True)
        except onnx.shape_inference.InferenceError:
            inferred = self.model
        types: dict[str, onnx.TypeProto.Tensor] = {}
        for graph in _graphs(inferred.graph):
            for tensor in graph.initializer:
                types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims).tensor_type
            for value in (*graph.value_info, *graph.input, *graph.output):
                if value.type.HasField("tensor_type"):
                    types[value.name] = value.type.tensor_type
        return types

    @property
    def inputs(self) -> list[str]:
        """Names of the graph's inputs, without initializers."""
        initializers = {tensor.name for tensor in self.model.graph.initializer}
        return [value.name for value in self.model.graph.input if value.name not in initializers]

    @property
    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return [value.name for value in self.model.graph.output]

    def of(self, *operators: str) -> Iterator[onnx.NodeProto]:
        """Nodes of the official domain with one of these operators."""
        return (n for n in self.nodes if n.op_type in operators and is_official(n))

    def kind(self, name: str) -> int:
        """Element type of a tensor; 0 when not known."""
        return self.types[name].elem_type if name in self.types else 0

    def shape(self, name: str) -> list[Size] | None:
        """Sizes of a tensor, names for those that vary; None when not even the rank is known."""
        if name not in self.types or not self.types[name].HasField("shape"):
            return None
        dims = self.types[name].shape.dim
        return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dims]

    def rank(self, name: str) -> int | None:
        """Number of axes of a tensor; None when not known."""
        shape = self.shape(name)
        return None if shape is None else len(shape)

    def value(self, name: str) -> Array | None:
        """The value of a constant; None for anything else, and where it cannot be read."""
        return self.read(self.constants[name]) if name in self.constants else None

    def read(self, tensor: onnx.TensorProto) -> Array | None:
        """The value of a constant; None where it cannot be read."""
        try:
            return map_weight(tensor, self.folder)
        except BundleError:
            return None


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Value of a node's attribute."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def operand(node: onnx.NodeProto, index: int) -> str:
    """Name of an input; "" when it is left out."""
    return node.input[index] if index < len(node.input) else ""


def title(node: onnx.NodeProto) -> str:
    """What a node is called in reports."""
    return f"{node.op_type} {node.name or (node.output[0] if node.output else '')}"


def type_name(kind: int) -> str:
    """Name of an element type."""
    return str(onnx.TensorProto.DataType.Name(kind)) if kind else "unknown"


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from _graphs(inner)


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    for name, dtype in _NUMBERS.items():
        number = attribute(node, name)
        if number is not None:
            return numpy_helper.from_array(np.asarray(number, dtype))
    value: onnx.TensorProto | None = attribute(node, "value")
    return value


def _without_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model, convert_version=True)
    except (onnx.checker.ValidationError, RuntimeError) as error:
        raise BundleError(
            f"the graph's functions cannot be written out ({error}); export without them"
        ) from error
