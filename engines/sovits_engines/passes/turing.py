"""FP32 matrix products written in other operators, for Turing GPUs.

TensorRT for RTX 1.7 compiles no FP32 matrix product for compute capability 7.5. It does compile FP32 convolutions,
which compute the same sums where one operand is a constant matrix, and multiplications with a sum for the rest. The
latter are slow, and stand only where calibration keeps attention scores in FP32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sovits_engines.passes.edits import constant, take_place
from sovits_engines.passes.model_file import map_tensor
from sovits_engines.passes.tensor_types import tensor_types

NO_FP32_PRODUCTS = {(7, 5)}
"""Compute capabilities for which TensorRT for RTX has no FP32 matrix product."""


def without_fp32_products(model: ir.Model, *, folder: Path) -> bool:
    """Replaces FP32 MatMul, and FP32 Gemm by a constant matrix.

    Args:
        folder: Where its external weights lie; those of the products are read and become part of the model.
    """
    products = [n for n in model.graph if n.op_type in ("MatMul", "Gemm")]
    return bool(products) and _Rewrite(model, folder).run(products)


class _Rewrite:
    def __init__(self, model: ir.Model, folder: Path) -> None:
        self.graph = model.graph
        self.folder = folder
        self.types = tensor_types(model)

    def run(self, products: list[ir.Node]) -> bool:
        return any([self._is_fp32(node) and self._replace(node) for node in products])

    def _is_fp32(self, node: ir.Node) -> bool:
        return self._type(node.outputs[0]).dtype == ir.DataType.FLOAT

    def _replace(self, node: ir.Node) -> bool:
        plain = all(node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta"))
        if not plain or node.attributes.get_int("transA"):
            return False
        left, right = (self._matrix(value) for value in node.inputs[:2])
        ranks = [self._rank(value) for value in node.inputs[:2]]
        if right is not None and ranks[0] in (2, 3):
            new = self._right(node, right if node.attributes.get_int("transB") else right.T)
        elif left is not None and node.op_type == "MatMul" and ranks[1] == 3:
            new = self._add(node, "Conv", [node.inputs[1], self._kernel(node, left)], "")
        elif node.op_type == "MatMul" and min(ranks) >= 2:
            new = self._sums(node, *ranks)
        else:
            return False
        producer = new.producer()
        assert producer is not None
        take_place(producer, node)
        return True

    def _sums(self, node: ir.Node, left: int, right: int) -> ir.Value:
        """The product element by element: [.., M, 1, K] times [.., 1, N, K], summed over K."""
        turned = [*range(right - 2), right - 1, right - 2]
        rows = self._add(node, "Unsqueeze", [node.inputs[0], self._axis(node, left - 1)], "rows")
        columns = self._add(node, "Transpose", [node.inputs[1]], "turned", perm=turned)
        columns = self._add(node, "Unsqueeze", [columns, self._axis(node, right - 2)], "columns")
        terms = self._add(node, "Mul", [rows, columns], "terms")
        last = self._axis(node, max(left, right))
        sums = self._add(node, "ReduceSum", [terms, last], "sums")
        return self._add(node, "Squeeze", [sums, last], "")

    def _right(self, node: ir.Node, kernel: NDArray[np.float32]) -> ir.Value:
        """Rows times a constant: the columns of the rows become the channels of a convolution."""
        rows = node.inputs[0]
        flat = self._rank(rows) == 2
        if flat:
            rows = self._add(node, "Unsqueeze", [rows, self._axis(node)], "batched")
        channels = self._add(node, "Transpose", [rows], "channels", perm=[0, 2, 1])
        sums = self._add(node, "Conv", [channels, self._kernel(node, kernel), *node.inputs[2:3]], "sums")
        result = self._add(node, "Transpose", [sums], "rows" if flat else "", perm=[0, 2, 1])
        return self._add(node, "Squeeze", [result, self._axis(node)], "") if flat else result

    def _add(
        self,
        node: ir.Node,
        op: str,
        inputs: list[ir.Value | None],
        name: str,
        *,
        perm: list[int] | None = None,
    ) -> ir.Value:
        """Puts an operator before the product; the one without a name of its own gives the product's result."""
        own = node.outputs[0].name or ""
        name = f"{own}/{name}" if name else own
        new = ir.node(op, inputs, attributes={"perm": perm} if perm else {}, name=f"{name}/{op}")
        new.outputs[0].name = name
        self.graph.insert_before(node, new)
        return new.outputs[0]

    def _axis(self, node: ir.Node, axis: int = 0) -> ir.Value:
        return constant(self.graph, f"{node.outputs[0].name}/axis{axis}", np.array([axis]))

    def _kernel(self, node: ir.Node, matrix: NDArray[np.float32]) -> ir.Value:
        numbers = np.ascontiguousarray(matrix[:, :, None])
        return constant(self.graph, f"{node.outputs[0].name}/kernel", numbers)

    def _type(self, value: ir.Value) -> ir.Value:
        return self.types.get(value.name or "", value)

    def _rank(self, value: ir.Value | None) -> int:
        shape = None if value is None else self._type(value).shape
        return 0 if shape is None else len(shape)

    def _matrix(self, value: ir.Value | None) -> NDArray[np.float32] | None:
        """The value of a constant matrix, perhaps one that the graph transposes or casts; None for anything else."""
        if value is None:
            return None
        producer = value.producer()
        if producer is not None and producer.op_type in ("Transpose", "Cast"):
            matrix = self._matrix(producer.inputs[0])
            if matrix is None:
                return None
            return matrix.T if producer.op_type == "Transpose" else matrix.astype(np.float32)
        tensor = value.const_value if value.is_initializer() else None
        if tensor is None or len(tensor.shape) != 2:
            return None
        whole = map_tensor(tensor, self.folder) if isinstance(tensor, ir.ExternalTensor) else tensor
        numbers: NDArray[np.float32] = np.array(whole.numpy())
        return numbers
