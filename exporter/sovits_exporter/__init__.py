"""Official GPT-SoVITS checkpoint in, verified bundle out (needs torch and onnx)."""

import sovits_runtime as _runtime  # noqa: F401 - turns telemetry off before any other import
