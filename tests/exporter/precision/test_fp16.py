"""An FP32 bundle to mixed precision, on the tiny voice."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from click.testing import CliRunner

from sovits_engines.passes.fp16 import casts
from sovits_exporter.building import converted as build_converted
from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.request import ConversionRequest
from sovits_exporter.cli.main import main
from sovits_exporter.precision.fp16 import convert_to_fp16
from sovits_runtime.bundle import DEVICE_FILE, ROWS_FILE, Bundle
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import batch_step_spec, device_step_spec
from sovits_runtime.verify import verify_bundle


@dataclass(frozen=True)
class Converted:
    path: Path
    output: dict[str, Any]


@pytest.fixture(scope="module")
def converted(without_torch, tiny_bundle, folder):
    """The command on the tiny voice, where torch cannot be imported."""
    path = folder / "fp16"
    return Converted(path, without_torch("convert", "--fp16", "--json", tiny_bundle, "-o", path))


def test_the_converted_voice_is_verified_with_every_result_rounded(converted):
    verification = converted.output["verification"]
    checks = {c["name"]: c for c in verification["checks"]}
    assert verification["passed"]
    assert "rounded" in verification["provider"]
    assert checks["sovits_vocoder"]["unit"] == "cosine"
    assert checks["teacher-forced KL"]["value"] < 1e-4
    assert "501 steps" in checks["teacher-forced KL"]["note"]
    assert checks["audio SNR"]["value"] > 45
    assert json.loads((converted.path / "verification.json").read_text(encoding="utf-8")) == verification


def test_it_verifies_as_onnx_runtime_runs_it(converted):
    assert verify_bundle(Bundle.open(converted.path), threads=1).passed


def test_weights_and_caches_are_half_and_other_io_is_not(converted, tiny_bundle):
    bundle = Bundle.open(converted.path)
    assert bundle.precision == "fp16"
    for name in bundle.graph_names:
        graph = ir.load(bundle.graph_path(name)).graph
        for tensor, value in zip(
            (*bundle.graph_spec(name).inputs, *bundle.graph_spec(name).outputs),
            (*graph.inputs, *graph.outputs),
            strict=True,
        ):
            assert (tensor.name, np.dtype(tensor.dtype)) == (value.name, value.dtype.numpy())
            assert (tensor.dtype == "float16") == ("_cache_" in tensor.name)
    half = (converted.path / "graphs" / "gpt.weights").stat().st_size
    assert 0.5 <= half / (tiny_bundle / "graphs" / "gpt.weights").stat().st_size < 0.65


def test_gpt_graphs_share_one_weight_file_and_hold_few_casts(converted):
    bundle = Bundle.open(converted.path)
    graphs = {name: ir.load(bundle.graph_path(name)).graph for name in ("gpt_prefill", "gpt_step")}
    offsets = [
        {v.name: v.const_value.offset for v in g.initializers.values() if hasattr(v.const_value, "offset")}
        for g in graphs.values()
    ]
    shared = offsets[0].keys() & offsets[1].keys()
    assert len(shared) == 10
    assert all(offsets[0][name] == offsets[1][name] for name in shared)
    assert [len(list(casts(g))) for g in graphs.values()] == [4, 2]


def test_the_graphs_for_a_gpu_are_half_too(converted, tiny_bundle):
    bundle, full = Bundle.open(converted.path), Bundle.open(tiny_bundle)
    step, theirs = (ir.load(b.graph_path("gpt_step", form=DEVICE_FILE)).graph for b in (bundle, full))
    spec = device_step_spec(bundle.graph_spec("gpt_step"), 512)
    for tensor, value in zip((*spec.inputs, *spec.outputs), (*step.inputs, *step.outputs), strict=True):
        assert (tensor.name, np.dtype(tensor.dtype)) == (value.name, value.dtype.numpy())
        assert (tensor.dtype == "float16") == ("_cache_" in tensor.name)
    many = ir.load(bundle.graph_path("gpt_step", form=ROWS_FILE)).graph
    for tensor, value in zip(
        batch_step_spec(bundle.graph_spec("gpt_step"), 512).inputs, many.inputs, strict=True
    ):
        assert (tensor.name, np.dtype(tensor.dtype)) == (value.name, value.dtype.numpy())
    assert len(list(casts(many))) == 2
    moves = [n.attributes["perm"].as_ints() for g in (step, theirs) for n in g if n.op_type == "Transpose"]
    assert {tuple(m) for m in moves} == {(0, 1, 3, 2)}  # of keys in their product; heads are not moved
    assert len(list(casts(step))) == 2


def test_what_stays_in_fp32_is_recorded_and_shown(converted):
    record = Bundle.open(converted.path).manifest["precision"]["islands"]
    reasons = {name: {i["reason"] for i in found} for name, found in record.items()}
    assert reasons["gpt_step"] == {"choice", "position"}
    assert "exponential" in reasons["sovits_flow"]
    assert "root" in reasons["reference_style"]
    assert {i["op"] for i in record["hubert"]} == {"InstanceNormalization", "Softmax"}
    shown = CliRunner().invoke(main, ["inspect", str(converted.path)]).output
    assert "gpt_step          fp16" in shown
    assert "GatherElements" in shown
    assert "choice" in shown
    assert "rounding changes" in shown  # a softmax with sharp scores, found by its numbers


def test_build_fp16_converts_its_build_and_finds_the_shared_parts(
    converted, tiny_bundle, demo_files, monkeypatch
):
    """The FP32 build, which other tests cover, is a copy of the tiny voice here."""

    def copy_instead(request, progress):
        shutil.copytree(tiny_bundle, request.output)
        shutil.copytree(tiny_bundle.parent / "shared", request.shared, dirs_exist_ok=True)
        manifest = json.loads((request.output / "manifest.json").read_text(encoding="utf-8"))
        return BuildReport(path=request.output, manifest=manifest, verification=None, seconds=0.0)

    monkeypatch.setattr(build_converted, "build", copy_instead)
    shared = converted.path.parent / "shared"
    before = {p: p.stat().st_mtime_ns for p in shared.rglob("*") if "-fp16" in str(p)}
    assert before
    output = converted.path.parent / "again"
    command = [
        "build",
        "--fp16",
        "--no-verify",
        "--gpt",
        str(demo_files.gpt),
        "--sovits",
        str(demo_files.sovits),
    ]
    result = CliRunner().invoke(main, [*command, "-o", str(output), "--wav", str(demo_files.reference_wav)])
    assert result.exit_code == 0, result.output
    assert Bundle.open(output).manifest["precision"]["recordings"] == ["reference.wav"]
    assert {p: p.stat().st_mtime_ns for p in shared.rglob("*") if "-fp16" in str(p)} == before
    assert not [p for p in output.parent.iterdir() if p.name.startswith(".") or p.name.endswith("-fp32")]


def test_recordings_that_want_more_in_fp32_get_a_part_of_their_own(
    converted, tiny_bundle, demo_files, folder
):
    """What a voice without recordings left for all is used as far as it serves, and never changed."""
    shared, made = converted.path.parent / "shared", {}
    name = Bundle.open(converted.path).manifest["shared"]["hubert"]["folder"]
    manifest = shared / name / "manifest.json"
    before = manifest.read_text(encoding="utf-8")
    record = json.loads(before)
    needed = next(i for i in record["islands"] if i["reason"] != "between")
    record["islands"].remove(needed)  # as if it had been heard that FP16 does
    try:
        manifest.write_text(json.dumps(record), encoding="utf-8")
        for turn in ("first", "second"):
            request = ConversionRequest(
                source=Bundle.open(tiny_bundle),
                output=folder / turn,
                shared=shared,
                recordings=(demo_files.reference_wav,),
                verify=False,
            )
            convert_to_fp16(request)
            bundle = Bundle.open(folder / turn, full=True)
            made[turn] = bundle.manifest["shared"]["hubert"]["folder"]
            assert needed["node"] in {i["node"] for i in bundle.manifest["precision"]["islands"]["hubert"]}
        assert json.loads(manifest.read_text(encoding="utf-8")) == record
    finally:
        manifest.write_text(before, encoding="utf-8")
    assert made["first"] == made["second"]
    assert made["first"].startswith(f"{name}-")
    assert Bundle.open(converted.path).manifest["shared"]["hubert"]["folder"] == name


def test_recordings_without_a_conversion_are_a_mistake(demo_files, tmp_path):
    command = [
        "build",
        "--gpt",
        str(demo_files.gpt),
        "--sovits",
        str(demo_files.sovits),
        "-o",
        str(tmp_path / "v"),
    ]
    result = CliRunner().invoke(main, [*command, "--wav", str(demo_files.reference_wav)])
    assert result.exit_code == 2
    assert "fp32 does not need" in result.output


def test_a_converted_voice_speaks(converted):
    from sovits_runtime import SpeechOptions, Synthesizer

    golden = Bundle.open(converted.path).golden("request")
    with Synthesizer.load(converted.path, threads=1) as voice:
        speech = voice.text_to_semantic.generate(
            golden["phones"],
            golden["bert"][: len(golden["phones"])],
            golden["prompt"],
            options=SpeechOptions().sampling,
            noise=lambda _: np.ones((1, voice.text_to_semantic.vocab), np.float32),
            max_tokens=200,
        )
    assert len(speech.tokens) > 10  # past one growth of the FP16 cache


def test_a_bundle_is_converted_once(converted, tmp_path):
    with pytest.raises(BundleError, match="is fp16 already"):
        convert_to_fp16(ConversionRequest(source=Bundle.open(converted.path), output=tmp_path / "twice"))
    assert list(tmp_path.iterdir()) == []


def test_a_changed_weight_fails_verification(converted, tmp_path):
    shutil.copytree(converted.path.parent / "shared", tmp_path / "shared")
    shutil.copytree(converted.path, tmp_path / "voice")
    bundle = Bundle(tmp_path / "voice", Bundle.open(tmp_path / "voice").manifest, tmp_path / "shared")
    path = bundle.graph_path("gpt_step")
    tensor = ir.load(path).graph.initializers["t2s.h.layers.1.linear2.weight"].const_value
    data = np.fromfile(path.parent / tensor.location, np.uint8)
    data[tensor.offset : tensor.offset + tensor.length].view(np.float16)[...] *= np.float16(1.2)
    data.tofile(path.parent / tensor.location)
    failed = verify_bundle(bundle, threads=1)
    assert failed.failure().startswith("teacher-forced")


def test_like_names_an_fp16_bundle(tiny_bundle, tmp_path):
    words = ["convert", str(tiny_bundle), "-o", str(tmp_path / "half"), "--like", str(tiny_bundle)]
    result = CliRunner().invoke(main, [*words, "--fp16"])
    assert (result.exit_code, result.stderr) == (
        1,
        f"error: {tiny_bundle}: is fp32; --like names an FP16 bundle\n",
    )
    result = CliRunner().invoke(main, [*words, "--precision", "int8"])
    assert result.exit_code == 2
    assert "--like names an FP16 bundle to be like, which goes with --fp16" in result.stderr
    assert not (tmp_path / "half").exists()
