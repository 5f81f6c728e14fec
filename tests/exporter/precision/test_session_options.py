"""Layers are tried and graphs measured under the session options that voices run with."""

import onnx_ir as ir
import pytest

from sovits_calibration import measure
from sovits_exporter.precision import int8_search
from sovits_runtime.backends.onnxruntime import ort_options
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.machine.onnx_runtime import EXACT_INT8, SPINNING, load_onnxruntime

ENTRIES = (*SPINNING, EXACT_INT8[0])


@pytest.fixture
def options_of(monkeypatch):
    """What a module would open an empty model with."""

    def look(module, open_it):
        seen = []
        monkeypatch.setattr(module, "open_model", lambda *_, options, what: seen.append(options))
        open_it(ir.Model(ir.Graph([], [], nodes=[], name="vocoder", opset_imports={"": 20}), ir_version=10))
        return seen[0]

    return look


def entries(options):
    return {name: options.get_session_config_entry(name) for name in ENTRIES}


def test_int8_layers_are_timed_as_they_run(options_of):
    running = ort_options(load_onnxruntime(), SessionOptions(threads=3))
    tried = options_of(int8_search, lambda model: int8_search._open(model, 3))
    assert entries(tried) == entries(running)
    assert tried.intra_op_num_threads == running.intra_op_num_threads == 3
    assert tried.graph_optimization_level == running.graph_optimization_level


def test_calibration_computes_int8_exactly_and_on_the_cores_that_are_allowed(options_of, tmp_path):
    running = ort_options(load_onnxruntime(), SessionOptions())
    measured = options_of(measure, lambda model: measure.open_in_memory(model, tmp_path))
    assert entries(measured) == entries(running)
    assert measured.intra_op_num_threads == running.intra_op_num_threads
