"""Lint of files from strangers: deep graphs, inner graphs, functions, weights that lie elsewhere or are missing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto

from sovits_engines.lint import PARSER, lint_file, lint_model
from sovits_engines.weights import read_weight
from sovits_exporter.cli.main import main
from sovits_runtime.backends.trt_api import RTX, load_api
from sovits_runtime.errors import BackendError, BundleError

DEEP = 3000


def parse(graph: str, functions: str = "") -> onnx.ModelProto:
    opsets = '"" : 20, "mine" : 1' if functions else '"" : 20'
    return onnx.parser.parse_model(f"<ir_version: 10, opset_import: [{opsets}]> {graph} {functions}")


def found(model: onnx.ModelProto, folder: Path = Path()) -> set[tuple[str, str]]:
    return {(f.rule, f.where) for f in lint_model(model, folder, name="g")}


def chain(first: str, length: int) -> str:
    """Each tensor the sum of the one before and itself: a deep graph, and 2 to the power of its length ways through."""
    names = [first, *(f"t{i}" for i in range(length))]
    return " ".join(f"{b} = Add({a}, {a})" for a, b in pairwise(names))


@pytest.mark.parametrize("length", [40, DEEP])
def test_deep_graphs_of_constants(length):
    last = f"t{length - 1}"
    model = parse(
        f"g (float[2] x) => (float[1, 2] y) <int64[1] a = {{0}}> {{ {chain('a', length)} y = Unsqueeze(x, {last}) }}"
    )
    assert found(model) == set()


@pytest.mark.parametrize("length", [40, DEEP])
def test_deep_graphs_of_what_comes_in(length):
    last = f"t{length - 1}"
    model = parse(
        f"g (float[1] x, int64[1] n) => (float[m] y) {{ {chain('n', length)} y = Expand(x, {last}) }}"
    )
    assert found(model) == {("shape-input", "n")}


def test_deep_graphs_before_a_cast():
    nodes = " ".join(f"t{i + 1} = Identity(t{i})" for i in range(DEEP))
    model = parse(
        f"g (float16[1] x) => (float16[1] y) <float t0 = {{-1e9}}> "
        f"{{ {nodes} h = Cast <to = 10> (t{DEEP}) y = Add(x, h) }}"
    )
    assert found(model) == {("fp16-cast", "Cast h")}


def test_sizes_that_come_through_inner_graphs():
    model = parse(
        """g (float[1] x, bool c, int64[1] n, int64[1] other) => (float[m] y) {
            s = If (c) <then_branch = a () => (int64[1] r) { r = Add(n, n) },
                        else_branch = b () => (int64[1] q) { z = Shape(other) q = Identity(z) }>
            y = Expand(x, s)
        }"""
    )
    assert found(model) == {("shape-input", "c"), ("shape-input", "n")}


def test_sizes_inside_of_a_loop():
    model = parse(
        """g (float[1] x, int64[1] n) => (float[1] y) <int64 times = {2}, bool go = {1}> {
            y, last = Loop (times, go, x, n) <body = b (int64 i, bool on, float[1] s, int64[1] k)
                => (bool again, float[1] t, int64[1] l) {
                    again = Identity(on) wide = Expand(s, k) t = ReduceSum(wide) l = Identity(k)
                }>
        }"""
    )
    assert ("shape-input", "n") in found(model)


def test_what_a_branch_reads_is_not_constant():
    model = parse(
        """g (float[1, 2] x, int64[1] n) => (float[m] y) <bool c = {1}> {
            a = If (c) <then_branch = a () => (int64[1] r) { r = Identity(n) },
                        else_branch = b () => (int64[1] q) { q = Neg(n) }>
            y = ReduceSum(x, a)
        }"""
    )
    assert ("constant-axes", "ReduceSum y") in found(model)


def test_circles_are_reported():
    model = parse("g (float[2] x) => (float[2] y) { a = Add(x, b) b = Neg(a) y = Sin(b) }")
    assert found(model) == {("node-order", "Add a")}


def test_unsorted_nodes_are_what_onnx_refuses():
    model = parse("g (float[2] x) => (float[2] y) { y = Sin(a) a = Neg(x) }")
    assert found(model) == {("node-order", "Sin y")}
    with pytest.raises(onnx.checker.ValidationError, match="topologically sorted"):
        onnx.checker.check_model(model)


def test_rules_look_into_functions():
    model = parse(
        "g (float[2, 2] x) => (float y) { y = mine.Area(x) }",
        '<domain: "mine", opset_import: ["" : 20]> Area (a) => (b) { b = Det(a) }',
    )
    assert {rule for rule, _ in found(model)} == {"operator"}


def test_functions_in_a_circle_are_refused():
    model = parse(
        "g (float[2] x) => (float[2] y) { y = mine.Again(x) }",
        '<domain: "mine", opset_import: ["" : 20, "mine" : 1]> Again (a) => (b) { b = mine.Again(a) }',
    )
    with pytest.raises(BundleError, match="functions cannot be written out"):
        found(model)


@pytest.fixture
def far(tmp_path):
    """A graph file whose mask of -1e9 lies in a file of this name."""

    def write(location: str, kind: int = TensorProto.FLOAT) -> Path:
        model = parse(
            "g (float16[4] x) => (float16[4] y) <float[4] w = {0, 0, 0, 0}> "
            "{ h = Cast <to = 10> (w) a = Add(x, h) y = Sin(a) }"
        )
        (weight,) = model.graph.initializer
        weight.ClearField("float_data")
        weight.ClearField("raw_data")
        weight.data_type, weight.data_location = kind, TensorProto.EXTERNAL
        if location:
            weight.external_data.add(key="location", value=location)
        path = tmp_path / "graph" / "far.onnx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(model.SerializeToString())
        return path

    return write


def put_mask(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.full(4, -1e9, np.float32).tofile(path)


@pytest.mark.parametrize("location", ["w.bin", "sub/w.bin", "sub/deeper/w.bin"])
def test_weights_in_folders_below_are_read(far, location):
    path = far(location)
    put_mask(path.parent / location)
    assert [f.rule for f in lint_file(path)] == ["fp16-cast"]


@pytest.mark.parametrize("location", ["../w.bin", "sub/../../w.bin", "{root}/w.bin", ""])
def test_weights_elsewhere_are_not_read(far, tmp_path, location):
    put_mask(tmp_path / "w.bin")
    (tmp_path / "graph" / "sub").mkdir(parents=True)
    location = location.format(root=tmp_path)
    (finding,) = lint_file(far(location))
    assert (finding.rule, finding.level, finding.where) == ("weights-missing", "warning", location or "w")


def test_missing_and_cut_weights_are_named_and_the_rest_is_checked(far, monkeypatch):
    def absent(flavour):
        raise BackendError("TensorRT for RTX is not installed")

    monkeypatch.setattr("sovits_runtime.backends.trt_api.load_api", absent)
    path = far("sub/gone.bin")
    for complaint in ("No such file", "greater than file size"):
        result = CliRunner().invoke(main, ["lint", str(path)])
        assert (result.exit_code, complaint in result.stdout) == (0, True)
        assert result.stdout.startswith("warning far: sub/gone.bin [weights-missing] weights cannot be read")
        (path.parent / "sub").mkdir(exist_ok=True)
        (path.parent / "sub/gone.bin").write_bytes(b"\0")
    model = onnx.load(path, load_external_data=False)
    model.graph.node[-1].op_type = "Det"
    path.write_bytes(model.SerializeToString())
    assert [f.rule for f in lint_file(path)] == ["weights-missing", "operator"]


def test_strings_in_files_are_not_taken_for_pointers(far):
    path = far("w.bin", TensorProto.STRING)
    (path.parent / "w.bin").write_bytes(b"\xff" * 64)
    assert {"weights-missing", "string"} <= {f.rule for f in lint_file(path)}


def test_numbers_that_do_not_fit_their_shape_are_unknown():
    model = parse("g (float[4] x) => (float[4] y) <float[4] w = {0, 0, 0, 0}> { y = Mul(x, w) }")
    (weight,) = model.graph.initializer
    weight.ClearField("float_data")
    weight.raw_data = b"1234"
    assert found(model) == {("weights-missing", "w")}


def test_the_parser_is_asked_where_all_weights_are_there(far):
    try:
        rtx = load_api(RTX)
    except BackendError as error:
        pytest.skip(str(error))
    path = far("sub/w.bin")
    model = onnx.load(path, load_external_data=False)
    model.graph.node[-1].op_type = "Det"
    path.write_bytes(model.SerializeToString())
    assert PARSER not in {f.rule for f in lint_file(path, parser=rtx)}
    put_mask(path.parent / "sub/w.bin")
    assert PARSER in {f.rule for f in lint_file(path, parser=rtx)}


def test_a_bundle_that_was_not_copied_whole_says_so(tmp_path):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    with pytest.raises(BundleError, match=r"weight w cannot be read .*; copy the bundle whole"):
        read_weight(tensor, tmp_path)
