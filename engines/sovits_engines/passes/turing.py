"""FP32 matrix products in other words, for Turing.

TensorRT for RTX 1.7 compiles no FP32 matrix product for compute capability 7.5. It does compile FP32 convolutions,
which compute the same sums where one operand is a constant matrix, and multiplications with a sum for the rest. The
latter are slow, and stand only where calibration keeps attention scores in FP32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from sovits_engines.passes.attention import tensor_types
from sovits_engines.weights import read_weight

NO_FP32_PRODUCTS = {(7, 5)}
"""Compute capabilities for which TensorRT for RTX has no FP32 matrix product."""


def without_fp32_products(model: onnx.ModelProto, folder: Path) -> list[str]:
    """Replaces, in place, FP32 MatMul, and FP32 Gemm by a constant matrix.

    Args:
        model: The graph.
        folder: Where its external weights lie; those of the products are read and become part of the model.

    Returns:
        Names of the nodes that were replaced.
    """
    return _Rewrite(model, folder).run()


class _Rewrite:
    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        self.graph = model.graph
        self.folder = folder
        self.types = tensor_types(model)
        self.initializers = {t.name: t for t in model.graph.initializer}
        self.producers = {name: node for node in model.graph.node for name in node.output}
        self.nodes: list[onnx.NodeProto] = []

    def run(self) -> list[str]:
        done = []
        for node in self.graph.node:
            if node.op_type in ("MatMul", "Gemm") and self._is_fp32(node) and self._replace(node):
                done.append(node.name or node.output[0])
            else:
                self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        return done

    def _is_fp32(self, node: onnx.NodeProto) -> bool:
        return node.output[0] in self.types and self.types[node.output[0]].elem_type == onnx.TensorProto.FLOAT

    def _replace(self, node: onnx.NodeProto) -> bool:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if any(attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta")) or attributes.get("transA"):
            return False
        left, right = (self._matrix(name) for name in node.input[:2])
        if right is not None and self._rank(node.input[0]) in (2, 3):
            kernel = right if attributes.get("transB") else right.T
            self._right(node, kernel)
        elif left is not None and node.op_type == "MatMul" and self._rank(node.input[1]) == 3:
            self._add(node, "Conv", [node.input[1], self._kernel(node, left)], node.output[0])
        elif node.op_type == "MatMul" and min(map(self._rank, node.input)) >= 2:
            self._sums(node)
        else:
            return False
        return True

    def _sums(self, node: onnx.NodeProto) -> None:
        """The product element by element: [.., M, 1, K] times [.., 1, N, K], summed over K."""
        left, right = map(self._rank, node.input)
        turned = [*range(right - 2), right - 1, right - 2]
        rows = self._add(node, "Unsqueeze", [node.input[0], self._axis(node, left - 1)], "rows")
        columns = self._add(node, "Transpose", [node.input[1]], "turned", perm=turned)
        columns = self._add(node, "Unsqueeze", [columns, self._axis(node, right - 2)], "columns")
        terms = self._add(node, "Mul", [rows, columns], "terms")
        last = self._axis(node, max(left, right))
        sums = self._add(node, "ReduceSum", [terms, last], "sums")
        self._add(node, "Squeeze", [sums, last], node.output[0])

    def _right(self, node: onnx.NodeProto, kernel: NDArray[np.float32]) -> None:
        """Rows times a constant: the columns of the rows become the channels of a convolution."""
        rows, made = node.input[0], node.output[0]
        flat = self._rank(rows) == 2
        if flat:
            rows = self._add(node, "Unsqueeze", [rows, self._axis(node)], "batched")
        channels = self._add(node, "Transpose", [rows], "channels", perm=[0, 2, 1])
        inputs = [channels, self._kernel(node, kernel), *(node.input[2:3] if len(node.input) > 2 else [])]
        sums = self._add(node, "Conv", inputs, "sums")
        result = self._add(node, "Transpose", [sums], "rows" if flat else made, perm=[0, 2, 1])
        if flat:
            self._add(node, "Squeeze", [result, self._axis(node)], made)

    def _add(
        self, node: onnx.NodeProto, op: str, inputs: list[str], output: str, *, perm: list[int] | None = None
    ) -> str:
        name = output if output == node.output[0] else f"{node.output[0]}/{output}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{name}/{op}", perm=perm))
        return name

    def _axis(self, node: onnx.NodeProto, axis: int = 0) -> str:
        return self._constant(f"{node.output[0]}/axis{axis}", np.array([axis]))

    def _kernel(self, node: onnx.NodeProto, matrix: NDArray[np.float32]) -> str:
        return self._constant(f"{node.output[0]}/kernel", np.ascontiguousarray(matrix[:, :, None]))

    def _constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(value, name)
            self.graph.initializer.append(self.initializers[name])
        return name

    def _rank(self, name: str) -> int:
        return len(self.types[name].shape.dim) if name in self.types else 0

    def _matrix(self, name: str) -> NDArray[np.float32] | None:
        """The value of a constant matrix, perhaps one that the graph transposes or casts; None for anything else."""
        producer = self.producers.get(name)
        if producer is not None and producer.op_type in ("Transpose", "Cast"):
            matrix = self._matrix(producer.input[0])
            if matrix is None:
                return None
            return matrix.T if producer.op_type == "Transpose" else matrix.astype(np.float32)
        tensor = self.initializers.get(name)
        if tensor is None or len(tensor.dims) != 2:
            return None
        return read_weight(tensor, self.folder)
