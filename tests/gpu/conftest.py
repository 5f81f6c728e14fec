"""The fake device, and engines for it: ONNX Runtime on the CPU behind streams."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny(tiny_bundle):
    """The tiny voice, opened as a bundle."""
    from sovits_runtime.bundle import Bundle

    return Bundle.open(tiny_bundle)


@pytest.fixture(scope="session")
def step_models(tiny, tmp_path_factory):
    """Path and spec of the step that feeds itself, by cache length."""
    import onnx

    from sovits_engines.step_graph import device_step

    path = tiny.graph_path("gpt_step")
    model = onnx.load(path)  # the tiny weights fit into the file

    def make(length: int):
        made, spec = device_step(model, tiny.graph_spec("gpt_step"), cache_length=length)
        file = tmp_path_factory.mktemp("steps") / f"step-{length}.onnx"
        onnx.save(made, file)
        return file, spec

    return {length: make(length) for length in (64, 96, 256)}


@pytest.fixture(scope="session")
def gpt_engines(tiny, step_models):
    """GPT engines with three short cache lengths, on ONNX Runtime's CPU provider."""
    from fake_engine import OrtEngine, RowsEngine

    from sovits_runtime.gpu.token_slot import GptEngines

    prefill = RowsEngine(tiny.graph_path("gpt_prefill"), tiny.graph_spec("gpt_prefill"))
    return GptEngines(prefill, tuple(OrtEngine(path, spec) for path, spec in step_models.values()))
