"""Inputs and outputs of the GPT's two graphs on a device; `sovits_engines.passes.self_feeding_step` makes the step.

There are two forms of the step: for one row, which keeps its tokens for good, and for a batch of rows, each of which is
at a step of its own. In the latter a row that has stopped stands still, so it can stay in the batch as padding.
"""

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
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
"""Rows that are stepped together; a number between takes the next larger one, with rows that stand still."""
BATCH_STEPS = 8
"""Steps of a batch that one block of noise lasts, and whose tokens its history holds."""
CACHE_DIM, ROWS_DIM, BATCH_DIM = "cache_size", "rows", "batch"
_USUAL_ROWS = 8


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


def batch_step_spec(spec: GraphSpec, cache_length: int) -> GraphSpec:
    """Returns the spec of the step that feeds itself, for a batch of rows.

    Beside what `device_step_spec` has, each row has `noise_place`, where its noise begins in the flattened block, and
    `last`, the number of the step in which it makes the last token that it may.

    Args:
        spec: Of `gpt_step`.
        cache_length: Positions in its caches.
    """
    plain = fixed_spec(spec, {CACHE_DIM: cache_length})
    vocab = plain.tensor("seen").shape[1]
    inputs = (
        *(t for t in plain.inputs if t.name != "noise"),
        TensorSpec("noise_block", "float32", (BATCH_DIM, BATCH_STEPS, vocab)),
        TensorSpec("noise_place", "int64", (BATCH_DIM,)),
        TensorSpec("last", "int64", (BATCH_DIM,)),
        TensorSpec("stopped", "bool", (BATCH_DIM,)),
        TensorSpec("history", "int64", (BATCH_DIM, BATCH_STEPS)),
    )
    outputs = (
        *(t for t in plain.outputs if t.name != "stop"),
        TensorSpec("next_step", "int64", (BATCH_DIM,)),
        TensorSpec("next_stopped", "bool", (BATCH_DIM,)),
        TensorSpec("next_history", "int64", (BATCH_DIM, BATCH_STEPS)),
    )
    dims = (DimRange(BATCH_DIM, BATCH_SIZES[0], _USUAL_ROWS, BATCH_SIZES[-1]),)
    return GraphSpec(plain.name, inputs, outputs, dims, plain.aliases)


def is_for_rows(spec: GraphSpec) -> bool:
    """Whether a step on a device is the one for a batch of rows."""
    return "noise_place" in spec.input_names


def batch_size(rows: int) -> int:
    """The batch that so many rows step in."""
    return next(size for size in BATCH_SIZES if size >= rows)


def step_sizes(cache_length: int) -> dict[str, int]:
    """Sizes that a step on a device has fixed, by dimension."""
    return {BATCH_DIM: 1, CACHE_DIM: cache_length}


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
