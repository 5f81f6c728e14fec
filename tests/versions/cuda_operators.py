"""Which operators ONNX Runtime 1.26 gives to its CUDA provider, by the version of the standard that defines them.

Seen, not read: the package for GPUs opened graphs of every version and told where it put each node, on a machine
whose CUDA libraries were replaced by ones that do nothing. Newer definitions of Reshape, Cast, Equal, Sin, Cos,
Softplus, ConvTranspose and InstanceNormalization went to the CPU, those of other operators were not tried.
"""

from __future__ import annotations

from pathlib import Path

import onnx

NEWEST = {
    "Abs": 13, "Add": 14, "And": 7, "ArgMax": 13, "Cast": 19, "Clip": 13, "Concat": 13, "Conv": 11, "ConvTranspose": 11,
    "Cos": 7, "CumSum": 14, "Div": 14, "Equal": 13, "Exp": 13, "Expand": 13, "Floor": 13, "Gather": 13,
    "GatherElements": 13, "Gelu": 20, "Gemm": 13, "GreaterOrEqual": 16, "Identity": 16, "InstanceNormalization": 6,
    "LayerNormalization": 17, "LeakyRelu": 16, "Less": 13, "LessOrEqual": 16, "MatMul": 13, "Min": 13, "Mod": 13,
    "Mul": 14, "Neg": 13, "Or": 7, "PRelu": 16, "Pad": 19, "Range": 11, "ReduceMean": 18, "ReduceSum": 13, "Relu": 14,
    "Reshape": 19, "ScatterElements": 18, "Shape": 19, "Sigmoid": 13, "Sign": 13, "Sin": 7, "Slice": 13, "Softmax": 13,
    "Softplus": 1, "Split": 18, "Sqrt": 13, "Squeeze": 13, "Sub": 14, "Tanh": 13, "TopK": 11, "Transpose": 13,
    "Unsqueeze": 13, "Where": 16,
}  # fmt: skip
FUNCTIONS = {"Mish": 18}
"""Written out by ONNX Runtime in operators above."""


def without_kernel(path: Path) -> set[str]:
    """Operators of a graph that ONNX Runtime would not compute on a GPU."""
    model = onnx.load(path, load_external_data=False)
    (opset,) = (o.version for o in model.opset_import if not o.domain)
    known = NEWEST | FUNCTIONS
    found = {n.op_type for n in model.graph.node}
    return {
        f"{op} of opset {since}"
        for op in found
        if (since := onnx.defs.get_schema(op, opset).since_version) > known.get(op, 0)
    }
