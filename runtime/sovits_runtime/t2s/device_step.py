"""Inputs and outputs of the GPT's two graphs on a device; `sovits_engines.passes.self_feeding_step` makes the step."""

from __future__ import annotations

from dataclasses import replace

from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec

NOISE_ROWS = 64
"""Steps that one block of noise on the device lasts."""
HISTORY = 1536
"""Slots for new tokens; more than the model makes in one go."""
STOPPED = -1
"""Token in the history from the step on in which the model ended."""
FEEDBACK = ("token", "step", "seen", "stopped", "history")
"""Inputs that a run's `next_*` outputs replace before the next run."""
CACHE_LENGTHS = (512, 1024, 2048)
"""Cache lengths that steps are built for: short sentences should not pay for long ones."""
CACHE_DIM, ROWS_DIM = "cache_size", "rows"


def device_step_spec(spec: GraphSpec, cache_length: int) -> GraphSpec:
    """Returns the spec of the step that feeds itself.

    Args:
        spec: Of `gpt_step`.
        cache_length: Positions in its caches.
    """
    plain = fixed_spec(spec, step_sizes(cache_length))
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


def step_sizes(cache_length: int) -> dict[str, int]:
    """Sizes that a step on a device has fixed, by dimension."""
    return {"batch": 1, CACHE_DIM: cache_length}


def rows_spec(spec: GraphSpec) -> GraphSpec:
    """Returns the spec of a prefill that outputs the keys and values of its positions instead of updating caches.

    Args:
        spec: Of `gpt_prefill`.
    """
    cache_inputs, cache_outputs = ({pair[i] for pair in spec.aliases} for i in (0, 1))
    return replace(
        spec,
        inputs=tuple(t for t in spec.inputs if t.name not in cache_inputs),
        outputs=tuple(
            replace(t, shape=(*t.shape[:2], ROWS_DIM, *t.shape[3:])) if t.name in cache_outputs else t
            for t in spec.outputs
        ),
        dims=tuple(d for d in spec.dims if d.name != CACHE_DIM),
        aliases=(),
    )


def fixed_spec(spec: GraphSpec, sizes: dict[str, int]) -> GraphSpec:
    """Returns the spec with the named dimensions replaced by sizes."""

    def fix(t: TensorSpec) -> TensorSpec:
        shape = tuple(sizes.get(d, d) if isinstance(d, str) else d for d in t.shape)
        return TensorSpec(t.name, t.dtype, shape)

    dims: tuple[DimRange, ...] = tuple(d for d in spec.dims if d.name not in sizes)
    return GraphSpec(
        spec.name, tuple(map(fix, spec.inputs)), tuple(map(fix, spec.outputs)), dims, spec.aliases
    )
