"""Full-size v2 in FP16 builds engines for every GPU that is asked for, on a machine without one."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed", exc_type=ImportError)

from sovits_engines.build import build_engines
from sovits_engines.targets import build_targets
from sovits_exporter.build import BuildRequest, build
from sovits_exporter.convert import ConvertRequest, convert
from sovits_exporter.demo import write_demo_checkpoint
from sovits_runtime.bundle import Bundle

TARGETS = ("sm75", "sm86", "sm89", "sm120")


@pytest.mark.slow
def test_all_graphs_build_for_all_targets_and_are_found_again(tmp_path):
    files = write_demo_checkpoint(tmp_path / "demo", version="v2")
    build(BuildRequest(files.gpt, files.sovits, tmp_path / "voice", hubert=files.hubert, verify=False))
    convert(ConvertRequest(Bundle.open(tmp_path / "voice"), tmp_path / "half", verify=False))
    bundle, targets = Bundle.open(tmp_path / "half"), build_targets(TARGETS)
    results = build_engines(bundle, targets)
    assert len(results) == len(TARGETS) * (len(bundle.graph_names) + 2)  # three decode steps
    assert all(r.built for r in results)
    for r in results:
        print(
            f"{r.record.ingredients['capability']} {r.record.name}: {r.seconds:.1f} s, {r.record.bytes} bytes"
        )
        if r.record.graph == "gpt_step":
            assert r.record.built["layers"]["ATTENTION_OUTPUT"] == {"HALF": 24}
            assert r.record.built["layers"]["KV_CACHE_UPDATE"] == {"HALF": 48}
            assert not r.record.built["fused_attention_refused"]
    again = build_engines(Bundle.open(bundle.path), targets)
    assert not any(r.built for r in again)
