"""The GPT's two graphs for a device: the step feeds itself, so that it can be replayed without the host.

`gpt_step` wants noise, a step number and the last token from the host in every step. `device_step` changes that:

- noise comes from a block that lies on the device, row `step` modulo its rows;
- `next_step` is `step` + 1;
- tokens are collected in `history` at index `step`;
- the end of speech sticks: once drawn, `stopped` stays set and the history says `STOPPED` from that step on;
- heads are cut out of the row of one sentence without being moved: a transposition of one row moves nothing.

After each run the host (or a captured copy) writes each `next_*` output over the input of that name.

`device_prefill` has no cache at all. It gives the rows of keys and values, and the runtime copies them to the head of
whatever cache the step uses: one prefill of any length serves them all, at a few microseconds a layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import HISTORY, NOISE_ROWS, STOPPED, rows_spec

_CUT, _MERGE = [2, 0, 3, 1, 4], [0, 2, 1, 3]
"""Transpositions before and after attention: to queries, keys and values by head, and back."""
_HEADS = "device_heads"
_FLOAT, _INT64, _BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


def device_step(model: onnx.ModelProto, spec: GraphSpec) -> onnx.ModelProto:
    """Returns the step that feeds itself; the model given is not changed, external weights are not read.

    Args:
        model: The graph `gpt_step`.
        spec: Its spec.

    Returns:
        The graph of `device_step_spec`, but for batch and cache length, which keep their names.

    Raises:
        BundleError: The model is no `gpt_step`.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    names = {i.name for i in graph.input} | {o.name for o in graph.output}
    wanted = {"noise", "step", "next_token", "stop", "next_seen"}
    if not wanted <= names:
        raise BundleError(
            f"graph {graph.name}: expected a gpt_step with {sorted(wanted)}, found no {sorted(wanted - names)}; build "
            "the bundle again"
        )
    vocab = int(spec.tensor("seen").shape[1])
    for tensor in [i for i in graph.input if i.name == "noise"]:
        graph.input.remove(tensor)
    for tensor in [o for o in graph.output if o.name == "stop"]:
        graph.output.remove(tensor)
    before, after = _nodes()
    nodes = [*before, *_without_moves(graph), *after]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(_constants())
    graph.input.extend(
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("noise_block", _FLOAT, [NOISE_ROWS, vocab]),
            ("stopped", _BOOL, [1]),
            ("history", _INT64, [1, HISTORY]),
        )
    )
    graph.output.extend(
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("next_step", _INT64, [1]),
            ("next_stopped", _BOOL, [1]),
            ("next_history", _INT64, [1, HISTORY]),
        )
    )
    _drop_unused(graph)
    return result


def device_prefill(model: onnx.ModelProto, spec: GraphSpec) -> onnx.ModelProto:
    """Returns the prefill that hands out rows; the model given is not changed, external weights are not read.

    Args:
        model: The graph `gpt_prefill`.
        spec: Its spec.

    Returns:
        The graph of `rows_spec`.

    Raises:
        BundleError: The model does more with its caches than fill them.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph, wanted = result.graph, rows_spec(spec)
    kept = [value for value in graph.input if value.name in wanted.input_names]
    caches = {value.name for value in graph.input} - set(wanted.input_names)
    for node in graph.node:
        if node.op_type == "TensorScatter" and node.input[0] in caches:
            node.CopyFrom(helper.make_node("Identity", [node.input[1]], list(node.output), name=node.name))
    if any(name in caches for node in graph.node for name in node.input):
        raise BundleError(
            f"graph {graph.name}: its caches are used for more than being filled; build the bundle again"
        )
    del graph.input[:]
    graph.input.extend(kept)
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, wanted.tensor(value.name).shape, strict=True):
            if isinstance(size, str):
                dim.dim_param = size
    _drop_unused(graph)
    return result


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)


def _without_moves(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Returns the nodes with heads cut out of a row by a split, and put together by a reshape; nothing is moved."""
    makers = {name: node for node in graph.node for name in node.output}
    numbers = {t.name: numpy_helper.to_array(t) for t in graph.initializer if not t.external_data}
    users: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    nodes: list[onnx.NodeProto] = []
    parts: dict[str, list[str]] = {}
    unmoved: dict[str, str] = {}
    for node in graph.node:
        order = helper.get_node_attr_value(node, "perm") if node.op_type == "Transpose" else None
        used = users.get(node.output[0], set())
        if order == _CUT and used == {"Gather"} and (packed := makers[node.input[0]]).op_type == "Reshape":
            *_, count, heads, width = numbers[packed.input[1]].tolist()
            if _HEADS not in numbers:
                numbers[_HEADS] = np.array([1, heads, 1, width], np.int64)
                graph.initializer.append(numpy_helper.from_array(numbers[_HEADS], _HEADS))
            parts[node.output[0]] = [f"{node.output[0]}.{i}" for i in range(count)]
            made = parts[node.output[0]]
            nodes.append(
                helper.make_node("Split", packed.input[:1], made, node.name, axis=1, num_outputs=count)
            )
        elif node.op_type == "Gather" and node.input[0] in parts:
            part = parts[node.input[0]][int(numbers[node.input[1]])]
            nodes.append(helper.make_node("Reshape", [part, _HEADS], list(node.output), node.name))
        elif order == _MERGE and used == {"Reshape"}:
            unmoved[node.output[0]] = node.input[0]
        else:
            node.input[:] = [unmoved.get(name, name) for name in node.input]
            nodes.append(node)
    return nodes


def fix_sizes(model: onnx.ModelProto, sizes: Mapping[str, int]) -> None:
    """Replaces the named dimensions of inputs, outputs and inner tensors by sizes, in place."""
    for tensor in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in tensor.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]


def _constants() -> list[onnx.TensorProto]:
    values = {
        "device_rows": np.array(NOISE_ROWS, np.int64),
        "device_one": np.array(1, np.int64),
        "device_stopped": np.array(STOPPED, np.int64),
        "device_slots": np.arange(HISTORY, dtype=np.int64)[None],
        "device_axis": np.array([1], np.int64),
    }
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def _nodes() -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    node = helper.make_node
    before = [
        node("Mod", ["step", "device_rows"], ["device_row"], name="device_row"),
        node("Gather", ["noise_block", "device_row"], ["noise"], name="device_noise", axis=0),
    ]
    after = [
        node("Add", ["step", "device_one"], ["next_step"], name="device_next_step"),
        node("Or", ["stopped", "stop"], ["next_stopped"], name="device_next_stopped"),
        node("Where", ["next_stopped", "device_stopped", "next_token"], ["device_said"], name="device_said"),
        node("Unsqueeze", ["step", "device_axis"], ["device_step"], name="device_step"),
        node("Unsqueeze", ["device_said", "device_axis"], ["device_word"], name="device_word"),
        node("Equal", ["device_slots", "device_step"], ["device_here"], name="device_here"),
        node("Where", ["device_here", "device_word", "history"], ["next_history"], name="device_history"),
    ]
    return before, after
