"""The file that says what stays FP32: read by `convert --keep`, or refused in one line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sovits_calibration.fp32_nodes import Fp32Node
from sovits_exporter.cli.main import main
from sovits_exporter.precision.keep import read_keep, write_keep
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import content_digest
from sovits_runtime.errors import BundleError


@pytest.fixture(scope="module")
def source(tiny_bundle):
    return Bundle.open(tiny_bundle)


@pytest.fixture
def keep(source, tmp_path):
    path = tmp_path / "keep.json"
    write_keep(path, source, {"prompt_tokens": [node_of(source, "prompt_tokens", "Conv")]})
    return path


def node_of(bundle, graph, op):
    import onnx_ir as ir

    node = next(n for n in ir.load(bundle.graph_path(graph)).graph if n.op_type == op)
    return Fp32Node(node.outputs[0].name, op, "kept")


def changed(path, **fields):
    """The file with other content, sealed anew."""
    content = {k: v for k, v in json.loads(path.read_text()).items() if k != "digest"} | fields
    path.write_text(json.dumps({**content, "digest": content_digest(content)}))
    return path


def test_convert_keeps_what_the_file_names(source, tmp_path):
    """In a shared part too, and in the graph that reads the same weights."""
    nodes = {"gpt_step": [node_of(source, "gpt_step", "Gemm")], "hubert": [node_of(source, "hubert", "Conv")]}
    write_keep(tmp_path / "keep.json", source, nodes)
    output = str(tmp_path / "kept")
    command = ["convert", str(source.path), "--fp16", "--no-verify", "--keep", str(tmp_path / "keep.json")]
    result = CliRunner().invoke(main, [*command, "-o", output])
    assert result.exit_code == 0, result.output
    islands = Bundle.open(output).manifest["precision"]["islands"]
    for graph, (node,) in nodes.items():
        (found,) = [i for i in islands[graph] if i["node"] == node.node]
        assert (found["reason"], found["detail"]) == ("kept", "named by keep.json")
    twin = {i["detail"] for i in islands["gpt_prefill"] if i["reason"] == "shared"}
    assert any("which another graph keeps in FP32" in detail for detail in twin)
    assert "named by keep.json" in CliRunner().invoke(main, ["inspect", output]).output


def test_what_was_written_is_read(source, keep):
    kept = read_keep(keep, source)
    assert [(n.op, n.reason) for n in kept["prompt_tokens"]] == [("Conv", "kept")]
    write_keep(keep, source, {})
    assert read_keep(keep, source) == {}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.write_text(p.read_text().replace("prompt_tokens", "gpt_step")), "was changed by hand"),
        (lambda p: p.write_text('{"a": 1}'), "is not a file of parts to keep in FP32"),
        (lambda p: p.write_text("[" * 100_000), "deeply"),
        (lambda p: p.unlink(), "keep.json"),
        (lambda p: changed(p, schema=2), "has schema 2, this version reads 1"),
        (lambda p: changed(p, graphs={"gpt_step": "all"}), "does not say which parts"),
        (lambda p: changed(p, graphs={"gpt": []}), "names graph 'gpt'"),
        (lambda p: changed(p, graphs={"gpt_step": [{"node": "x", "op": "Conv"}]}), "names Conv x of graph gpt_step"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_in_one_line(source, keep, spoil, message, tmp_path):
    spoil(keep)
    command = ["convert", str(source.path), "--fp16", "--keep", str(keep), "-o", str(tmp_path / "new")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_what_is_no_such_file_is_not_written_over(source, tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text('{"my": "work"}')
    with pytest.raises(BundleError, match=r"is not a file of parts to keep"):
        write_keep(mine, source, {})
    assert mine.read_text() == '{"my": "work"}'


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--precision", "int8"), "goes with --fp16"), (("--fp16", "--like", "other"), "give one of them")],
)
def test_it_goes_with_fp16_alone(source, keep, options, message, tmp_path):
    command = ["convert", str(source.path), "--keep", str(keep), "-o", str(tmp_path / "new"), *options]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert message in result.stderr
