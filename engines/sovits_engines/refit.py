"""Another voice's weights into an engine that exists, without a build. Opt-in, and with TensorRT's own flavour only.

TensorRT for RTX cannot do it without a driver, and TensorRT 11.3 may lose the bias of a matrix product in a refittable
engine. What a refit gives is therefore never trusted: the caller's check runs before the engine is given out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import onnx

from sovits_engines.trt_graph import TrtGraph
from sovits_runtime.engine_store import EngineRecord, read_plan
from sovits_runtime.errors import BackendError
from sovits_runtime.trt_api import ENTERPRISE, TrtApi

BROKEN_VERSION = "11.3."


def require_refit(api: TrtApi) -> None:
    """Checks that refittable engines can be built and refitted.

    Raises:
        BackendError: This TensorRT cannot, or is known to do it wrong.
    """
    if api.flavour != ENTERPRISE:
        raise BackendError(
            f"{api.title} does not refit engines; use TensorRT (--flavour trt), or build one engine a voice"
        )
    if api.version.startswith(BROKEN_VERSION):
        raise BackendError(
            f"{api.title} may lose biases in refittable engines (a known defect of 11.3); use another version, or "
            "build one engine a voice"
        )


def weights_signature(model: onnx.ModelProto) -> str:
    """Digest of names, types and shapes of a graph's weights, and of its nodes: equal where a refit can do."""
    weights = sorted([t.name, t.data_type, list(t.dims)] for t in model.graph.initializer)
    nodes = [node.SerializeToString(deterministic=True).hex() for node in model.graph.node]
    return hashlib.sha256(json.dumps([weights, nodes]).encode()).hexdigest()


def refit_engine(
    api: TrtApi, record: EngineRecord, *, voice: TrtGraph, check: Callable[[Any], None]
) -> memoryview:
    """Puts another voice's weights into an engine.

    Args:
        api: The TensorRT that built it.
        record: A refittable engine.
        voice: The same graph of the other voice.
        check: Runs the refitted engine, a deserialized TensorRT engine, on the voice's golden values and raises where
            it differs.

    Returns:
        The plan of the refitted engine, itself refittable.

    Raises:
        BackendError: There is no driver, the engine cannot be refitted, or the voice's graph is another.
    """
    require_refit(api)
    model = voice.model(decompose_all=bool(record.built.get("fused_attention_refused")))
    if record.built.get("weights") != weights_signature(model):
        raise BackendError(
            f"{record.plan}: its weights differ from those of {voice.path} in name, shape or type; build an engine for "
            "this voice"
        )
    trt, logger = api.module, api.log_collector()
    runtime = api.runtime(logger)
    engine = runtime.deserialize_cuda_engine(read_plan(record))
    if engine is None or not engine.refittable:
        why = "; ".join(logger.errors) or "it was built without --refittable"
        raise BackendError(
            f"{record.plan}: {api.title} cannot refit it ({why}); build it again with --refittable"
        )
    refitter = trt.Refitter(engine, logger)
    parser_refitter = trt.OnnxParserRefitter(refitter, logger)
    taken = parser_refitter.refit_from_bytes(model.SerializeToString(), str(voice.path))
    missing = list(refitter.get_missing_weights()) if taken else []
    if not taken or missing or not refitter.refit_cuda_engine():
        why = (
            f"no values for {', '.join(missing[:4])}"
            if missing
            else "; ".join(logger.errors) or "no reason given"
        )
        raise BackendError(
            f"{record.plan}: {api.title} did not refit it ({why}); build an engine for this voice"
        )
    check(engine)
    serialization = engine.create_serialization_config()
    serialization.set_flag(trt.SerializationFlag.INCLUDE_REFIT)
    return memoryview(engine.serialize_with_config(serialization))
