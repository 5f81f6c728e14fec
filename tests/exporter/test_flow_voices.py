"""v3 and v4 through the whole chain: a complete v3 voice, and v4 LoRA voices that share their base."""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from sovits_exporter.build import BuildReport, BuildRequest, build
from sovits_exporter.demo import DemoFiles, write_demo_checkpoint
from sovits_exporter.demo_writers import write_lora
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import CheckpointError
from sovits_runtime.inspect import describe, describe_text

SPEAKING = ["HH", "AH0", "L", "OW1", "."]
OPTIONS = SpeechOptions(max_tokens=10, pause_s=0, flow_steps=2)


@dataclass(frozen=True)
class Voice:
    files: DemoFiles
    request: BuildRequest
    report: BuildReport
    spoken: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("flow")


@pytest.fixture(scope="module", params=["v3", "v4"])
def made(request, folder: Path):
    """A voice, built and verified; that of v4 is a LoRA fine-tune."""
    version = request.param
    files = write_demo_checkpoint(
        folder / f"{version}-files", version=version, tiny=True, lora=version == "v4"
    )
    asked = BuildRequest(
        files.gpt,
        files.sovits,
        folder / version,
        hubert=files.hubert,
        shared=folder / f"{version}-shared",
        vocoder=files.vocoder,
        base=files.base,
    )
    report = build(asked)
    phones = json.loads(files.reference.read_text())["phones"]
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


def test_voices_of_one_base_store_it_once(made, folder):
    if made.files.base is None:
        assert not list(made.report.path.rglob("*base*"))
        return
    other = folder / "other-lora.pth"
    write_lora(other, "v4", tiny=True, seed=7, report=lambda *_: None)
    request = dataclasses.replace(made.request, sovits=other, output=folder / "other", verify=False)
    second = build(request).path
    first = made.report.path
    (stored,) = made.request.shared.glob("base-*/sovits-base.weights")
    copies = [voice / "graphs" / stored.name for voice in (first, second)]
    assert {copy.stat().st_ino for copy in copies} == {stored.stat().st_ino}
    own = [voice / "graphs" / "sovits.weights" for voice in (first, second)]
    assert own[0].read_bytes() != own[1].read_bytes()
    assert stored.stat().st_size > 4 * 768 * 768 * 2, "smaller than the projection of SSL features alone"
    digests = [Bundle.open(v, shared=request.shared).graph_digest("sovits_encoder") for v in (first, second)]
    assert digests[0] != digests[1]


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
        demo_files.gpt, demo_files.sovits, tmp_path / "voice", vocoder=tmp_path / "vocoder.pth"
    )
    with pytest.raises(
        CheckpointError, match=r"vocoder\.pth: .* v2 model, which takes none; leave --vocoder out"
    ):
        build(request)
