"""Verification must be able to fail: each test breaks one thing and sees it named."""

import json
from itertools import islice

import numpy as np
import onnx_ir as ir
import pytest

from sovits_runtime.bundle import Bundle, manifest_digest
from sovits_runtime.bundle.files import file_record
from sovits_runtime.t2s.host_loop import TextToSemantic
from sovits_runtime.t2s.sampling import SamplingOptions
from sovits_runtime.verify import verify_bundle
from sovits_runtime.verify.check import Check
from sovits_runtime.verify.mixed import FP16_TOLERANCES, MixedVerification


def reseal(folder, **changes):
    """Rewrites the manifest as if the bundle had been built this way, so that only verification can object."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["tolerances"].update(changes)
    manifest["files"] = {name: file_record(folder / name) for name in manifest["files"]}
    manifest["digest"] = manifest_digest(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


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


def ending_early(monkeypatch, *, forced, steps):
    """Makes runs of one kind, free or teacher-forced, end after some steps as if there were no more."""
    original = TextToSemantic.steps

    def short(self, *args, **kwargs):
        run = original(self, *args, **kwargs)
        return islice(run, steps) if (kwargs.get("forced") is not None) == forced else run

    monkeypatch.setattr(TextToSemantic, "steps", short)


@pytest.mark.parametrize("steps", [0, 120])
@pytest.mark.parametrize(("forced", "check"), [(False, "free run"), (True, "teacher-forced logits")])
def test_a_run_that_ends_early_fails(tiny_bundle, monkeypatch, forced, check, steps):
    ending_early(monkeypatch, forced=forced, steps=steps)
    report = verify_bundle(Bundle.open(tiny_bundle), threads=1, gpt_steps="onnxruntime")
    assert [c.name for c in report.checks if not c.passed] == [check]
    assert report.failure().endswith(f"({steps} steps, expected 121)")


@pytest.mark.parametrize(("forced", "check"), [(False, "free run"), (True, "teacher-forced KL")])
def test_so_it_does_in_mixed_precision(voice, monkeypatch, forced, check):
    ending_early(monkeypatch, forced=forced, steps=5)
    golden = dict(voice.bundle.golden("request"))
    recorded = {"tokens": golden["tokens"], "logits": golden["logits"]}
    monkeypatch.setattr(Bundle, "golden", lambda *_: recorded)
    run = MixedVerification(voice, golden, FP16_TOLERANCES)
    options = SamplingOptions(**voice.bundle.manifest["golden"]["request"])
    found = [run.free_run(options)] if not forced else list(run.teacher_forced(options))
    assert [(c.name, c.passed) for c in found] == [(check, False)]
    assert found[0].note == "5 steps, expected 121"


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
    assert "NaN" not in (copied_bundle / "verification.json").read_text(encoding="utf-8")
