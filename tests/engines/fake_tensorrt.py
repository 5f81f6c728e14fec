"""A TensorRT that builds in no time: plans are random bytes. Environment variables switch its behaviour.

FAKE_TENSORRT_LOG: a file that gets a line a build. FAKE_TENSORRT_SECONDS: how long a build takes.
FAKE_TENSORRT_FAILS: what the builder logs as its error where attention is not written out.
"""

import enum
import os
import time
from types import SimpleNamespace

import onnx

__version__ = "1.7.1.116"


class ComputeCapability(enum.Enum):
    SM75 = 0
    SM86 = 1
    SM89 = 2
    SM120 = 3
    CURRENT = 4


class BuilderFlag(enum.Enum):
    TF32 = 0
    REQUIRE_USER_ALLOCATION = 1
    REFIT = 2


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class IProgressMonitor:
    pass


class OnnxParser:
    def __init__(self, network, logger):
        self.network, self.num_errors = network, 0

    def parse(self, model, path):
        self.network.model = onnx.load_from_string(model)
        return True


class Builder:
    def __init__(self, logger):
        self.logger = logger

    def create_network(self, flags):
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return SimpleNamespace(model=None, num_layers=1, get_layer=lambda i: _LAYER)

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return SimpleNamespace(set_shape=lambda *shape: None)

    def build_serialized_network(self, network, config):
        config.progress_monitor.phase_start("Building engine", None, 1)
        if log := os.environ.get("FAKE_TENSORRT_LOG"):
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"{network.model.graph.name}\n")
        time.sleep(float(os.environ.get("FAKE_TENSORRT_SECONDS", 0)))
        fails = os.environ.get("FAKE_TENSORRT_FAILS")
        if fails and any(node.op_type == "Attention" for node in network.model.graph.node):
            self.logger.log(ILogger.ERROR, fails)
            return None
        config.progress_monitor.step_complete("Building engine", 0)
        return os.urandom(1 << 16)


class TimingCache:
    """Counts builds. One that says "elsewhere" is refused, as one of another GPU is."""

    def __init__(self, blob):
        self.blob = blob

    def serialize(self):
        return b"timings %d" % (int(self.blob.split()[1]) + 1 if self.blob else 1)


class Config:
    def __init__(self):
        self.flags = {BuilderFlag.TF32}

    def create_timing_cache(self, blob):
        return TimingCache(blob)

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch
        if cache.blob.startswith(b"elsewhere"):
            return False
        self.timing_cache = cache
        return True

    def get_timing_cache(self):
        return self.timing_cache

    def add_optimization_profile(self, profile):
        pass

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def set_flag(self, flag):
        self.flags.add(flag)

    def set_compute_capability(self, capability, index):
        assert isinstance(capability, ComputeCapability)
        assert index < self.num_compute_capabilities


_LAYER = SimpleNamespace(
    type=SimpleNamespace(name="CONVOLUTION"),
    get_output=lambda i: SimpleNamespace(dtype=SimpleNamespace(name="HALF")),
)
