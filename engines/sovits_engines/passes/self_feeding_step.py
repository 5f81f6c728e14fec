"""The GPT's step for a device: it feeds itself, so that it can be replayed without the host.

`gpt_step` wants noise, a step number and the last token from the host in every step. `self_feeding_step` changes that:

- noise comes from a block that lies on the device, row `step` modulo its rows;
- `next_step` is `step` + 1;
- tokens are collected in `history` at index `step`;
- the end of speech sticks: once it was sampled, `stopped` stays set and the history says `STOPPED` from that step on;
- heads are cut out of the row of a sentence without being moved: a transposition of one row moves nothing.

After each run the host (or a captured copy) writes each `next_*` output over the input of that name.

The form for a batch of rows differs, since each row is at a step of its own:

- each row's noise lies in its own part of the block, and the history holds the steps of one block;
- a row that has stopped, or has made the last token that it may, stands still: its step does not count on, so it writes
  to the same place in its cache, and it says nothing more. Rows that pad a batch are such rows.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sovits_engines.passes.edits import constant, drop_unread, take_place
from sovits_runtime.bundle.graph_spec import GraphSpec, TensorSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import (
    BATCH_STEPS,
    HISTORY,
    NOISE_ROWS,
    STOPPED,
    batch_step_spec,
    device_step_spec,
)

_CUT, _MERGE = [2, 0, 3, 1, 4], [0, 2, 1, 3]
"""Transpositions before and after attention: to queries, keys and values by head, and back."""
_TYPES = {"float32": ir.DataType.FLOAT, "int64": ir.DataType.INT64, "bool": ir.DataType.BOOL}
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
_BEFORE_ROWS = (
    ("Mod", "step device_rows", "device_row", "device_row"),
    ("Add", "noise_place device_row", "device_place", "device_place"),
    ("Reshape", "noise_block device_lines", "device_block", "device_block"),
    ("Gather", "device_block device_place", "noise", "device_noise"),
)
_AFTER_ROWS = (
    ("Or", "stopped stop", "device_ended", "device_ended"),
    ("GreaterOrEqual", "step last", "device_at_last", "device_at_last"),
    ("Or", "device_ended device_at_last", "next_stopped", "device_next_stopped"),
    ("Add", "step device_one", "device_after", "device_after"),
    ("Where", "next_stopped step device_after", "next_step", "device_next_step"),
    ("Where", "stop device_stopped next_token", "device_said", "device_said"),
    ("Unsqueeze", "device_row device_axis", "device_step", "device_step"),
    ("Unsqueeze", "device_said device_axis", "device_word", "device_word"),
    ("Equal", "device_slots device_step", "device_here", "device_here"),
    ("Where", "device_here device_word history", "device_written", "device_written"),
    ("Unsqueeze", "stopped device_axis", "device_column", "device_column"),
    ("Where", "device_column history device_written", "next_history", "device_history"),
)


def self_feeding_step(model: ir.Model, *, spec: GraphSpec, rows: bool = False) -> bool:
    """Turns the step into one that feeds itself; external weights are not read.

    Args:
        model: The graph `gpt_step`; becomes that of `device_step_spec` or `batch_step_spec`, but for batch and cache
            length, which keep their names.
        spec: Its spec.
        rows: Whether it is for a batch of rows.

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
    _unmove_heads(graph, lines=-1 if rows else 1)
    target = batch_step_spec(spec, 1) if rows else device_step_spec(spec, 1)  # lengths keep their names below
    for t in target.inputs:
        if t.name not in spec.input_names:
            values[t.name] = ir.Value(name=t.name)
            graph.inputs.append(_of_spec(values[t.name], t))
    numbers = _constants(rows=rows) | {
        "device_lines": np.array([-1, *target.tensor("seen").shape[1:]], np.int64)
    }
    values |= {name: constant(graph, name, value) for name, value in numbers.items()}
    graph.inputs.remove(values["noise"])
    graph.outputs.remove(values["stop"])
    before = [_node(values, *row) for row in (_BEFORE_ROWS if rows else _BEFORE)]
    graph.insert_before(graph[0], before)
    values["noise"].replace_all_uses_with(before[-1].outputs[0])
    graph.extend([_node(values, *row) for row in (_AFTER_ROWS if rows else _AFTER)])
    graph.outputs.extend(
        _of_spec(values[t.name], t) for t in target.outputs if t.name not in spec.output_names
    )
    drop_unread(graph)
    return True


def _of_spec(value: ir.Value, tensor: TensorSpec) -> ir.Value:
    value.type = ir.TensorType(_TYPES[tensor.dtype])
    value.shape = ir.Shape(tensor.shape)
    return value


def _constants(*, rows: bool) -> dict[str, np.ndarray]:
    slots, block = (BATCH_STEPS, BATCH_STEPS) if rows else (HISTORY, NOISE_ROWS)
    return {
        "device_rows": np.array(block, np.int64),
        "device_one": np.array(1, np.int64),
        "device_stopped": np.array(STOPPED, np.int64),
        "device_slots": np.arange(slots, dtype=np.int64)[None],
        "device_axis": np.array([1], np.int64),
    }


def _node(values: dict[str, ir.Value], op: str, inputs: str, output: str, name: str) -> ir.Node:
    """An operator on named values; its result becomes one of them, but for the noise, which other nodes read yet."""
    attributes = {"axis": 0} if op == "Gather" else {}
    node = ir.node(op, [values[i] for i in inputs.split()], attributes=attributes, name=name)
    node.outputs[0].name = output
    values.setdefault(output, node.outputs[0])
    return node


def _unmove_heads(graph: ir.Graph, *, lines: int) -> None:
    """Cuts heads out of rows by a split, and puts them together by a reshape; nothing is moved."""
    for node in list(graph):
        order = list(node.attributes.get_ints("perm", ())) if node.op_type == "Transpose" else []
        value = node.outputs[0]
        readers = {use.node.op_type for use in value.uses()}
        packed = node.inputs[0].producer() if node.inputs[0] is not None else None
        if order == _CUT and readers == {"Gather"} and packed is not None and packed.op_type == "Reshape":
            _cut_unmoved(graph, node, packed, lines=lines)
        elif order == _MERGE and readers == {"Reshape"} and node.inputs[0] is not None:
            value.replace_all_uses_with(node.inputs[0])
            graph.remove(node, safe=True)


def _cut_unmoved(graph: ir.Graph, cut: ir.Node, packed: ir.Node, *, lines: int) -> None:
    *_, count, heads, width = _numbers(packed.inputs[1]).tolist()
    shape = constant(graph, "device_heads", np.array([lines, heads, 1, width], np.int64))
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
