"""v3 and v4 through the whole chain: a complete v3 voice, and v4 LoRA voices that share their base."""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from sovits_calibration.corpus import corpus
from sovits_calibration.fp16_ranges import Margins
from sovits_exporter.building.build import build
from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.request import BuildRequest, ConversionRequest
from sovits_exporter.demo.demo import DemoFiles, write_demo_checkpoint
from sovits_exporter.demo.writers import write_lora
from sovits_exporter.precision.fp16 import convert_to_fp16
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.bundle import Bundle
from sovits_runtime.doctor.inspect_bundle import describe, describe_text
from sovits_runtime.errors import CheckpointError
from sovits_runtime.verify import verify_bundle

SPEAKING = ["HH", "AH0", "L", "OW1", "."]
OPTIONS = SpeechOptions(max_tokens=10, pause_s=0, flow_steps=2)


@dataclass(frozen=True)
class Voice:
    files: DemoFiles
    request: BuildRequest
    report: BuildReport
    spoken: int


@pytest.fixture(scope="module", params=["v3", "v4"])
def made(request, folder: Path):
    """A voice, built and verified; that of v4 is a LoRA fine-tune."""
    version = request.param
    files = write_demo_checkpoint(
        folder / f"{version}-files", version=version, tiny=True, lora=version == "v4"
    )
    asked = BuildRequest(
        gpt=files.gpt,
        sovits=files.sovits,
        output=folder / version,
        hubert=files.hubert,
        shared=folder / f"{version}-shared",
        vocoder=files.vocoder,
        base=files.base,
    )
    report = build(asked)
    phones = json.loads(files.reference.read_text(encoding="utf-8"))["phones"]
    with Synthesizer.load(report.path, shared=asked.shared, threads=1) as voice:
        reference = voice.reference(files.reference_wav, phones)
        spoken = voice.synthesize(SPEAKING, reference, options=OPTIONS)
    assert spoken.samples.std() > 1e-4
    return Voice(files, asked, report, len(spoken.samples))


def test_verified_described_and_heard(made):
    bundle = Bundle.open(made.report.path, shared=made.request.shared)
    flow = bundle.spec.flow
    up, down = flow.feature_rate
    assert made.report.verification.passed
    assert made.report.left_out == ()
    assert made.spoken == 10 * 2 * up // down * flow.vocoder_hop
    text = describe_text(describe(bundle))
    assert f"GPT-SoVITS {bundle.spec.version}, {bundle.spec.sample_rate} Hz" in text
    assert ("base" in bundle.manifest["sources"]) == (made.files.base is not None)
    assert bundle.manifest["shared"]["vocoder"]["folder"].startswith("vocoder-")
    assert not list(made.report.path.rglob("*vocoder*"))


@pytest.fixture(scope="module")
def second(made, folder):
    """Another LoRA voice of the same base."""
    if made.files.base is None:
        pytest.skip("a complete voice")
    other = folder / "other-lora.pth"
    write_lora(other, "v4", tiny=True, seed=7, report=lambda *_: None)
    return build(dataclasses.replace(made.request, sovits=other, output=folder / "other", verify=False)).path


def stored_once(shared: Path, voices: list[Path]) -> list[Path]:
    """Files of the shared folder that all these voices link to."""
    stored = list(shared.glob("base-*/sovits-base.weights"))
    copies = [(voice / "graphs" / "sovits-base.weights").stat().st_ino for voice in voices]
    return [file for file in stored if {*copies} == {file.stat().st_ino}]


def test_a_complete_voice_has_no_base(made):
    assert bool(list(made.report.path.rglob("*base*"))) == (made.files.base is not None)


def test_voices_of_one_base_store_it_once(made, second):
    first, request = made.report.path, made.request
    (stored,) = stored_once(made.request.shared, [first, second])
    own = [voice / "graphs" / "sovits.weights" for voice in (first, second)]
    assert own[0].read_bytes() != own[1].read_bytes()
    assert stored.stat().st_size > 4 * 768 * 768 * 2, "smaller than the projection of SSL features alone"
    digests = [Bundle.open(v, shared=request.shared).graph_digest("sovits_encoder") for v in (first, second)]
    assert digests[0] != digests[1]


def test_fp16_voices_of_one_base_store_it_once(made, second, folder, monkeypatch):
    """Whatever each keeps in FP32. What an older version left of a converted part is converted again."""
    monkeypatch.setattr("sovits_calibration.observe.corpus", lambda symbols: corpus(symbols)[:1])
    monkeypatch.setattr("sovits_calibration.observe.LOUDNESS", (1.0,))
    shared, converted = made.request.shared, []
    for voice in (made.report.path, second):
        source = Bundle.open(voice, shared=shared)
        if converted:
            monkeypatch.setattr("sovits_exporter.precision.fp16_graphs.Margins", lambda: Margins(error=1e-3))
        request = ConversionRequest(
            source=source, output=folder / f"{voice.name}-fp16", shared=shared, verify=False
        )
        converted.append(convert_to_fp16(request).path)
        (part,) = shared.glob("vocoder-*-fp16")
        manifest = json.loads((part / "manifest.json").read_text(encoding="utf-8"))
        del manifest["islands"]
        (part / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    kept = [
        Bundle.open(h, shared=shared).manifest["precision"]["islands"]["sovits_encoder"] for h in converted
    ]
    assert kept[0] != kept[1]
    (stored,) = stored_once(shared, converted)
    (full,) = stored_once(shared, [made.report.path, second])
    assert 0.45 < stored.stat().st_size / full.stat().st_size < 0.55
    report = verify_bundle(Bundle.open(converted[1], shared=shared), threads=1)
    assert report.passed, report.failure()


def test_a_voice_is_whole_without_the_shared_base(made, tmp_path):
    shutil.copytree(made.report.path, tmp_path / "voice")
    shutil.copytree(made.request.shared, tmp_path / "shared", ignore=shutil.ignore_patterns("base-*"))
    with Synthesizer.load(tmp_path / "voice", threads=1) as voice:
        assert voice.spec.flow is not None


def test_a_missing_vocoder_is_named(made, tmp_path):
    request = dataclasses.replace(made.request, output=tmp_path / "voice", vocoder=None)
    with pytest.raises(CheckpointError, match=r"is a v[34] model, which speaks through .*; give --vocoder: "):
        build(request)
    assert list(tmp_path.iterdir()) == []


def test_a_vocoder_for_a_version_without_one_is_refused(demo_files, tmp_path):
    request = BuildRequest(
        gpt=demo_files.gpt,
        sovits=demo_files.sovits,
        output=tmp_path / "voice",
        vocoder=tmp_path / "vocoder.pth",
    )
    with pytest.raises(
        CheckpointError, match=r"vocoder\.pth: .* v2 model, which takes none; leave --vocoder out"
    ):
        build(request)
