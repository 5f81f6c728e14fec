"""Names and sizes of the decode step that feeds itself; `sovits_engines.step_graph` makes the graph."""

from __future__ import annotations

from sovits_runtime.graph import DimRange, GraphSpec, TensorSpec

NOISE_ROWS = 64
"""Steps that one block of noise on the device lasts."""
HISTORY = 1536
"""Slots for new tokens; more than the model makes in one go."""
STOPPED = -1
"""Stands in the history from the step on in which the model ended."""
FEEDBACK = ("token", "step", "seen", "stopped", "history")
"""Inputs that a run's `next_*` outputs replace before the next run."""


def device_step_spec(spec: GraphSpec, cache_length: int) -> GraphSpec:
    """Returns what the step that feeds itself takes and gives.

    Args:
        spec: Of `gpt_step`.
        cache_length: Rows of its caches.
    """
    plain = fixed_spec(spec, {"batch": 1, "cache_size": cache_length})
    vocab = plain.tensor("seen").shape[1]
    inputs = (
        *(t for t in plain.inputs if t.name != "noise"),
        TensorSpec("noise_block", "float32", (NOISE_ROWS, vocab)),
        TensorSpec("stopped", "bool", (1,)),
        TensorSpec("history", "int64", (1, HISTORY)),
    )
    outputs = (
        *(t for t in plain.outputs if t.name != "stop"),
        TensorSpec("next_step", "int64", (1,)),
        TensorSpec("next_stopped", "bool", (1,)),
        TensorSpec("next_history", "int64", (1, HISTORY)),
    )
    return GraphSpec(plain.name, inputs, outputs, plain.dims, plain.aliases)


def fixed_spec(spec: GraphSpec, sizes: dict[str, int]) -> GraphSpec:
    """Returns the spec with the named dimensions replaced by sizes."""

    def fix(t: TensorSpec) -> TensorSpec:
        shape = tuple(sizes.get(d, d) if isinstance(d, str) else d for d in t.shape)
        return TensorSpec(t.name, t.dtype, shape)

    dims: tuple[DimRange, ...] = tuple(d for d in spec.dims if d.name not in sizes)
    return GraphSpec(
        spec.name, tuple(map(fix, spec.inputs)), tuple(map(fix, spec.outputs)), dims, spec.aliases
    )
