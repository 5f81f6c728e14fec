"""Verification must be able to fail: each test breaks one thing and sees it named."""

import json

import numpy as np
import onnx_ir as ir
import pytest

from sovits_runtime.bundle import Bundle, manifest_digest
from sovits_runtime.bundle.files import file_record
from sovits_runtime.verify import verify_bundle
from sovits_runtime.verify.check import Check


def reseal(folder, **changes):
    """Rewrites the manifest as if the bundle had been built this way, so that only verification can object."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["tolerances"].update(changes)
    manifest["files"] = {name: file_record(folder / name) for name in manifest["files"]}
    manifest["digest"] = manifest_digest(manifest)
    path.write_text(json.dumps(manifest))


def scale_weight(folder, graph, name, factor):
    tensor = ir.load(folder / "graphs" / f"{graph}.onnx").graph.initializers[name].const_value
    path = folder / "graphs" / tensor.location
    data = np.fromfile(path, np.uint8)
    view = data[tensor.offset : tensor.offset + tensor.length].view(np.float32)
    view *= factor
    data.tofile(path)


def test_a_good_bundle_passes(built):
    report = built.verification
    assert report.passed
    assert {c.name for c in report.checks} >= {"hubert", "prompt_tokens", "gpt", "sovits_vocoder"} - {"gpt"}
    steps = next(c for c in report.checks if c.name == "teacher-forced logits")
    assert "121 steps" in steps.note


@pytest.mark.parametrize(
    ("graph", "weight", "check"),
    [
        ("gpt_step", "t2s.h.layers.1.linear2.weight", "teacher-forced logits"),
        ("sovits_vocoder", "dec.conv_pre.weight", "sovits_vocoder"),
        ("sovits_flow", "flow.flows.2.post.weight", "sovits_flow"),
        ("reference_style", "ref_enc.temporal.0.conv1.conv.weight", "reference_style"),
    ],
)
def test_a_changed_weight_fails_where_it_acts(copied_bundle, graph, weight, check):
    scale_weight(copied_bundle, graph, weight, 1.01)
    reseal(copied_bundle)
    report = verify_bundle(Bundle.open(copied_bundle), threads=1)
    assert not report.passed
    assert report.failure().startswith(check)


def test_a_tolerance_of_nothing_fails(copied_bundle):
    reseal(copied_bundle, logits=0.0)
    report = verify_bundle(Bundle.open(copied_bundle), threads=1)
    assert report.failure().startswith("teacher-forced logits")


def test_other_tokens_fail_the_free_run(copied_bundle):
    path = copied_bundle / "golden" / "request.npz"
    with np.load(path) as z:
        arrays = {k: z[k] for k in z.files}
    arrays["tokens"][30] = (arrays["tokens"][30] + 1) % 1024
    np.savez(path, **arrays)
    reseal(copied_bundle)
    checks = {c.name: c for c in verify_bundle(Bundle.open(copied_bundle), threads=1).checks}
    assert not checks["free run"].passed
    assert "token 30" in checks["free run"].note


@pytest.mark.parametrize(
    ("at_least", "value"), [(False, float("nan")), (True, float("nan")), (False, 2.0), (True, 0.5)]
)
def test_check_never_passes_nan_or_the_wrong_side(at_least, value):
    assert not Check("x", value, 1.0, "", at_least=at_least).passed


def test_a_bundle_that_gives_nan_fails_and_still_reports(copied_bundle):
    scale_weight(copied_bundle, "sovits_vocoder", "dec.conv_pre.weight", np.nan)
    reseal(copied_bundle)
    report = verify_bundle(Bundle.open(copied_bundle), threads=1)
    assert not report.passed
    assert {c.name for c in report.checks if not c.passed} == {"sovits_vocoder", "waveform"}
    report.save(copied_bundle / "verification.json")
    assert "NaN" not in (copied_bundle / "verification.json").read_text()
