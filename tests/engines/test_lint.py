"""Each rule has a graph that breaks it and one that does not; the project's own graphs break none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from sovits_engines.lint import PARSER, RULES, lint_bundle, lint_file, lint_model
from sovits_engines.trt_builder import BuildOptions, EngineRefused, build_engine
from sovits_exporter.cli import main
from sovits_runtime.errors import BackendError, BundleError
from sovits_runtime.graph import DimRange, GraphSpec, TensorSpec
from sovits_runtime.trt_api import RTX, TrtApi, load_api

F32, F16, F64, I64, U8, BOOL = (
    getattr(TensorProto, name) for name in ("FLOAT", "FLOAT16", "DOUBLE", "INT64", "UINT8", "BOOL")
)


def op(name, inputs, outputs="y", **attributes):
    outputs = outputs.split()
    return helper.make_node(name, inputs.split(","), outputs, name=f"the_{name}", **attributes)


def graph(nodes, inputs, outputs=None, constants=None, *, spec=None, opset=24):
    """A model: inputs and outputs as name -> (type, shape), constants as name -> array."""
    ends = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in values.items()]
        for values in (inputs, outputs or {"y": (F32, None)})
    ]
    weights = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    made = helper.make_graph(nodes, "g", *ends, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=11), spec


X = {"x": (F32, [2, 4])}
QKV = {name: (F16, [1, 2, "n", 32]) for name in "qkv"}
CACHE = {"c": (F16, [1, 2, 64, 32]), "u": (F16, [1, 2, 1, 32]), "i": (I64, [1])}
OUT = {"y": (F16, None)}


def attend(inputs="q,k,v", extra=None, types=QKV, outputs="y", **attributes):
    given = {**types, **(extra or {})}
    return graph([op("Attention", inputs, outputs, **attributes)], given, {"y": (types["q"][0], None)})


def scatter(types=CACHE, outputs=None, nodes=(), constants=None, spec=None, into="c", **attributes):
    made = op("TensorScatter", f"{into},u,i", "o", **{"axis": -2, "mode": "linear", **attributes})
    return graph([*nodes, made], types, outputs or {"o": (F16, [1, 2, 64, 32])}, constants, spec=spec)


def cache_spec(*aliases):
    inputs = (TensorSpec("c", "float16", (1, 2, 64, 32)), TensorSpec("u", "float16", (1, 2, 1, 32)))
    output = TensorSpec("o", "float16", (1, 2, 64, 32))
    return GraphSpec("g", (*inputs, TensorSpec("i", "int64", (1,))), (output,), (), aliases)


def branch(name, value):
    made = helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))
    return helper.make_graph([made], name, [], [helper.make_tensor_value_info(name, F32, value.shape)])


def choose(a, b):
    node = op("If", "c", then_branch=branch("a", np.float32(a)), else_branch=branch("b", np.float32(b)))
    return graph([node], {"c": (BOOL, [])})


def loop(condition, *, grows):
    t = helper.make_tensor_value_info
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in (("go", "again"), ("s", "t"))]
    results = [t("again", BOOL, []), t("t", F32, [2]), *([t("r", F32, [2])] if grows else [])]
    if grows:
        nodes.append(helper.make_node("Identity", ["s"], ["r"]))
    body = helper.make_graph(nodes, "body", [t("n", I64, []), t("go", BOOL, []), t("s", F32, [2])], results)
    node = op("Loop", f"m,{condition},x", "y r_all" if grows else "y", body=body)
    return graph([node], {"x": (F32, [2])}, None, {"m": np.int64(3), "true": np.bool_(True)})


def resize(**attributes):
    node = op("Resize", "x,,s", **attributes)
    return graph([node], {"x": (F32, [1, 1, 4])}, None, {"s": np.float32([1, 1, 2])})


def dims_spec(*names):
    dims = tuple(DimRange(n, 1, 2, 4) for n in names)
    return GraphSpec("g", (TensorSpec("x", "float32", tuple(names)),), (), dims)


MASK = {"m": (BOOL, [1, 1, 1, "n"])}
W = np.ones((4, 4), np.float32)
CASES = {
    "operator": (
        graph([op("Det", "x")], {"x": (F32, [2, 2])}),
        graph([op("Sin", "x")], X),
    ),
    "opset": (graph([op("Sin", "x")], X, opset=8), graph([op("Sin", "x")], X, opset=17)),
    "random": (
        graph([op("RandomNormalLike", "x")], X),
        graph([op("Add", "x,noise")], {**X, "noise": (F32, [2, 4])}),
    ),
    "data-dependent-shape": (
        graph([op("NonZero", "x")], X, {"y": (I64, None)}),
        graph([op("Greater", "x,zero")], X, {"y": (BOOL, None)}, {"zero": np.float32(0)}),
    ),
    "topk": (
        graph([op("TopK", "x,k", "y i")], {"x": (F32, [2, 5000])}, None, {"k": [4000]}),
        graph([op("TopK", "x,k", "y i")], {"x": (F32, [2, 5000])}, None, {"k": [1025]}),
    ),
    "cumsum-axis": (
        graph([op("CumSum", "x,a")], {**X, "a": (I64, [])}),
        graph([op("CumSum", "x,a")], X, None, {"a": np.int64(1)}),
    ),
    "constant-axes": (
        graph([op("ReduceSum", "x,a")], {**X, "a": (I64, [1])}),
        graph([op("ReduceSum", "x,a")], X, None, {"a": [1]}),
    ),
    "resize": (resize(mode="cubic"), resize(mode="linear")),
    "conv-transpose-pads": (
        graph([op("ConvTranspose", "x,w", pads=[-1, -1])], {"x": (F32, [1, 1, 4])}, None, {"w": W[None, :1]}),
        graph([op("ConvTranspose", "x,w", pads=[1, 1])], {"x": (F32, [1, 1, 4])}, None, {"w": W[None, :1]}),
    ),
    "norm-outputs": (
        graph([op("LayerNormalization", "x,s", "y mean")], X, None, {"s": W[0]}),
        graph([op("LayerNormalization", "x,s")], X, None, {"s": W[0]}),
    ),
    "scatter-reduction": (
        graph([op("ScatterND", "x,i,u", reduction="add")], {**X, "u": (F32, [1, 4])}, None, {"i": [[0]]}),
        graph([op("ScatterND", "x,i,u")], {**X, "u": (F32, [1, 4])}, None, {"i": [[0]]}),
    ),
    "stft": (
        graph([op("STFT", "x,s,w")], {"x": (F32, [1, 64, 1]), "s": (I64, [])}, None, {"w": W[0]}),
        graph([op("STFT", "x,s,w")], {"x": (F32, [1, 64, 1])}, None, {"w": W[0], "s": np.int64(2)}),
    ),
    "loop": (loop("", grows=False), loop("true", grows=False)),
    "if-ranks": (choose([1, 2], [[1, 2]]), choose([1, 2], [3, 4])),
    "attention-lengths-ignored": (
        attend("q,k,v,,,,len", {"len": (I64, [1])}),
        attend("q,k,v,m", MASK),
    ),
    "attention-window-ignored": (attend(left_window_size=4), attend()),
    "attention-cache-operands": (
        attend("q,k,v,,pk,pv", {n: (F16, [1, 2, 8, 32]) for n in ("pk", "pv")}, outputs="y ok ov"),
        attend(),
    ),
    "attention-scores-changed": (attend(softcap=30.0), attend(softcap=0.0)),
    "attention-causal": (
        graph(
            [op("TensorScatter", "c,u,i", "o", axis=-2), op("Attention", "u,o,o", is_causal=1)],
            CACHE,
            {"o": (F16, [1, 2, 64, 32]), "y": (F16, None)},
        ),
        graph(
            [op("Identity", "x", "k"), op("Attention", "x,k,k", is_causal=1)],
            {"x": (F16, [1, 2, "n", 32])},
            OUT,
        ),
    ),
    "attention-operands": (
        attend("q,k,v,m", {"m": (F32, [1, 1, 1, "n"])}),
        attend("q,k,v,m", {"m": (F16, [1, 1, 1, "n"])}),
    ),
    "attention-no-fused-kernel": (
        attend(types={name: (F32, [1, 2, "n", 32]) for name in "qkv"}),
        attend(types={n: (F32, [1, 4, 1 if n == "q" else "n", 32]) for n in "qkv"}),
    ),
    "cache-form": (scatter(mode="circular"), scatter()),
    "cache-not-input-and-output": (
        scatter(nodes=[op("Neg", "c", "d")], into="d"),
        scatter(),
    ),
    "cache-length-varies": (scatter({**CACHE, "c": (F16, [1, 2, "rows", 32])}), scatter()),
    "cache-pairs": (scatter(spec=cache_spec()), scatter(spec=cache_spec(("c", "o")))),
    "operand-types": (
        graph([op("Add", "x,h")], {**X, "h": (F16, [2, 4])}),
        graph([op("Cast", "h", "f", to=F32), op("Add", "x,f")], {**X, "h": (F16, [2, 4])}),
    ),
    "norm-types": (
        graph([op("LayerNormalization", "x,s")], {"x": (F16, [2, 4])}, OUT, {"s": W[0]}),
        graph([op("LayerNormalization", "x,s")], {"x": (F16, [2, 4])}, OUT, {"s": W[0].astype(np.float16)}),
    ),
    "double": (
        graph([op("Sin", "x")], {"x": (F64, [2])}, {"y": (F64, None)}),
        graph([op("Sin", "x")], X),
    ),
    "uint8-inside": (
        graph([op("Identity", "x", "i"), op("Cast", "i", to=F32)], {"x": (U8, [2])}),
        graph([op("Cast", "x", to=F32)], {"x": (U8, [2])}),
    ),
    "fp16-constant": (
        graph([op("Add", "x,w")], {"x": (F16, [2])}, OUT, {"w": np.float16(-np.inf)}),
        graph([op("Add", "x,w")], {"x": (F16, [2])}, OUT, {"w": np.float16(-3e4)}),
    ),
    "fp16-cast": (
        graph(
            [op("Cast", "w", "h", to=F16), op("Add", "x,h")], {"x": (F16, [2])}, OUT, {"w": np.float32(-1e9)}
        ),
        graph(
            [op("Cast", "w", "h", to=F16), op("Add", "x,h")], {"x": (F16, [2])}, OUT, {"w": np.float32(-3e4)}
        ),
    ),
    "fp16-mask": (
        graph([op("Add", "x,w")], {"x": (F16, [2])}, OUT, {"w": np.float16(-65504)}),
        graph([op("Add", "x,w")], {"x": (F16, [2])}, OUT, {"w": np.float16(-3e4)}),
    ),
    "profile": (
        graph([op("Sin", "x")], {"x": (F32, ["n", "m"])}, spec=dims_spec("n")),
        graph([op("Sin", "x")], {"x": (F32, ["n", "m"])}, spec=dims_spec("n", "m")),
    ),
    "shape-input": (
        graph([op("Expand", "x,n")], {"x": (F32, [1]), "n": (I64, [1])}),
        graph([op("Shape", "z", "n"), op("Expand", "x,n")], {"x": (F32, [1]), "z": (F32, ["n"])}),
    ),
    "weight-names": (
        graph(
            [op("MatMul", "x,val_107")],
            {"x": (F32, [1, 64])},
            None,
            {"val_107": np.ones((64, 64), np.float32)},
        ),
        graph(
            [op("MatMul", "x,fc.weight")],
            {"x": (F32, [1, 64])},
            None,
            {"fc.weight": np.ones((64, 64), np.float32)},
        ),
    ),
}
MORE = {
    "operator": [
        graph(
            [helper.make_node("FusedMatMul", ["x", "x"], ["y"], domain="com.microsoft")], {"x": (F32, [2, 2])}
        )
    ],
    "topk": [
        graph([op("TopK", "x,k", "y i", sorted=0)], X, None, {"k": [2]}),
        graph([op("TopK", "x,k", "y i")], {**X, "k": (I64, [1])}),
    ],
    "stft": [graph([op("STFT", "x,s,w")], {"x": (F16, [1, 64, 1])}, None, {"w": W[0], "s": np.int64(2)})],
    "loop": [loop("true", grows=True)],
    "resize": [resize(mode="linear", antialias=1)],
    "attention-causal": [attend("q,k,v,m", MASK, is_causal=1)],
    "attention-operands": [attend("q,k,v,m", {"m": (BOOL, [1, "n"])})],
    "cache-form": [scatter({**CACHE, "c": (F16, [1, 64, 32]), "u": (F16, [1, 1, 32])})],
    "profile": [graph([op("Sin", "x")], {"x": (F32, [None, 2])})],
    "weight-names": [
        graph(
            [op("Add", "x,onnx::Add_12")],
            {"x": (F32, [2048])},
            None,
            {"onnx::Add_12": np.ones(2048, np.float32)},
        )
    ],
}


def rules_broken(case, parser=None) -> set[str]:
    model, spec = case
    return {f.rule for f in lint_model(model, Path(), name="g", spec=spec, parser=parser)}


def test_every_rule_has_its_pair():
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert set(CASES) == set(ids)


@pytest.mark.parametrize("rule", CASES)
def test_broken_rule_is_found_and_nothing_where_it_is_kept(rule):
    bad, good = CASES[rule]
    assert rule in rules_broken(bad)
    assert rules_broken(good) == set()


@pytest.mark.parametrize(("rule", "i"), [(rule, i) for rule in MORE for i in range(len(MORE[rule]))])
def test_other_ways_to_break_it(rule, i):
    assert rule in rules_broken(MORE[rule][i])


def test_findings_name_the_node_and_what_to_do():
    model, _ = CASES["attention-lengths-ignored"][0]
    (finding,) = lint_model(model, Path(), name="voice")
    assert (finding.graph, finding.level, finding.where) == ("voice", "error", "Attention the_Attention")
    assert "boolean attn_mask" in finding.message


def test_nodes_of_inner_graphs_are_looked_at():
    inner = helper.make_graph(
        [helper.make_node("Det", ["m"], ["a"], name="inside")],
        "a",
        [],
        [helper.make_tensor_value_info("a", F32, [])],
    )
    node = op("If", "c", then_branch=inner, else_branch=branch("b", np.float32(1)))
    model, _ = graph([node], {"c": (BOOL, []), "m": (F32, [2, 2])})
    found = lint_model(model, Path(), name="g")
    assert [f.where for f in found if f.rule == "operator"] == ["Det inside"]


@pytest.fixture(scope="module")
def rtx() -> TrtApi:
    try:
        return load_api(RTX)
    except BackendError as error:
        pytest.skip(str(error))


SILENT = {
    *(
        "attention-lengths-ignored",
        "attention-window-ignored",
        "attention-causal",
    ),
    *(
        "fp16-constant",
        "fp16-cast",
        "fp16-mask",
        "random",
        "double",
        "shape-input",
        "weight-names",
        "profile",
    ),
    *("cache-pairs", "opset", "resize"),
}
"""Rules for what TensorRT for RTX 1.7 builds all the same, and computes wrong, or does not know enough to refuse."""


@pytest.mark.parametrize("rule", sorted(set(CASES) - SILENT))
def test_tensorrt_refuses_what_the_rules_say_it_does(rtx, rule):
    (bad, _), (good, _) = CASES[rule]
    build(rtx, good)
    with pytest.raises(EngineRefused):
        build(rtx, bad)


def build(api, model):
    """Parses and builds, with a range for each size that varies."""
    inputs, names = [], set()
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
        inputs.append(TensorSpec(value.name, helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape))
        names |= {d for d in shape if isinstance(d, str)}
    spec = GraphSpec("g", tuple(inputs), (), tuple(DimRange(n, 1, 4, 8) for n in names))
    build_engine(api, model, path=Path("g.onnx"), spec=spec, capability=(8, 9), options=BuildOptions())


def test_errors_of_the_real_parser_come_under_their_own_rule(rtx):
    findings = lint_model(CASES["operator"][0][0], Path(), name="g", parser=rtx)
    assert [f.rule for f in findings] == ["operator", PARSER]
    assert findings[1].where == "Det the_Det"
    assert "TensorRT for RTX" in findings[1].message


def test_own_bundles_are_clean(runnable_bundle, rtx):
    assert lint_bundle(runnable_bundle, parser=rtx) == []


def test_graphs_as_exported_need_what_the_engine_build_does_to_them(runnable_bundle):
    rules = {f.rule for f in lint_file(runnable_bundle.graph_path("gpt_prefill"))}
    assert rules == {"cache-length-varies", "attention-no-fused-kernel"}


def test_what_is_no_graph_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no graph at all")
    (tmp_path / "b.onnx").write_bytes(b"")
    for name in ("a.onnx", "b.onnx"):
        with pytest.raises(BundleError, match="not an ONNX file"):
            lint_file(tmp_path / name)


def test_command_says_what_it_found(tmp_path, runnable_bundle):
    onnx.save(CASES["attention-lengths-ignored"][0][0], tmp_path / "bad.onnx")
    result = CliRunner().invoke(main, ["lint", str(tmp_path / "bad.onnx")])
    assert result.exit_code == 1
    assert "error bad: Attention the_Attention [attention-lengths-ignored] TensorRT ignores" in result.stdout
    as_json = CliRunner().invoke(main, ["lint", "--json", str(tmp_path / "bad.onnx")])
    assert json.loads(as_json.stdout)["findings"][0]["rule"] == "attention-lengths-ignored"
    clean = CliRunner().invoke(main, ["lint", str(runnable_bundle.path)])
    assert (clean.exit_code, "0 errors" in clean.stdout) == (0, True)


def test_command_without_tensorrt_says_that_only_rules_were_asked(tmp_path, monkeypatch):
    def absent(flavour):
        raise BackendError("TensorRT for RTX is not installed")

    monkeypatch.setattr("sovits_runtime.trt_api.load_api", absent)
    onnx.save(CASES["operator"][1][0], tmp_path / "good.onnx")
    result = CliRunner().invoke(main, ["lint", str(tmp_path / "good.onnx")])
    assert result.stdout == "0 errors, 0 warnings (rules only: TensorRT for RTX is not installed)\n"
