"""v1, v2Pro and v2ProPlus through the whole chain; v2 has all other tests to itself."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from sovits_exporter.building.build import build
from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.request import BuildRequest
from sovits_exporter.building.voice import options_left_out
from sovits_exporter.checkpoint.models import build_models
from sovits_exporter.checkpoint.official import load_gpt, load_sovits
from sovits_exporter.checkpoint.speaker import read_speaker
from sovits_exporter.demo.demo import DemoFiles, write_demo_checkpoint
from sovits_exporter.eager.baseline import EagerBaseline
from sovits_exporter.modeling.reference_encoder import LinearSpectrogram
from sovits_runtime import Audio, SpeechOptions, Synthesizer
from sovits_runtime.audio import reference_wave, speaker_wave
from sovits_runtime.audio.fbank import fbank
from sovits_runtime.audio.files import read_audio
from sovits_runtime.bench.runner import BundleRunner
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.doctor.inspect_bundle import describe, describe_text
from sovits_runtime.errors import BundleError, CheckpointError
from sovits_runtime.speech.reference import ReferenceEncoder

SPEAKING = ["HH", "AH0", "L", "OW1", "."]


@dataclass(frozen=True)
class Voice:
    files: DemoFiles
    report: BuildReport
    synthesizer: Synthesizer


@pytest.fixture(scope="module", params=["v1", "v2Pro", "v2ProPlus"])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def made(folder: Path, version: str):
    """Demo files, built and verified; all versions share one folder of shared parts."""
    files = write_demo_checkpoint(folder / f"{version}-files", version=version, tiny=True)
    request = BuildRequest(
        gpt=files.gpt,
        sovits=files.sovits,
        output=folder / version,
        hubert=files.hubert,
        speaker=files.speaker,
        shared=folder / "shared",
    )
    report = build(request)
    with Synthesizer.load(report.path, threads=1) as synthesizer:
        yield Voice(files, report, synthesizer)


def second_recording() -> bytes:
    t = np.arange(4 * 24000) / 24000
    wave = 0.3 * np.sin(2 * np.pi * (180 + 40 * np.sin(3 * t)) * t) * (0.6 + 0.4 * np.sin(9 * t))
    return Audio(wave.astype(np.float32), 24000).encode()


def test_verified_and_described(made, version):
    bundle = Bundle.open(made.report.path)
    assert made.report.verification.passed
    assert bundle.spec.version == version
    assert made.report.left_out == ()
    checked = {c.name for c in made.report.verification.checks}
    assert ("speaker" in checked) == ("speaker" in bundle.graph_names) == bundle.spec.speaker_network
    assert f"GPT-SoVITS {version}, 32000 Hz" in describe_text(describe(bundle))


def test_speaks(made):
    phones = json.loads(made.files.reference.read_text(encoding="utf-8"))["phones"]
    reference = made.synthesizer.reference(made.files.reference_wav, phones)
    spoken = made.synthesizer.synthesize(SPEAKING, reference, options=SpeechOptions(max_tokens=20, pause_s=0))
    assert len(spoken.samples) == 20 * 1280
    assert spoken.samples.std() > 1e-3


@torch.inference_mode()
def test_styles_of_two_recordings_are_averaged_each_with_its_own_speaker(made):
    models = build_models(load_gpt(made.files.gpt), load_sovits(made.files.sovits))
    vits, network = models.vits, read_speaker(made.files.speaker).module() if made.files.speaker else None
    styles = []
    for recording in (made.files.reference_wav, second_recording()):
        samples, rate = read_audio(recording)
        spectrogram = LinearSpectrogram()(torch.from_numpy(reference_wave(samples, rate)[None]))
        style = vits.ref_enc(spectrogram)
        if network is not None:
            embedding = network(torch.from_numpy(fbank(speaker_wave(samples, rate))[None]))
            style = torch.nn.functional.prelu(style + vits.sv_emb(embedding)[:, :, None], vits.prelu.weight)
        styles.append(style)
    mean = torch.stack(styles).mean(0)
    got = made.synthesizer.reference(made.files.reference_wav, more_recordings=[second_recording()]).style
    scale = float(mean.abs().max())
    assert float((styles[0] - styles[1]).abs().max()) > 1e-2 * scale, "two equal styles would prove nothing"
    assert np.abs(got - mean.numpy()).max() < 1e-4 * scale

    tokens, phones = torch.arange(9), torch.arange(3, 8)
    text_style = vits.ge_to512(mean[:, :, 0])[:, :, None] if network is not None else mean
    rows = vits.quantizer.codebook.decode(tokens).T[None].repeat_interleave(2, dim=2)
    expected = vits.enc_p(rows, phones[None], text_style).numpy()
    state = made.synthesizer.decoder.encode(tokens.numpy(), phones.numpy(), got)
    assert np.abs(state - expected).max() < 1e-4 * np.abs(expected).max()


def test_speaker_network_is_stored_once(made, folder):
    bundle = Bundle.open(made.report.path)
    if not bundle.spec.speaker_network:
        assert "speaker" not in bundle.manifest["shared"]
        return
    stored = [p.name for p in (folder / "shared").iterdir() if p.name.startswith("speaker-")]
    assert [bundle.manifest["shared"]["speaker"]["folder"]] == stored
    assert not list(made.report.path.rglob("speaker*"))


def test_bench_times_the_speaker_network_of_both_runners(made):
    bench = BundleRunner(Bundle.open(made.report.path), device="cpu", threads=1)
    baseline = EagerBaseline(made.files.gpt, made.files.sovits, threads=1)
    work = bench.workload(4)
    ours, theirs = bench.stages(work), baseline.stages(work)
    assert ("speaker" in ours) == ("speaker" in theirs) == made.synthesizer.spec.speaker_network
    if "speaker" in ours:
        expected = theirs["speaker"]().numpy()
        assert np.abs(ours["speaker"]() - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_recording_needs_the_speaker_network_where_the_version_has_one(made):
    whole = made.synthesizer.reference_encoder
    without = ReferenceEncoder(whole.hubert, whole.prompt_tokens, style=whole.style, speaker=None)
    recording = read_audio(made.files.reference_wav)
    if not made.synthesizer.spec.speaker_network:
        assert without.style_of(*recording).shape[1] == 512
        return
    with pytest.raises(BundleError, match=r"no speaker network.*--speaker FILE"):
        without.style_of(*recording)


def test_a_speaker_network_for_a_version_without_one_is_refused(demo_files, tmp_path):
    request = BuildRequest(
        gpt=demo_files.gpt, sovits=demo_files.sovits, output=tmp_path / "voice", speaker=tmp_path / "sv.ckpt"
    )
    with pytest.raises(
        CheckpointError, match=r"sv\.ckpt: .* v2 model, which takes none; leave --speaker out"
    ):
        build(request)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "expected"), [("v1", ("--hubert",)), ("v2Pro", ("--hubert", "--speaker"))]
)
def test_options_whose_lack_keeps_a_bundle_from_reading_recordings_are_named(version, expected):
    request = BuildRequest(gpt=Path("a.ckpt"), sovits=Path("b.pth"), output=Path("voice"))
    assert options_left_out(request, model_spec(version)) == expected
