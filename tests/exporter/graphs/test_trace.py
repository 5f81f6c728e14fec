"""An architecture is traced once; each module keeps its own weights."""

import numpy as np
import pytest
import torch
from torch import nn

from sovits_exporter.graphs import trace as trace_module
from sovits_exporter.graphs.export import export_graph
from sovits_exporter.graphs.files import write_models
from sovits_exporter.graphs.graph_def import GraphDef
from sovits_exporter.graphs.trace import architecture
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec
from sovits_runtime.bundle.session import SessionOptions


class Scaled(nn.Module):
    """A linear layer whose slope is a plain setting and whose shift is a buffer outside the state dict."""

    def __init__(self, seed: int, slope: float, width: int = 3) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.slope = slope
        self.linear = nn.Linear(width, 40)
        self.register_buffer("shift", torch.randn(40), persistent=False)

    def forward(self, x):
        return nn.functional.leaky_relu(self.linear(x) + self.shift.T, self.slope)


def graph_of(module: nn.Module, width: int = 3) -> GraphDef:
    spec = GraphSpec(
        "scaled",
        (TensorSpec("x", "float32", ("rows", width)),),
        (TensorSpec("y", "float32", ("rows", 40)),),
        (DimRange("rows", 1, 4, 8),),
    )
    return GraphDef(spec, module, "scaled", {"rows": 5}, ({"rows": 1},))


def no_trace(graph):
    raise AssertionError("traced again")


def test_the_second_module_of_an_architecture_is_not_traced_and_has_its_own_weights(monkeypatch, tmp_path):
    first, second = graph_of(Scaled(1, 0.25)), graph_of(Scaled(2, 0.25))
    models = [export_graph(first)]
    monkeypatch.setattr(trace_module, "_export", no_trace)
    models.append(export_graph(second))
    models.append(export_graph(first))
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    outputs = []
    for i, (model, graph) in enumerate(zip(models, (first, second, first), strict=True)):
        (tmp_path / str(i)).mkdir()
        path = write_models([model], tmp_path / str(i), "scaled")[0]
        outputs.append(open_session(path, graph.spec, options=SessionOptions()).run({"x": x})["y"])
        np.testing.assert_allclose(outputs[-1], graph.run({"x": x})["y"], rtol=1e-5, atol=1e-6)
    assert np.abs(outputs[0] - outputs[1]).max() > 0.1
    np.testing.assert_array_equal(outputs[0], outputs[2])


@pytest.mark.parametrize(
    "other",
    [
        graph_of(Scaled(1, 0.5)),
        graph_of(Scaled(1, 0.25, width=4), width=4),
        graph_of(Scaled(1, 0.25).double()),
    ],
    ids=["setting", "shape", "dtype"],
)
def test_what_changes_the_trace_changes_the_architecture(other):
    assert architecture(graph_of(Scaled(7, 0.25))) == architecture(graph_of(Scaled(1, 0.25)))
    assert architecture(other) != architecture(graph_of(Scaled(1, 0.25)))


class Turned(nn.Module):
    """Weights that are used cut and turned, which folding makes new weights of."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.table = nn.Parameter(torch.randn(2, 40, 3))

    def forward(self, x):
        return x @ self.table[0].T + x @ self.table[1].T


def test_folded_weights_are_named_after_their_origin():
    found = []
    for seed in (1, 2):
        model = export_graph(graph_of(Turned(seed)))
        found.append({name: v.const_value.numpy() for name, v in model.graph.initializers.items()})
    first, second = found
    assert set(first) == set(second) == {"table.gather.transpose", "table.gather.2.transpose"}
    table = Turned(1).table.detach().numpy()
    np.testing.assert_array_equal(first["table.gather.2.transpose"], table[1].T)
    assert np.abs(first["table.gather.transpose"] - second["table.gather.transpose"]).max() > 0.1
