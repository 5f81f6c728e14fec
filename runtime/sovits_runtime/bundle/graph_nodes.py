"""The operators of a `.onnx` file with their attributes, read without the onnx package.

Fields by their numbers in onnx.proto: ModelProto.graph, GraphProto.node, NodeProto.input, .output, .op_type and
.attribute, AttributeProto.name, .f, .i and .ints.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sovits_runtime.bundle.protobuf import floats_of, messages_of, numbers_of

GRAPH, NODE = 7, 1
INPUT, OUTPUT, OPERATOR, ATTRIBUTE = 1, 2, 4, 5
NAME, FLOAT, INT, INTS = 1, 2, 3, 8


@dataclass(frozen=True)
class Node:
    """One operator.

    Attributes:
        operator: Its type.
        inputs: Names; an empty one is left out.
        outputs: Names.
        ints: Attributes that are whole numbers, one or several.
        floats: Attributes that are one float.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ints: Mapping[str, tuple[int, ...]]
    floats: Mapping[str, float]


def read_nodes(path: Path) -> list[Node]:
    """Reads the operators of a graph, in its order.

    Args:
        path: The `.onnx` file.

    Raises:
        ValueError: It is no model, as far as can be seen.
    """
    try:
        model = path.read_bytes()
        return [_node(node) for graph in messages_of(model, GRAPH) for node in messages_of(graph, NODE)]
    except (IndexError, struct.error) as error:
        raise ValueError("it ends in the middle of a number") from error


def _node(message: bytes) -> Node:
    ints: dict[str, tuple[int, ...]] = {}
    floats: dict[str, float] = {}
    for attribute in messages_of(message, ATTRIBUTE):
        (name,) = _texts(attribute, NAME)
        if whole := (*numbers_of(attribute, INT), *numbers_of(attribute, INTS)):
            ints[name] = whole
        if single := floats_of(attribute, FLOAT):
            floats[name] = single[0]
    return Node(
        operator="".join(_texts(message, OPERATOR)),
        inputs=_texts(message, INPUT),
        outputs=_texts(message, OUTPUT),
        ints=ints,
        floats=floats,
    )


def _texts(message: bytes, field: int) -> tuple[str, ...]:
    return tuple(content.decode() for content in messages_of(message, field))
