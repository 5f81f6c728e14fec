"""What results that are kept for a processor depend on, whatever is kept: part of their keys."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sovits_runtime.backends.processor import processor_features
from sovits_runtime.machine import read_machine
from sovits_runtime.machine.onnx_runtime import load_onnxruntime


@lru_cache(maxsize=1)
def machine_fields() -> Mapping[str, Any]:
    """ONNX Runtime, system and processor, here and now."""
    machine = processor_features(read_machine())
    return {
        "onnxruntime": load_onnxruntime().__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": machine.cpu,
        "features": list(machine.features),
    }
