"""Each rule has a graph that breaks it and one that does not; the project's own graphs break none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from sovits_engines.builder import BuildOptions, EngineRefused, build_engine
from sovits_engines.lint import PARSER, RULES, lint_bundle, lint_file, lint_model
from sovits_exporter.cli.main import main
from sovits_runtime.backends.trt_api import RTX, TrtApi, load_api
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec
from sovits_runtime.errors import BackendError, BundleError

F32, F16, F64, I64, U8, BOOL, TEXT = (
    getattr(TensorProto, name) for name in ("FLOAT", "FLOAT16", "DOUBLE", "INT64", "UINT8", "BOOL", "STRING")
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


def half_mask(*nodes, inputs=None, number=-1e9):
    """A mask made in FP32 by nodes from a number `a` and from `zero`, as `m`, cast to FP16 and added."""
    made = [*nodes, op("Cast", "m", "h", to=F16), op("Add", "x,h")]
    numbers = {"a": number, "zero": 0, "one": 1, "tiny": 1e-6}
    constants = {name: np.float32(value) for name, value in numbers.items()}
    return graph(made, {"x": (F16, [2, 4]), **(inputs or {})}, OUT, {**constants, "s": [2, 4]})


def filled(value, kind):
    """A sum with a tensor that ConstantOfShape fills."""
    fill = op("ConstantOfShape", "s", "h", value=numpy_helper.from_array(np.array([value], kind)))
    return graph([fill, op("Add", "x,h")], {"x": (F16, [2, 4])}, OUT, {"s": [2, 4]})


def constant(node, **form):
    """A node that reads a Constant `c` written in one of its forms."""
    made = helper.make_node("Constant", [], ["c"], **form)
    outputs = {"y": (F32, None)} if node.op_type != "TopK" else {"y": (F32, None), "i": (I64, None)}
    return graph([made, node], {"x": (F32, [2, 4])}, outputs)


def with_functions(name, calls, opset=24):
    """A graph of one node, a function of its own that calls an operator."""
    model, _ = graph([helper.make_node(name, ["x"], ["y"], domain="mine")], X)
    inner = helper.make_node(calls, ["a"], ["b"], domain="mine" if calls == name else "", name="inside")
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)]
    model.functions.append(helper.make_function("mine", name, ["a"], ["b"], [inner], opsets))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    return model, None


def far_weights(location):
    """A graph whose weights lie in a file."""
    model, _ = graph([op("Mul", "x,w")], X, None, {"w": W[:2]})
    move_out(model.graph.initializer[0], location)
    return model, None


def move_out(tensor, location):
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


MASK = {"m": (BOOL, [1, 1, 1, "n"])}
W = np.ones((4, 4), np.float32)
CASES = {
    "operator": (
        graph([op("Det", "x")], {"x": (F32, [2, 2])}),
        graph([op("Sin", "x")], X),
    ),
    "weights-missing": (far_weights("gone.bin"), graph([op("Mul", "x,w")], X, None, {"w": W[:2]})),
    "node-order": (
        graph([op("Sin", "a"), op("Neg", "x", "a")], X),
        graph([op("Neg", "x", "a"), op("Sin", "a")], X),
    ),
    "undefined-tensor": (
        graph([op("Neg", "x", "b"), op("Sin", "a")], X),
        graph([op("Neg", "x", "b"), op("Sin", "b")], X),
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
    "max-pool-indices": (
        graph([op("MaxPool", "x", "y i", kernel_shape=[2])], {"x": (F32, [1, 1, 8])}),
        graph([op("MaxPool", "x", kernel_shape=[2])], {"x": (F32, [1, 1, 8])}),
    ),
    "reduce-bool": (
        graph([op("ReduceMax", "x")], {"x": (BOOL, [2, 4])}, {"y": (BOOL, None)}),
        graph(
            [op("Cast", "x", "i", to=I64), op("ReduceMax", "i")], {"x": (BOOL, [2, 4])}, {"y": (I64, None)}
        ),
    ),
    "training-mode": (
        graph([op("Dropout", "x,r,t")], X, None, {"r": np.float32(0.5), "t": np.bool_(True)}),
        graph([op("Dropout", "x,r,t")], X, None, {"r": np.float32(0.5), "t": np.bool_(False)}),
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
    "string": (
        graph([op("Sin", "x")], {**X, "text": (TEXT, [1])}),
        graph([op("Sin", "x")], {**X, "text": (I64, [1])}),
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
    "scatter-reduction": [
        graph(
            [op("ScatterElements", "x,i,u", reduction="add")], {**X, "i": (I64, [1, 4]), "u": (F32, [1, 4])}
        )
    ],
    "training-mode": [
        graph([op("Dropout", "x,r,t")], {**X, "t": (BOOL, [])}, None, {"r": np.float32(0.5)}),
        graph(
            [op("BatchNormalization", "x,s,s,s,s", "y m v", training_mode=1)],
            {"x": (F32, [1, 4, 8])},
            None,
            {"s": W[0]},
        ),
    ],
    "reduce-bool": [
        graph([op("ReduceMin", "x", "b"), op("Cast", "b", to=F32)], {"x": (BOOL, [2, 4])}),
    ],
    "string": [graph([op("Cast", "x", "s", to=TEXT), op("Cast", "s", to=F32)], X)],
    "uint8-inside": [
        graph([op("Cast", "x", "b", to=U8), op("Cast", "b", to=F32)], X),
        graph([op("Sin", "x", "s"), op("Cast", "s", "b", to=U8), op("Cast", "b", to=F32)], X),
        graph([op("Equal", "x,w")], {"x": (U8, [4])}, {"y": (BOOL, None)}, {"w": np.uint8([1])}),
        graph([op("Gather", "w,x")], {"x": (I64, [2])}, {"y": (U8, None)}, {"w": np.uint8([1, 2])}),
    ],
    "operand-types": [
        graph(
            [op("LSTM", "x,w,w", hidden_size=2)],
            {"x": (F16, [1, 1, 2])},
            OUT,
            {"w": np.ones((1, 8, 2), np.float32)},
        )
    ],
    "double": [
        graph([op("Add", "d,d", "e"), op("Cast", "e", "f", to=F32), op("Mul", "x,f")], X, None, {"d": [0.5]})
    ],
    "fp16-constant": [filled(-np.inf, np.float16)],
    "fp16-cast": [
        half_mask(op("Where", "b,zero,a", "m"), inputs={"b": (BOOL, [2, 4])}),
        half_mask(op("Sub", "one,b", "n"), op("Mul", "n,a", "m"), inputs={"b": (F32, [2, 4])}),
        half_mask(op("Expand", "a,s", "m")),
        half_mask(op("Neg", "a", "n"), op("Expand", "n,s", "e"), op("Concat", "e,e", "m", axis=0)),
        half_mask(op("Mul", "a,a", "m"), number=-300),
        half_mask(helper.make_node("Constant", [], ["m"], value_float=-1e9)),
        half_mask(helper.make_node("Constant", [], ["m"], value_floats=[-1e9, 0.0])),
        half_mask(op("ConstantOfShape", "s", "m", value=helper.make_tensor("v", F32, [1], [-1e9]))),
        half_mask(op("ConstantOfShape", "s", "m", value=helper.make_tensor("v", F32, [1], [-np.inf]))),
        graph(
            [op("CastLike", "a,x", "h"), op("Add", "x,h")], {"x": (F16, [4])}, OUT, {"a": np.float32(-1e9)}
        ),
    ],
    "fp16-mask": [
        filled(-65504, np.float16),
        half_mask(op("Where", "b,zero,a", "m"), inputs={"b": (BOOL, [2, 4])}, number=-65504),
        graph(
            [op("Sub", "one,b", "n"), op("Mul", "n,a", "m"), op("Add", "x,m")],
            {"x": (F16, [2, 4]), "b": (F16, [2, 4])},
            OUT,
            {"one": np.float16(1), "a": np.float16(-65504)},
        ),
    ],
    "shape-input": [
        graph(
            [op("Split", "x,s", "y z", axis=1)],
            {**X, "s": (I64, [2])},
            {"y": (F32, ["n", "m"]), "z": (F32, ["n", "m"])},
        ),
        graph([op("OneHot", "x,d,v")], {"x": (I64, [2]), "d": (I64, [1])}, None, {"v": np.float32([0, 1])}),
        graph([op("Add", "n,n", "m"), op("Expand", "x,m")], {"x": (F32, [1]), "n": (I64, [1])}),
    ],
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

FINE = {
    "axes in value_ints": constant(op("Unsqueeze", "x,c"), value_ints=[0]),
    "axis in value_int": constant(op("CumSum", "x,c"), value_int=1),
    "K in value_ints": constant(op("TopK", "x,c", "y i"), value_ints=[2]),
    "axes by a product": graph([op("Mul", "a,a", "c"), op("Unsqueeze", "x,c")], X, None, {"a": [1]}),
    "powers of another type": graph([op("Pow", "x,e")], {"x": (F16, [2, 4])}, OUT, {"e": np.float32(2)}),
    "whole powers": graph([op("Pow", "x,e")], X, None, {"e": np.int64(2)}),
    "functions": with_functions("Wave", "Sin"),
    "functions of another opset": with_functions("Wave", "Sin", opset=18),
    "bytes that are picked": graph(
        [op("Gather", "w,x", "g"), op("Unsqueeze", "g,a", "u"), op("Cast", "u", to=F32)],
        {"x": (I64, [2])},
        None,
        {"w": np.arange(9, dtype=np.uint8), "a": [0]},
    ),
    "bytes that go through": graph([op("Identity", "x")], {"x": (U8, [2])}, {"y": (U8, None)}),
    "a DOUBLE that nobody reads": graph([op("Sin", "x")], X, None, {"d": [0.5]}),
    "a DOUBLE that is cast": graph(
        [op("Cast", "d", "f", to=F32), op("Mul", "x,f")], {"x": (F32, [4])}, None, {"d": [0.5]}
    ),
    "a mask that FP16 holds": half_mask(
        op("Where", "b,zero,a", "m"), inputs={"b": (BOOL, [2, 4])}, number=-3e4
    ),
    "a mask scaled down": half_mask(
        op("Where", "b,zero,a", "n"), op("Mul", "n,tiny", "m"), inputs={"b": (BOOL, [2, 4])}
    ),
    "small factors": half_mask(
        op("Mul", "b,a", "n"), op("Mul", "n,a", "m"), inputs={"b": (F32, [])}, number=300
    ),
    "a mask made boolean": half_mask(
        op("Where", "b,zero,a", "n"), op("Cast", "n", "m", to=BOOL), inputs={"b": (BOOL, [2, 4])}
    ),
    "a mask that softmax has used": half_mask(
        op("Where", "b,f,a", "n"), op("Softmax", "n", "m"), inputs={"b": (BOOL, [2, 4]), "f": (F32, [2, 4])}
    ),
}
"""What TensorRT builds, and computes right."""


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


@pytest.mark.parametrize("name", FINE)
def test_what_tensorrt_takes_is_not_found_fault_with(name):
    assert rules_broken(FINE[name]) == set()


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
        "weight-names",
        "profile",
        "node-order",
    ),
    *("cache-pairs", "opset", "resize"),
}
"""Rules for what TensorRT for RTX 1.7 builds all the same, and computes wrong, or does not know enough to refuse."""
TAKEN_BY_RTX = {"topk", "stft", "loop", "attention-operands"}
"""Rules of which TensorRT for RTX 1.7 refuses the pair's bad graph, and takes other forms that 10.15 does not list."""
REFUSED = [(rule, i) for rule in MORE if rule not in SILENT | TAKEN_BY_RTX for i in range(len(MORE[rule]))]


@pytest.mark.parametrize("name", FINE)
def test_tensorrt_takes_what_is_not_found_fault_with(rtx, name):
    build(rtx, FINE[name])


@pytest.mark.parametrize("rule", sorted(set(CASES) - SILENT))
def test_tensorrt_refuses_what_the_rules_say_it_does(rtx, rule):
    (bad, _), (good, _) = CASES[rule]
    build(rtx, (good, None))
    with pytest.raises(EngineRefused):
        build(rtx, (bad, None))


@pytest.mark.parametrize(("rule", "i"), REFUSED)
def test_tensorrt_refuses_the_other_ways(rtx, rule, i):
    with pytest.raises(EngineRefused):
        build(rtx, MORE[rule][i])


def build(api, case):
    """Parses and builds, with a range for each size that varies."""
    model, _ = case
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

    monkeypatch.setattr("sovits_runtime.backends.trt_api.load_api", absent)
    onnx.save(CASES["operator"][1][0], tmp_path / "good.onnx")
    result = CliRunner().invoke(main, ["lint", str(tmp_path / "good.onnx")])
    assert result.stdout == "0 errors, 0 warnings (rules only: TensorRT for RTX is not installed)\n"
