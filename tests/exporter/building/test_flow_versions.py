"""v3 and v4 through the whole chain: demo files, build, verification, speech, benchmark."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

from sovits_exporter.building.build import build
from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.request import BuildRequest
from sovits_exporter.demo.demo import DemoFiles, write_demo_checkpoint
from sovits_exporter.eager.baseline import EagerBaseline, find_pair
from sovits_runtime import Reference, SpeechOptions, Synthesizer, TokenSequence
from sovits_runtime.bench.runner import BundleRunner, speak
from sovits_runtime.bundle import Bundle, manifest_digest
from sovits_runtime.bundle.files import file_record
from sovits_runtime.bundle.graph_spec import TensorSpec
from sovits_runtime.bundle.known_specs import check_spec
from sovits_runtime.doctor.inspect_bundle import describe, describe_text
from sovits_runtime.errors import BundleError, TextError
from sovits_runtime.speech.flow_windows import OVERLAP_FRAMES
from sovits_runtime.verify import verify_bundle

SPEAKING = ["HH", "AH0", "L", "OW1", "."]
QUICK = SpeechOptions(max_tokens=20, pause_s=0, flow_steps=2)


@dataclass(frozen=True)
class Voice:
    files: DemoFiles
    report: BuildReport
    synthesizer: Synthesizer
    reference: Reference


@pytest.fixture(scope="module", params=["v3", "v4"])
def made(folder: Path, request):
    version = request.param
    files = write_demo_checkpoint(folder / f"{version}-files", version=version, tiny=True)
    report = build(
        BuildRequest(
            gpt=files.gpt,
            sovits=files.sovits,
            output=folder / version,
            hubert=files.hubert,
            vocoder=files.vocoder,
            shared=folder / "shared",
        )
    )
    with Synthesizer.load(report.path, threads=1) as synthesizer:
        phones = json.loads(files.reference.read_text(encoding="utf-8"))["phones"]
        yield Voice(files, report, synthesizer, synthesizer.reference(files.reference_wav, phones))


def frames_of(voice: Synthesizer, tokens: int) -> int:
    up, down = voice.spec.flow.feature_rate
    return 2 * tokens * up // down


def test_verified_and_described(made):
    bundle = Bundle.open(made.report.path)
    checks = {c.name: c for c in made.report.verification.checks}
    assert made.report.verification.passed
    assert {"reference mel", "cfm_features", "cfm_condition", "cfm_step 3", "mel_vocoder"} <= set(checks)
    assert checks["audio SNR"].value > 60
    text = describe_text(describe(bundle))
    assert f"{bundle.spec.flow.steps} Euler steps by default" in text
    assert f"vocoder {bundle.spec.flow.vocoder}" in text


def test_speaks_with_the_steps_asked_for(made):
    voice, hop = made.synthesizer, made.synthesizer.spec.flow.vocoder_hop
    two, three = (
        voice.synthesize(SPEAKING, made.reference, options=replace(QUICK, flow_steps=n)) for n in (2, 3)
    )
    assert len(two.samples) == len(three.samples) == frames_of(voice, 20) * hop
    assert two.samples.std() > 1e-4
    assert two.tokens.tolist() == three.tokens.tolist()
    assert not np.array_equal(two.samples, three.samples)


def test_a_long_sentence_goes_over_several_windows(made):
    voice = made.synthesizer
    shapes = []

    def noise(shape):
        shapes.append(shape)
        return np.zeros(shape, np.float32)

    tokens = np.arange(150) % 1024
    spoken = voice.decode(
        TokenSequence(tokens, voice.phone_ids(SPEAKING)), made.reference, options=QUICK, noise=noise
    )
    flow, frames = voice.spec.flow, frames_of(voice, 150)
    prompt = len(voice.decoder.prompt_of(made.reference))
    first = flow.window_frames - prompt
    assert shapes == [(1, 100, flow.window_frames), (1, 100, min(prompt, first) + frames - first)]
    assert len(spoken.samples) == frames * flow.vocoder_hop


def test_several_sentences_share_windows(made):
    voice, flow = made.synthesizer, made.synthesizer.spec.flow
    options = replace(QUICK, max_tokens=90)
    spoken = list(voice.synthesize_many([SPEAKING] * 3, made.reference, options=options))
    whole = [frames_of(voice, len(s.tokens)) * flow.vocoder_hop for s in spoken]
    assert [len(s.samples) for s in spoken[:2]] == whole[:2]
    assert 0 <= whole[2] - len(spoken[2].samples) <= 2 * 320 + OVERLAP_FRAMES


class OlderGraph:
    """A graph as bundles had it before: the step is told the prompt itself, the condition the features alone."""

    provider = "older"

    def __init__(self, spec, run):
        self.spec, self._run = spec, run

    def run(self, feeds):
        self.spec.check(feeds)
        return self._run(feeds)


def older_form(decoder):
    """Condition and step of a decoder in the older form, whose step prepares everything again."""
    condition, step = decoder.condition, decoder.step
    width = condition.spec.tensor("features").shape[1]
    told = TensorSpec("condition", "float32", ("batch", "frames", width))
    numbers = [step.spec.tensor(name) for name in ("time", "step_size")]

    def prepared_again(feeds):
        features = np.ascontiguousarray(feeds["condition"].transpose(0, 2, 1))
        window = {"features": features, **{name: feeds[name] for name in ("prompt_mel", "prompt_len")}}
        given = condition.run(window) | {name: feeds[name] for name in ("x", "time", "step_size")}
        return step.run({name: given[name] for name in step.spec.input_names})

    return (
        OlderGraph(
            replace(condition.spec, inputs=(condition.spec.tensor("features"),), outputs=(told,)),
            lambda feeds: {"condition": np.ascontiguousarray(feeds["features"].transpose(0, 2, 1))},
        ),
        OlderGraph(
            replace(
                step.spec,
                inputs=(
                    step.spec.tensor("x"),
                    condition.spec.tensor("prompt_mel"),
                    told,
                    *numbers,
                    condition.spec.tensor("prompt_len"),
                ),
            ),
            prepared_again,
        ),
    )


def test_bundles_of_the_older_form_speak_and_verify(made):
    voice, decoder = made.synthesizer, made.synthesizer.decoder
    expected = voice.synthesize(SPEAKING, made.reference, options=QUICK).samples
    recording = dict(voice.bundle.golden("request"))
    now = decoder.condition, decoder.step
    decoder.condition, decoder.step = older_form(decoder)
    try:
        check_spec(decoder.condition.spec)
        check_spec(decoder.step.spec)
        np.testing.assert_array_equal(
            voice.synthesize(SPEAKING, made.reference, options=QUICK).samples, expected
        )
        del recording["turn"], recording["moves"]
        recording["condition"] = recording["window_features"].transpose(0, 2, 1)
        stages = {stage.name: stage for stage in decoder.stages}
        assert stages["cfm_condition"].outputs == ("condition",)
        calls = list(stages["cfm_step"].recorded_calls(recording))
        assert len(calls) == 4
        for name, arrays in calls:
            velocity = stages["cfm_step"].run(arrays)["velocity"]
            assert np.abs(velocity - arrays["velocity"]).max() <= 1e-4 * np.abs(arrays["velocity"]).max(), (
                name
            )
    finally:
        decoder.condition, decoder.step = now


def test_a_reference_needs_words_and_a_mel(made, reference):
    with pytest.raises(TextError, match="no transcript"):
        made.synthesizer.reference(made.files.reference_wav)
    with pytest.raises(BundleError, match="holds no mel spectrogram"):
        made.synthesizer.synthesize(SPEAKING, reference, options=QUICK)  # of a v2 voice


@pytest.mark.parametrize(
    ("graph", "weight", "check"),
    [
        ("cfm_step", "estimator.proj_out.weight", "cfm_step 0"),
        ("cfm_features", "wns1.pre.weight", "cfm_features"),
    ],
)
def test_a_changed_weight_fails_where_it_acts(made, folder, graph, weight, check):
    bundle = folder / f"{made.report.path.name}-{graph}"
    shutil.copytree(made.report.path, bundle)
    tensor = ir.load(bundle / "graphs" / f"{graph}.onnx").graph.initializers[weight].const_value
    path = bundle / "graphs" / tensor.location
    data = np.fromfile(path, np.uint8)
    data[tensor.offset : tensor.offset + tensor.length].view(np.float32)[...] *= np.float32(1.01)
    data.tofile(path)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"] = {name: file_record(bundle / name) for name in manifest["files"]}
    manifest["digest"] = manifest_digest(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    report = verify_bundle(Bundle.open(bundle), threads=1)
    assert not report.passed
    assert report.failure().startswith(check)


def test_eager_baseline_computes_what_the_graphs_compute(made):
    threads = torch.get_num_threads()
    baseline = EagerBaseline(*find_pair(str(made.files.gpt.parent)), hubert=made.files.hubert, threads=1)
    bench = BundleRunner(Bundle.open(made.report.path), device="cpu", threads=1)
    work = bench.workload(12)
    assert np.array_equal(baseline.workload(12).flow.x, work.flow.x)
    ours, theirs = bench.stages(work), baseline.stages(work)
    assert set(ours) == set(theirs)
    for name in ("sovits_encoder", "cfm_features", "cfm_condition", "cfm_step", "mel_vocoder"):
        value, expected = ours[name](), theirs[name]()
        assert value.shape == expected.shape, name
        assert np.abs(value - expected).max() <= 1e-4 * np.abs(expected).max(), name
    assert speak(bench.voice, work, made.reference).duration_s > 0
    torch.set_num_threads(threads)
