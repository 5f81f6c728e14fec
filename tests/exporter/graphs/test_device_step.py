"""The GPT's graphs for a GPU, as bundles hold them."""

from __future__ import annotations

import shutil

import onnx
import onnxruntime
import pytest

from sovits_engines.passes.self_feeding_step import self_feeding_step
from sovits_exporter.graphs import device_step as device_graphs
from sovits_exporter.graphs.device_step import write_device_graph, write_rows_graph
from sovits_runtime.bundle import DEVICE_FILE, ROWS_FILE, Bundle
from sovits_runtime.errors import BundleError, VerificationError
from sovits_runtime.t2s.device_step import batch_step_spec, device_step_spec, rows_spec, step_sizes

ON_THE_HOST = {"Shape", "Size", "Range", "NonZero", "ConstantOfShape", "If", "Loop"}
"""Operators that ONNX Runtime's CUDA provider computes on the host, or that wait for the device.

That it has kernels for the others is shown in tests/versions.
"""


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return Bundle.open(tiny_bundle)


def test_they_take_and_give_what_the_runtime_expects(bundle):
    step = bundle.graph_spec("gpt_step")
    for name, form, spec in (
        ("gpt_prefill.device", DEVICE_FILE, rows_spec(bundle.graph_spec("gpt_prefill"))),
        ("gpt_step.device", DEVICE_FILE, device_step_spec(step, 512)),
        ("gpt_step.rows", ROWS_FILE, batch_step_spec(step, 512)),
    ):
        path = bundle.graph_path(name.partition(".")[0], form=form)
        assert path.name == f"{name}.onnx"
        assert str(path.relative_to(bundle.path)) in bundle.manifest["files"]
        graph = onnx.load(path, load_external_data=False).graph
        assert [i.name for i in graph.input] == list(spec.input_names)
        assert [o.name for o in graph.output] == list(spec.output_names)
        kept = {n for node in graph.node for n in node.input}
        assert {t.name for t in graph.initializer} <= kept
        places = {e.value for t in graph.initializer for e in t.external_data if e.key == "location"}
        assert places == {"gpt.weights"}


@pytest.mark.parametrize(("form", "rows"), [(DEVICE_FILE, 1), (ROWS_FILE, 1), (ROWS_FILE, 8)])
def test_a_step_of_fixed_sizes_needs_no_host(bundle, tmp_path, form, rows):
    """With the sizes fixed, ONNX Runtime computes everything about sizes when it opens the graph."""
    shutil.copytree(bundle.path / "graphs", tmp_path / "graphs")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "graphs" / "optimized.onnx")
    for dim, size in (step_sizes(512) | {"batch": rows}).items():
        options.add_free_dimension_override_by_name(dim, size)
    path = tmp_path / "graphs" / bundle.graph_path("gpt_step", form=form).name
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    model = onnx.load(options.optimized_model_filepath, load_external_data=False)
    operators = {node.op_type for node in model.graph.node}
    assert "ScatterElements" in operators
    assert not operators & ON_THE_HOST


def swapped(model, *, spec, **form):
    """Keys and values of the first layer in each other's place."""
    self_feeding_step(model, spec=spec, **form)
    split = next(node for node in model.graph if node.op_type == "Split")
    readers = [[use.node for use in part.uses()] for part in split.outputs]
    for part, nodes in zip(split.outputs[1:], reversed(readers[1:]), strict=True):
        for node in nodes:
            node.replace_input_with(0, part)
    return True


def quieter(model, *, spec, **form):
    """Noise of another step."""
    self_feeding_step(model, spec=spec, **form)
    text_len = next(value for value in model.graph.inputs if value.name == "text_len")
    next(node for node in model.graph if node.name == "device_row").replace_input_with(0, text_len)
    return True


@pytest.mark.parametrize(
    ("wrong", "name"), [(swapped, "k_cache_0_out|logits"), (quieter, "next_token|next_")]
)
def test_a_form_that_computes_something_else_is_refused(bundle, tmp_path, monkeypatch, wrong, name):
    shutil.copytree(bundle.path / "graphs", tmp_path / "graphs")
    monkeypatch.setitem(device_graphs.DEVICE_PASSES, "gpt_step", wrong)
    with pytest.raises(VerificationError, match=rf"its form for a GPU differs in ({name})"):
        write_device_graph(tmp_path / "graphs" / "gpt_step.onnx", bundle.graph_spec("gpt_step"))


def shared(model, *, spec, **form):
    """Noise of the first row for all."""
    self_feeding_step(model, spec=spec, **form)
    row = next(node.outputs[0] for node in model.graph if node.name == "device_row")
    next(node for node in model.graph if node.name == "device_noise").replace_input_with(1, row)
    return True


def endless(model, *, spec, **form):
    """Rows that stopped count on."""
    self_feeding_step(model, spec=spec, **form)
    after = next(node.outputs[0] for node in model.graph if node.name == "device_after")
    next(node for node in model.graph if node.name == "device_next_step").replace_input_with(1, after)
    return True


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (swapped, "k_cache_0_out|logits|next_token"),
        (quieter, "next_token|next_"),
        (shared, "next_token|next_"),
        (endless, "next_step"),
    ],
)
def test_rows_that_differ_from_each_alone_are_refused(bundle, tmp_path, monkeypatch, wrong, name):
    shutil.copytree(bundle.path / "graphs", tmp_path / "graphs")
    monkeypatch.setattr(device_graphs, "self_feeding_step", wrong)
    with pytest.raises(
        VerificationError, match=rf"its form for a batch of rows on a GPU differs in ({name})"
    ):
        write_rows_graph(tmp_path / "graphs" / "gpt_step.onnx", bundle.graph_spec("gpt_step"))


def test_another_graph_is_refused(bundle, tmp_path):
    shutil.copytree(bundle.path / "graphs", tmp_path / "graphs")
    shutil.copy(tmp_path / "graphs" / "sovits_vocoder.onnx", tmp_path / "graphs" / "gpt_step.onnx")
    with pytest.raises(BundleError, match="expected a gpt_step"):
        write_device_graph(tmp_path / "graphs" / "gpt_step.onnx", bundle.graph_spec("gpt_step"))
