"""The CPU's form of the step graph equals the portable one, on every kind of cache, and says so when it cannot."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from sovits_engines.passes.cpu_step import fuse_step, write_cpu_step
from sovits_exporter.building.check import run_in_place
from sovits_runtime import Synthesizer
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.errors import BundleError


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


def feeds_of(bundle: Bundle, batch: int, rows: list[int], cache_size: int) -> dict[str, np.ndarray]:
    """A step after `rows` filled rows in each member of a batch; rows beyond hold garbage that must not matter."""
    rng = np.random.default_rng(len(rows) + cache_size)
    spec = bundle.graph_spec("gpt_step")
    dims = {"batch": batch, "cache_size": cache_size}
    feeds = {t.name: rng.standard_normal(t.resolve(dims)).astype(t.dtype) for t in spec.inputs}
    whole = {"token": 7, "top_k": 15, "step": 3, "prompt_len": 2, "min_tokens": 0}
    feeds |= {name: np.full_like(feeds[name], value) for name, value in whole.items()}
    feeds["text_len"] = np.array(rows, np.int64) - 2 - 3 + 1
    feeds["noise"] = np.abs(feeds["noise"]) + 0.1
    for name in ("top_p", "temperature", "repetition_penalty"):
        feeds[name] = np.ones_like(feeds[name])
    return feeds


@pytest.mark.parametrize(("rows", "cache_size"), [([15], 16), ([5], 128), ([127], 128), ([9, 40], 64)])
def test_both_forms_agree(bundle, rows, cache_size):
    feeds = feeds_of(bundle, len(rows), rows, cache_size)
    spec = bundle.graph_spec("gpt_step")
    dims = {"batch": len(rows), "cache_size": cache_size}
    results = []
    for form in ("file", CPU_FILE):
        session = open_session(
            bundle.graph_path("gpt_step", form=form), spec, options=SessionOptions(threads=1)
        )
        results.append(run_in_place(session, feeds, dims))
    for name, expected in results[0].items():
        np.testing.assert_allclose(results[1][name], expected, atol=1e-5, err_msg=name)


def test_the_cpu_runs_its_own_form_with_the_same_weights(bundle):
    record = bundle.manifest["graphs"]["gpt_step"]
    assert bundle.graph_path("gpt_step", form=CPU_FILE) == bundle.path / record[CPU_FILE]
    assert bundle.graph_path("gpt_step") == bundle.path / record["file"]
    portable, fused = (ir.load(bundle.graph_path("gpt_step", form=f)) for f in ("file", CPU_FILE))
    operators = Counter(n.op_type for n in fused.graph)
    assert operators["GroupQueryAttention"] == len(bundle.graph_spec("gpt_step").aliases) // 2
    assert not operators.keys() & {"Attention", "TensorScatter", "LayerNormalization", "Transpose"}
    assert {n.domain for n in portable.graph} == {""}

    def weights(model: ir.Model) -> set[tuple[str, int]]:
        tensors = (v.const_value for v in model.graph.initializers.values())
        return {(t.location, t.offset) for t in tensors if isinstance(t, ir.ExternalTensor)}

    assert weights(fused) == weights(portable) != set()
    with Synthesizer.load(bundle, threads=1, gpt_steps="onnxruntime") as voice:
        assert voice.runs_on["gpt_step"] == "CPUExecutionProvider"


def test_another_graph_is_refused(bundle, tmp_path):
    with pytest.raises(BundleError, match="sovits_vocoder: holds no Attention"):
        fuse_step(ir.load(bundle.graph_path("sovits_vocoder")))
    shutil.copytree(bundle.path / "graphs", tmp_path / "graphs")
    path = tmp_path / "graphs" / "gpt_prefill.onnx"
    with pytest.raises(BundleError, match=r"does not read caches|expected one|one packed"):
        write_cpu_step(path)


LAYER = """(float[b,48] row, int64[b] at, float[b,2,8,8] k, float[b,2,8,8] v)
    => (float[b,16] y, float[b,2,8,8] k_out, float[b,2,8,8] v_out) {
    packed = Neg(row)
    split = Reshape(packed, parts)
    heads = Transpose<perm=[2,0,3,1,4]>(split)
    query = Gather<axis=0>(heads, i0)
    key = Gather<axis=0>(heads, i1)
    value = Gather<axis=0>(heads, i2)
    k_out = TensorScatter(k, key, at)
    v_out = TensorScatter(v, value, at)
    seen = Attention(query, k_out, v_out, mask)
    back = Transpose<perm=[0,2,1,3]>(seen)
    merged = Reshape(back, width)
    projected = Gemm(merged, w)
    sum = Add(projected, projected)
    y = LayerNormalization(sum, scale, bias)
}"""
WIDTH = np.ones(16, np.float32)


def test_one_layer_becomes_two_operators_and_a_projection(parse, compute):
    rng = np.random.default_rng(0)
    whole = {"parts": [0, 1, 3, 2, 8], "width": [0, 16], "i0": 0, "i1": 1, "i2": 2}
    model = parse(
        LAYER,
        **{name: np.array(numbers) for name, numbers in whole.items()},
        mask=np.arange(8)[None, None, None] < 4,
        w=rng.standard_normal((16, 16)).astype(np.float32),
        scale=WIDTH,
        bias=WIDTH,
    )
    feeds = {name: rng.standard_normal((1, 2, 8, 8)).astype(np.float32) for name in ("k", "v")}
    feeds |= {"row": rng.standard_normal((1, 48)).astype(np.float32), "at": np.array([3])}
    expected = compute(model, **feeds)
    assert fuse_step(model)
    operators = [n.op_type for n in model.graph if n.op_type not in ("Cast", "ReduceMax", "Add")]
    assert operators == [
        "Neg",
        "Unsqueeze",
        "GroupQueryAttention",
        "Squeeze",
        "Gemm",
        "SkipLayerNormalization",
    ]
    got = compute(model, **feeds)
    np.testing.assert_allclose(got["y"], expected["y"], atol=1e-5)
    for name in ("k_out", "v_out"):  # rows beyond are whatever the buffer held
        np.testing.assert_allclose(got[name][:, :, :4], expected[name][:, :, :4], atol=1e-6, err_msg=name)
