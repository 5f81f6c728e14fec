"""From a torch module to an unoptimised ONNX model; an architecture is traced once a process.

Tracing takes seconds and depends on the architecture alone. The traced model is remembered without its weights, and the
next module of the same architecture (another voice, another graph set) has only its weights put in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import onnx_ir as ir
import torch
from torch import nn

from sovits_exporter.graphs.graph_def import GraphDef
from sovits_exporter.modeling.kv_cache import KV_CACHE_UPDATE

CACHE_OPSET = 24
"""Of graphs with caches: TensorScatter, which updates them in place, and Attention, which TensorRT fuses."""
OPSET = 20
"""Of all others. ONNX Runtime's CUDA provider has kernels for operators as they were in opset 20. Some that are newer
it runs on the CPU, and copies their numbers there and back."""

_traced: dict[str, ir.Model] = {}


def trace(graph: GraphDef) -> ir.Model:
    """Returns the module of `graph` as a model; its initializers are named like the module's parameters and buffers."""
    graph.module.eval()
    key = architecture(graph)
    tensors = _tensors(graph.module)
    if key not in _traced:
        model = _export(graph)
        for name, value in model.graph.initializers.items():
            if name in tensors:
                value.const_value = None
        _traced[key] = model
    model = _traced[key].clone()
    for name, value in model.graph.initializers.items():
        if name in tensors:
            value.const_value = ir.tensor(tensors[name].detach().numpy(), name=name)
    return model


def architecture(graph: GraphDef) -> str:
    """Returns a digest of all that a trace depends on: everything about the graph but the values of its weights."""
    digest = hashlib.sha256(repr((graph.spec, sorted(graph.trace.items()))).encode())
    for name, module in graph.module.named_modules():
        settings = {k: v for k, v in sorted(vars(module).items()) if _is_setting(v)}
        digest.update(repr((name, type(module).__qualname__, settings)).encode())
    for name, tensor in _tensors(graph.module).items():
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
    return digest.hexdigest()


def _is_setting(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_setting, value))
    return value is None or isinstance(value, (bool, int, float, str)) or dataclasses.is_dataclass(value)


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return dict(
        [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    )


def _export(graph: GraphDef) -> ir.Model:
    with _quiet_exporter():
        program = torch.onnx.export(
            graph.module,
            graph.sample(),
            dynamo=True,
            optimize=False,
            opset_version=CACHE_OPSET if graph.spec.aliases else OPSET,
            input_names=list(graph.spec.input_names),
            output_names=list(graph.spec.output_names),
            dynamic_shapes=_dynamic_shapes(graph),
            custom_translation_table=_translation_table(),
            verbose=False,
        )
    assert program is not None
    return program.model


def _translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Our operators in ONNX form, for `torch.onnx.export(custom_translation_table=...)`."""
    from onnxscript.values import Opset

    op = Opset("", CACHE_OPSET)

    def tensor_scatter(cache, update, write_indices):  # type: ignore[no-untyped-def]
        return op.TensorScatter(cache, update, write_indices, axis=-2, mode="linear")

    return {KV_CACHE_UPDATE: tensor_scatter}


def _dynamic_shapes(graph: GraphDef) -> tuple[object, ...]:
    dims = {d.name: torch.export.Dim(d.name, min=d.min, max=max(d.max, 2)) for d in graph.spec.dims}
    shapes: list[object] = [
        {i: dims[d] for i, d in enumerate(t.shape) if isinstance(d, str)} for t in graph.spec.inputs
    ]
    parameters = inspect.signature(graph.module.forward).parameters.values()
    fixed = sum(p.kind is not inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return (*shapes[:fixed], tuple(shapes[fixed:])) if fixed < len(shapes) else tuple(shapes)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
