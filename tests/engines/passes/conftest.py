"""Graphs of a few nodes, written as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

ORT = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""


@pytest.fixture(scope="session")
def parse() -> Callable[..., ir.Model]:
    """Makes a model of ONNX's text form, its types inferred, with named weights."""

    def make(text: str, *, opset: int = 24, **weights: np.ndarray) -> ir.Model:
        parsed = onnx.parser.parse_model(
            f'<ir_version: 10, opset_import: ["" : {opset}, "{ORT}" : 1]> g {text}'
        )
        parsed.graph.initializer.extend(onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
        if all(node.domain != ORT for node in parsed.graph.node):
            del parsed.opset_import[1:]
        return ir.from_proto(onnx.shape_inference.infer_shapes(parsed, strict_mode=True))

    return make


@pytest.fixture(scope="session")
def compute() -> Callable[..., dict[str, np.ndarray]]:
    """Checks a model and runs it on ONNX Runtime."""

    def run(model: ir.Model, **feeds: Any) -> dict[str, np.ndarray]:
        proto = ir.to_proto(model)
        onnx.checker.check_model(proto, full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        names = [v.name for v in session.get_outputs()]
        given = {v.name: feeds[v.name] for v in session.get_inputs()}
        return dict(zip(names, session.run(names, given), strict=True))

    return run
