"""ONNX to TensorRT engines: detection, build, cache (needs tensorrt)."""

import sovits_runtime as _runtime  # noqa: F401 - turns telemetry off before any other import
