"""Another voice's weights into an engine that exists, without a build. Opt-in.

TensorRT 11.3 may lose the bias of a matrix product in a refittable engine, and TensorRT for RTX makes such engines only
where there is a driver. What a refit gives is never trusted: `sovits_engines.refit_voice` checks it before it counts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx

from sovits_engines.weights import read_weight
from sovits_runtime.backends.trt_api import RTX, TrtApi
from sovits_runtime.bundle.engine_store import EngineRecord, read_plan
from sovits_runtime.errors import BackendError
from sovits_runtime.gpu import driver

BROKEN_VERSION = "11.3."
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def require_refit(api: TrtApi) -> None:
    """Checks that refittable engines can be built and refitted.

    Raises:
        BackendError: This TensorRT cannot here, or is known to do it wrong.
    """
    if api.flavour != RTX and api.version.startswith(BROKEN_VERSION):
        raise BackendError(
            f"{api.title} may lose biases in refittable engines (a known defect of 11.3); use another version, or "
            "build one engine a voice"
        )
    problem = driver.driver_problem(cuda=api.cuda) if api.flavour == RTX else ""
    if problem:
        raise BackendError(
            f"{api.title} makes refittable engines only on a machine with a GPU: {problem}; build them there, or one "
            "engine a voice here"
        )


def weights_signature(model: onnx.ModelProto, folder: Path) -> str:
    """Digest of all of a graph but the values of its weights: equal where a refit can do.

    Args:
        folder: Where weights lie that are not in it. Whole numbers, which say sizes and places, are read.
    """
    weights = sorted(
        [
            t.name,
            t.data_type,
            list(t.dims),
            None if t.data_type in _FLOATS else read_weight(t, folder).tolist(),
        ]
        for t in model.graph.initializer
    )
    nodes = [node.SerializeToString(deterministic=True).hex() for node in model.graph.node]
    return hashlib.sha256(json.dumps([weights, nodes]).encode()).hexdigest()


def refitted_plan(api: TrtApi, record: EngineRecord, model: onnx.ModelProto, *, path: Path) -> memoryview:
    """Puts another voice's weights into an engine.

    Args:
        api: The TensorRT that built it.
        record: A refittable engine.
        model: The other voice's copy of the same graph.
        path: Where that came from; its weights lie beside.

    Returns:
        The plan of the refitted engine, itself refittable. Nobody has compared yet what it computes.

    Raises:
        BackendError: There is no driver, the engine cannot be refitted, or the voice's graph is another.
    """
    require_refit(api)
    if record.built.get("weights") != weights_signature(model, path.parent):
        raise BackendError(
            f"{path}: differs from the graph that {record.plan} was built from in more than its weights; convert the "
            "voice with --like, or build engines for it"
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
    taken = parser_refitter.refit_from_bytes(model.SerializeToString(), str(path))
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
    serialization = engine.create_serialization_config()
    serialization.set_flag(trt.SerializationFlag.INCLUDE_REFIT)
    return memoryview(engine.serialize_with_config(serialization))
