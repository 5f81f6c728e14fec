"""Rules on attention and on the caches that it reads."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from sovits_engines.lint.graph import Complaint, LintGraph, Rule, attribute, operand, title, type_name
from sovits_engines.passes.attention import has_fused_kernel

_PAST, _LENGTHS = (4, 5), 6


def ignored_lengths(g: LintGraph) -> Iterator[Complaint]:
    """TensorRT reads `nonpad_kv_seqlen` without complaint and attends over the whole padded cache."""
    for node in g.of("Attention"):
        if operand(node, _LENGTHS):
            yield (
                title(node),
                "TensorRT ignores nonpad_kv_seqlen without a word and attends to padding; compute a boolean attn_mask "
                "from the length instead",
            )


def ignored_windows(g: LintGraph) -> Iterator[Complaint]:
    """So it does with windows."""
    for node in g.of("Attention"):
        for name in ("left_window_size", "right_window_size"):
            if attribute(node, name, -1) >= 0:
                yield title(node), f"TensorRT ignores {name} without a word; put the window into attn_mask"


def cache_operands(g: LintGraph) -> Iterator[Complaint]:
    """Only attention with one output, and without past keys, is read."""
    for node in g.of("Attention"):
        if any(operand(node, i) for i in _PAST) or any(list(node.output)[1:]):
            yield (
                title(node),
                "TensorRT refuses past and present keys and further outputs; update the cache with TensorScatter",
            )


def scores_changed(g: LintGraph) -> Iterator[Complaint]:
    """What changes the scores is refused."""
    for node in g.of("Attention"):
        for name in ("softcap", "softmax_precision", "qk_matmul_output_mode"):
            if attribute(node, name, 0):
                yield title(node), f"TensorRT refuses {name}; leave it out, or write the attention out"


def causal_masks(g: LintGraph) -> Iterator[Complaint]:
    """With a cache, ONNX means bottom-right and TensorRT upper-left; with a mask it refuses."""
    for node in g.of("Attention"):
        if not attribute(node, "is_causal", 0):
            continue
        if operand(node, 3):
            yield title(node), "TensorRT refuses is_causal beside attn_mask; put both into attn_mask"
        elif _is_cached(g, node):
            yield (
                title(node),
                "with a cache TensorRT aligns the mask at the first keys, ONNX at the last; use attn_mask",
            )


def _is_cached(g: LintGraph, node: onnx.NodeProto) -> bool:
    key = operand(node, 1)
    producer = g.producers.get(key)
    rows, columns = (g.shape(name) for name in (operand(node, 0), key))
    differs = bool(rows and columns and len(rows) == len(columns) and rows[-2] != columns[-2])
    return (
        key in g.inputs
        or differs
        or (producer is not None and producer.op_type in ("TensorScatter", "Concat"))
    )


def operand_forms(g: LintGraph) -> Iterator[Complaint]:
    """Everything is 4-D; the mask is boolean or of the query's type."""
    for node in g.of("Attention"):
        for name in (n for n in node.input[:4] if n):
            if g.rank(name) not in (None, 4):
                yield (
                    title(node),
                    f"{name} has {g.rank(name)} axes, TensorRT wants 4: batch, heads, rows, width",
                )
        mask, query = g.kind(operand(node, 3)), g.kind(operand(node, 0))
        if mask and query and mask not in (onnx.TensorProto.BOOL, query):
            yield (
                title(node),
                f"attn_mask is {type_name(mask)}, TensorRT wants BOOL or the type of the query, {type_name(query)}",
            )


def fused_kernels(g: LintGraph) -> Iterator[Complaint]:
    """Attention without a fused kernel does not build."""
    for node in g.of("Attention"):
        shape = g.shape(operand(node, 0)) or ()
        if len(shape) == 4 and not has_fused_kernel(shape, ir.DataType(g.kind(operand(node, 0)))):
            yield (
                title(node),
                "no fused kernel is known for this type and size (FP16 with heads of 16 to 256, or one query row "
                "with four heads), and TensorRT does not take attention apart; write it out, as 'engine build' does",
            )


def cache_forms(g: LintGraph) -> Iterator[Complaint]:
    """The one form of TensorScatter that becomes a cache update."""
    for node in g.of("TensorScatter"):
        rank, axis = g.rank(operand(node, 0)), attribute(node, "axis", -2)
        if rank not in (None, 4) or axis not in (-2, 2):
            yield title(node), f"the cache has {rank} axes and axis {axis}, TensorRT wants 4 axes and axis -2"
        if attribute(node, "mode", b"linear") != b"linear":
            yield title(node), "TensorRT wants mode linear"


def cache_ends(g: LintGraph) -> Iterator[Complaint]:
    """A cache comes in as an input and goes out as an output, so that both can be one buffer."""
    for node in g.of("TensorScatter"):
        if operand(node, 0) not in g.inputs or node.output[0] not in g.outputs:
            yield (
                title(node),
                "TensorRT wants the cache to be an input of the graph and the result an output of it",
            )


def cache_lengths(g: LintGraph) -> Iterator[Complaint]:
    """The length of a cache is fixed."""
    for node in g.of("TensorScatter"):
        shape = g.shape(operand(node, 0))
        if shape and len(shape) == 4 and not isinstance(shape[2], int):
            yield (
                title(node),
                f"the cache has {shape[2] or 'unknown'} rows, TensorRT wants a fixed number; 'engine build' makes "
                "one engine a length",
            )


def cache_pairs(g: LintGraph) -> Iterator[Complaint]:
    """The pairs that the runtime binds to one buffer are those that are updated."""
    if g.spec is None:
        return
    updated = {(operand(node, 0), node.output[0]) for node in g.of("TensorScatter")}
    for pair in sorted(updated ^ set(g.spec.aliases)):
        where = (
            "is updated in place but not declared"
            if pair in updated
            else "is declared but not updated in place"
        )
        yield f"{pair[0]} -> {pair[1]}", f"this pair {where} as sharing a buffer; build the bundle again"


RULES = (
    Rule("attention-lengths-ignored", "error", ignored_lengths),
    Rule("attention-window-ignored", "error", ignored_windows),
    Rule("attention-cache-operands", "error", cache_operands),
    Rule("attention-scores-changed", "error", scores_changed),
    Rule("attention-causal", "error", causal_masks),
    Rule("attention-operands", "error", operand_forms),
    Rule("attention-no-fused-kernel", "warning", fused_kernels),
    Rule("cache-form", "error", cache_forms),
    Rule("cache-not-input-and-output", "error", cache_ends),
    Rule("cache-length-varies", "error", cache_lengths),
    Rule("cache-pairs", "error", cache_pairs),
)
