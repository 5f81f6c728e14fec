"""The decode step for a device: the graph feeds itself, so that it can be replayed without the host.

`gpt_step` wants noise, a step number and the last token from the host in every step. `device_step` changes that:

- noise comes from a block that lies on the device, row `step` modulo its rows;
- `next_step` is `step` + 1;
- tokens are collected in `history` at index `step`;
- the end of speech sticks: once drawn, `stopped` stays set and the history says `STOPPED` from that step on.

After each run the host (or a captured copy) writes each `next_*` output over the input of that name. Sizes that
TensorRT wants fixed, batch 1 and one cache length, are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sovits_runtime.errors import BundleError
from sovits_runtime.gpu.step_spec import HISTORY, NOISE_ROWS, STOPPED, device_step_spec
from sovits_runtime.graph import GraphSpec

_FLOAT, _INT64, _BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


def device_step(
    model: onnx.ModelProto, spec: GraphSpec, *, cache_length: int
) -> tuple[onnx.ModelProto, GraphSpec]:
    """Returns the step that feeds itself; the model given is not changed, external weights are not read.

    Args:
        model: The graph `gpt_step`.
        spec: Its spec.
        cache_length: Rows of the caches.

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
    nodes = [*before, *graph.node, *after]
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
    fix_sizes(result, {"batch": 1, "cache_size": cache_length})
    return result, device_step_spec(spec, cache_length)


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
