"""Rules on operators: which there are, and which of their forms."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from sovits_engines.lint.graph import Complaint, LintGraph, Rule, attribute, operand, title
from sovits_engines.lint.operator_names import DATA_DEPENDENT, RANDOM, SUPPORTED

OLDEST_OPSET, NEWEST_OPSET = 9, 24
LARGEST_K = 3840
_REDUCE = tuple(
    f"Reduce{kind}"
    for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
)
_RESIZE = {
    "mode": {b"nearest", b"linear"},
    "coordinate_transformation_mode": {
        *(b"half_pixel", b"pytorch_half_pixel", b"tf_half_pixel_for_nn"),
        *(b"asymmetric", b"align_corners"),
    },
    "nearest_mode": {b"floor", b"ceil", b"round_prefer_floor", b"round_prefer_ceil"},
    "keep_aspect_ratio_policy": {b"stretch"},
}


def unsupported(g: LintGraph) -> Iterator[Complaint]:
    """Operators that TensorRT does not know."""
    for node in g.nodes:
        if node.domain not in ("", "ai.onnx"):
            yield (
                title(node),
                f"TensorRT knows no operators of domain {node.domain}; export with official ones",
            )
        elif node.op_type not in SUPPORTED and node.op_type not in (*RANDOM, *DATA_DEPENDENT):
            yield (
                title(node),
                f"TensorRT does not support {node.op_type}; write it with operators that it does",
            )


def opsets(g: LintGraph) -> Iterator[Complaint]:
    """The range of opsets that is read."""
    for opset in g.model.opset_import:
        if opset.domain in ("", "ai.onnx") and not OLDEST_OPSET <= opset.version <= NEWEST_OPSET:
            yield (
                f"opset {opset.version}",
                f"TensorRT reads opsets {OLDEST_OPSET} to {NEWEST_OPSET}; export with one of these",
            )


def random_draws(g: LintGraph) -> Iterator[Complaint]:
    """Noise must be an input."""
    for node in g.of(*RANDOM):
        yield title(node), "TensorRT ignores its seed or refuses it; draw outside and make the noise an input"


def data_dependent_shapes(g: LintGraph) -> Iterator[Complaint]:
    """Sizes that depend on values."""
    for node in g.of(*DATA_DEPENDENT):
        yield (
            title(node),
            "the size of its output depends on values, which TensorRT for RTX refuses and no CUDA graph can capture; "
            "use masks of a fixed size",
        )


def sorted_best(g: LintGraph) -> Iterator[Complaint]:
    """TopK with a small constant K, sorted."""
    for node in g.of("TopK"):
        k = g.value(operand(node, 1)) if operand(node, 1) else None
        if operand(node, 1) and operand(node, 1) not in g.constant_names:
            yield (
                title(node),
                "TensorRT wants a constant K for a result of fixed size; take the largest and mask",
            )
        elif k is not None and int(k.ravel()[0]) > LARGEST_K:
            yield title(node), f"K is {int(k.ravel()[0])}, TensorRT takes up to {LARGEST_K}; split the axis"
        if attribute(node, "sorted", 1) != 1:
            yield title(node), "TensorRT wants sorted=1"


def running_sums(g: LintGraph) -> Iterator[Complaint]:
    """The axis of CumSum is constant."""
    for node in g.of("CumSum"):
        if operand(node, 1) not in g.constant_names:
            yield title(node), "TensorRT wants a constant axis"


def axes(g: LintGraph) -> Iterator[Complaint]:
    """Axes given as a tensor are constant."""
    for node in g.of(*_REDUCE, "Squeeze", "Unsqueeze"):
        if operand(node, 1) and operand(node, 1) not in g.constant_names:
            yield title(node), "TensorRT wants constant axes"


def resizing(g: LintGraph) -> Iterator[Complaint]:
    """The forms of Resize that there are."""
    for node in g.of("Resize"):
        for name, known in _RESIZE.items():
            value = attribute(node, name)
            if value is not None and value not in known:
                supported = ", ".join(sorted(k.decode() for k in known))
                yield title(node), f"{name} is {value.decode()}, TensorRT 10.15 has {supported}"
        if attribute(node, "antialias", 0):
            yield title(node), "TensorRT has no antialias"


def negative_pads(g: LintGraph) -> Iterator[Complaint]:
    """Transposed convolutions are not cropped by negative pads."""
    for node in g.of("ConvTranspose"):
        if any(pad < 0 for pad in attribute(node, "pads", ())):
            yield title(node), "TensorRT refuses negative pads; pad or slice the result"


def norm_outputs(g: LintGraph) -> Iterator[Complaint]:
    """Mean and deviation of a LayerNormalization are not given."""
    for node in g.of("LayerNormalization"):
        if any(list(node.output)[1:]):
            yield title(node), "TensorRT gives the first output only; compute mean and deviation apart"


def pool_indices(g: LintGraph) -> Iterator[Complaint]:
    """Nor are the places where a MaxPool found its values."""
    for node in g.of("MaxPool"):
        if any(list(node.output)[1:]):
            yield title(node), "TensorRT gives the first output only; find the places with ArgMax"


def scatter_reductions(g: LintGraph) -> Iterator[Complaint]:
    """What is scattered replaces."""
    for node in g.of("ScatterND", "ScatterElements"):
        if attribute(node, "reduction", b"none") != b"none":
            yield title(node), "TensorRT supports reduction none only; add with Where or a one-hot product"


def boolean_reductions(g: LintGraph) -> Iterator[Complaint]:
    """Booleans are not reduced."""
    for node in g.of(*_REDUCE):
        if g.kind(operand(node, 0)) == onnx.TensorProto.BOOL:
            yield title(node), "TensorRT does not reduce BOOL; cast it to INT32 first"


def training(g: LintGraph) -> Iterator[Complaint]:
    """Graphs are for inference."""
    for node in g.of("Dropout"):
        mode = g.value(operand(node, 2))
        if operand(node, 2) and (mode is None or mode.any()):
            yield title(node), "TensorRT wants training_mode to be the constant false; export for inference"
    for node in g.of("BatchNormalization"):
        if attribute(node, "training_mode", 0):
            yield title(node), "TensorRT refuses training_mode; export for inference"


def transforms(g: LintGraph) -> Iterator[Complaint]:
    """STFT in FP32 with constant step and window."""
    for node in g.of("STFT"):
        if g.kind(operand(node, 0)) not in (0, 1):
            yield title(node), "TensorRT has STFT in FP32 only; put a Cast before it"
        if any(operand(node, i) and operand(node, i) not in g.constant_names for i in (1, 2)):
            yield title(node), "TensorRT wants constant frame_step and window"


def loops(g: LintGraph) -> Iterator[Complaint]:
    """Loops with a condition; their results must not grow."""
    for node in g.of("Loop"):
        if not operand(node, 1):
            yield title(node), "TensorRT refuses a Loop without a condition; give it a constant true"
        body = attribute(node, "body")
        if len(body.output) > len(body.input) - 1:
            yield (
                title(node),
                "TensorRT wants results whose length is known; loop on the host, one run a step",
            )


def branches(g: LintGraph) -> Iterator[Complaint]:
    """Both branches give tensors of one rank."""
    for node in g.of("If"):
        pairs = zip(attribute(node, "then_branch").output, attribute(node, "else_branch").output, strict=True)
        for a, b in pairs:
            ranks = g.rank(a.name), g.rank(b.name)
            if None not in ranks and ranks[0] != ranks[1]:
                yield (
                    title(node),
                    f"its branches give {ranks[0]} and {ranks[1]} axes; TensorRT wants one rank",
                )


RULES = (
    Rule("operator", "error", unsupported),
    Rule("opset", "error", opsets),
    Rule("random", "error", random_draws),
    Rule("data-dependent-shape", "error", data_dependent_shapes),
    Rule("topk", "error", sorted_best),
    Rule("cumsum-axis", "error", running_sums),
    Rule("constant-axes", "error", axes),
    Rule("resize", "error", resizing),
    Rule("conv-transpose-pads", "error", negative_pads),
    Rule("norm-outputs", "error", norm_outputs),
    Rule("max-pool-indices", "error", pool_indices),
    Rule("scatter-reduction", "error", scatter_reductions),
    Rule("reduce-bool", "error", boolean_reductions),
    Rule("training-mode", "error", training),
    Rule("stft", "error", transforms),
    Rule("loop", "error", loops),
    Rule("if-ranks", "error", branches),
)
