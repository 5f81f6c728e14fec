"""The CPU's form of the step graph equals the portable one, on every kind of cache, and says so when it cannot."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from sovits_engines.passes.cpu_step import fuse_step, write_cpu_step
from sovits_exporter.building.build import run_in_place
from sovits_runtime import Synthesizer
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.bundle.session import SessionOptions, open_session
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
    with Synthesizer.load(bundle, threads=1, native=False) as voice:
        assert voice.runs_on["gpt_step"] == "CPUExecutionProvider"


def test_another_graph_is_refused(bundle, tmp_path):
    with pytest.raises(BundleError, match="sovits_vocoder: holds no Attention"):
        fuse_step(ir.load(bundle.graph_path("sovits_vocoder")))
    shutil.copytree(bundle.path / "graphs", tmp_path / "graphs")
    path = tmp_path / "graphs" / "gpt_prefill.onnx"
    with pytest.raises(BundleError, match=r"does not read caches|expected one|one packed"):
        write_cpu_step(path)
