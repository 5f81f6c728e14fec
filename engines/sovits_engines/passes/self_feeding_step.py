"""The GPT's step for a device: it feeds itself, so that it can be replayed without the host.

`gpt_step` wants noise, a step number and the last token from the host in every step. `self_feeding_step` changes that:

- noise comes from a block that lies on the device, row `step` modulo its rows;
- `next_step` is `step` + 1;
- tokens are collected in `history` at index `step`;
- the end of speech sticks: once it was sampled, `stopped` stays set and the history says `STOPPED` from that step on;
- heads are cut out of the row of one sentence without being moved: a transposition of one row moves nothing.

After each run the host (or a captured copy) writes each `next_*` output over the input of that name.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sovits_engines.passes.edits import constant, drop_unread, take_place
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import HISTORY, NOISE_ROWS, STOPPED

_CUT, _MERGE = [2, 0, 3, 1, 4], [0, 2, 1, 3]
"""Transpositions before and after attention: to queries, keys and values by head, and back."""
_FLOAT, _INT64, _BOOL = ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.BOOL
_TOLD_BY_HOST = {"noise", "step", "next_token", "stop", "next_seen"}
_BEFORE = (
    ("Mod", "step device_rows", "device_row", "device_row"),
    ("Gather", "noise_block device_row", "noise", "device_noise"),
)
_AFTER = (
    ("Add", "step device_one", "next_step", "device_next_step"),
    ("Or", "stopped stop", "next_stopped", "device_next_stopped"),
    ("Where", "next_stopped device_stopped next_token", "device_said", "device_said"),
    ("Unsqueeze", "step device_axis", "device_step", "device_step"),
    ("Unsqueeze", "device_said device_axis", "device_word", "device_word"),
    ("Equal", "device_slots device_step", "device_here", "device_here"),
    ("Where", "device_here device_word history", "next_history", "device_history"),
)
"""Operator, what it reads, what it makes, its name."""


def self_feeding_step(model: ir.Model, *, spec: GraphSpec) -> bool:
    """Turns the step into one that feeds itself; external weights are not read.

    Args:
        model: The graph `gpt_step`; becomes that of `device_step_spec`, but for batch and cache length, which keep
            their names.
        spec: Its spec.

    Raises:
        BundleError: The model is no `gpt_step`; nothing is changed then.
    """
    graph = model.graph
    values = {v.name or "": v for v in (*graph.inputs, *graph.outputs)}
    if "noise_block" in values:
        return False
    if not values.keys() >= _TOLD_BY_HOST:
        raise BundleError(
            f"graph {graph.name}: expected a gpt_step with {sorted(_TOLD_BY_HOST)}, found no "
            f"{sorted(_TOLD_BY_HOST - values.keys())}; build the bundle again"
        )
    _unmove_heads(graph)
    vocab = spec.tensor("seen").shape[1]
    for name, dtype, shape in (
        ("noise_block", _FLOAT, [NOISE_ROWS, vocab]),
        ("stopped", _BOOL, [1]),
        ("history", _INT64, [1, HISTORY]),
    ):
        values[name] = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
        graph.inputs.append(values[name])
    values |= {name: constant(graph, name, numbers) for name, numbers in _constants().items()}
    graph.inputs.remove(values["noise"])
    graph.outputs.remove(values["stop"])
    before = [_node(values, *row) for row in _BEFORE]
    graph.insert_before(graph[0], before)
    values["noise"].replace_all_uses_with(before[-1].outputs[0])
    graph.extend([_node(values, *row) for row in _AFTER])
    for name, dtype, shape in (
        ("next_step", _INT64, [1]),
        ("next_stopped", _BOOL, [1]),
        ("next_history", _INT64, [1, HISTORY]),
    ):
        values[name].type, values[name].shape = ir.TensorType(dtype), ir.Shape(shape)
        graph.outputs.append(values[name])
    drop_unread(graph)
    return True


def _constants() -> dict[str, np.ndarray]:
    return {
        "device_rows": np.array(NOISE_ROWS, np.int64),
        "device_one": np.array(1, np.int64),
        "device_stopped": np.array(STOPPED, np.int64),
        "device_slots": np.arange(HISTORY, dtype=np.int64)[None],
        "device_axis": np.array([1], np.int64),
    }


def _node(values: dict[str, ir.Value], op: str, inputs: str, output: str, name: str) -> ir.Node:
    """An operator on named values; its result becomes one of them, but for the noise, which other nodes read yet."""
    attributes = {"axis": 0} if op == "Gather" else {}
    node = ir.node(op, [values[i] for i in inputs.split()], attributes=attributes, name=name)
    node.outputs[0].name = output
    values.setdefault(output, node.outputs[0])
    return node


def _unmove_heads(graph: ir.Graph) -> None:
    """Cuts heads out of a row by a split, and puts them together by a reshape; nothing is moved."""
    for node in list(graph):
        order = list(node.attributes.get_ints("perm", ())) if node.op_type == "Transpose" else []
        value = node.outputs[0]
        readers = {use.node.op_type for use in value.uses()}
        packed = node.inputs[0].producer() if node.inputs[0] is not None else None
        if order == _CUT and readers == {"Gather"} and packed is not None and packed.op_type == "Reshape":
            _cut_unmoved(graph, node, packed)
        elif order == _MERGE and readers == {"Reshape"} and node.inputs[0] is not None:
            value.replace_all_uses_with(node.inputs[0])
            graph.remove(node, safe=True)


def _cut_unmoved(graph: ir.Graph, cut: ir.Node, packed: ir.Node) -> None:
    *_, count, heads, width = _numbers(packed.inputs[1]).tolist()
    shape = constant(graph, "device_heads", np.array([1, heads, 1, width], np.int64))
    sizes = {"axis": 1, "num_outputs": count}
    split = ir.node("Split", packed.inputs[:1], attributes=sizes, num_outputs=count, name=cut.name)
    for i, part in enumerate(split.outputs):
        part.name = f"{cut.outputs[0].name}.{i}"
    graph.insert_before(cut, split)
    for use in list(cut.outputs[0].uses()):
        part = split.outputs[int(_numbers(use.node.inputs[1]))]
        take_place(ir.node("Reshape", [part, shape], name=use.node.name), use.node)
    graph.remove(cut, safe=True)


def _numbers(value: ir.Value | None) -> np.ndarray:
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()
