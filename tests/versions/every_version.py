"""Every version by the commands a user types: demo files as GPT-SoVITS keeps them, `build --from`, verify, speak with
nothing but a text, bench, FP16, lint, engines, inspect.

A file of tests stays with one worker, so there are two files of about the same length, which import these tests.
Versions with parts in common are together: a process traces an architecture once, and builds what voices share once.
"""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner, Result
from cuda_operators import without_kernel

from sovits_calibration.corpus import corpus
from sovits_exporter.cli.main import main
from sovits_exporter.demo.demo import REFERENCE_TEXT
from sovits_runtime import Synthesizer
from sovits_runtime.backends.native import library
from sovits_runtime.bundle import DEVICE_FILE, ROWS_FILE, Bundle
from sovits_runtime.bundle.model_spec import MODEL_SPECS, ModelSpec
from sovits_runtime.verify.metrics import relative_error

WITH_SPEAKER_AND_V1 = ("v1", "v2Pro", "v2ProPlus")
WITH_FLOW_AND_V2 = ("v2", "v3", "v4", "v5dev", "v5turbo")
assert {*WITH_SPEAKER_AND_V1, *WITH_FLOW_AND_V2} == set(MODEL_SPECS)
NAME = "磨坊 voice"
BASES = {
    "v3": "s2Gv3.pth",
    "v4": "gsv-v4-pretrained/s2Gv4.pth",
    "v5dev": "gsv-v5-pretrained/s2Gv5dev.pth",
    "v5turbo": "gsv-v5-pretrained/s2Gv5turbo.pth",
}
TARGETS = ("sm75", "sm86", "sm89", "sm120")
NEEDS_RTX = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None, reason="TensorRT for RTX is not installed"
)


@dataclass(frozen=True)
class Chain:
    spec: ModelSpec
    files: Path
    bundle: Path
    fp16: Path


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def run(*args: object) -> str:
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def installation(files: Path, version: str, root: Path) -> Path:
    """Lays demo files out as GPT-SoVITS has them: weights of a version, pretrained models, and the training clip."""
    flow = MODEL_SPECS[version].flow
    suffix = "" if version == "v1" else f"_{version}"
    pretrained = root / "GPT_SoVITS" / "pretrained_models"
    rank = "_l8" if (files / "demo-base.pth").exists() else ""
    places = {
        "demo-gpt.ckpt": root / f"GPT_weights{suffix}" / f"{NAME}-e15.ckpt",
        "demo-sovits.pth": root / f"SoVITS_weights{suffix}" / f"{NAME}_e8_s96{rank}.pth",
        "demo-base.pth": pretrained / BASES.get(version, ""),
        "chinese-hubert-base": pretrained / "chinese-hubert-base",
        "pretrained_eres2netv2w24s4ep4.ckpt": pretrained / "sv" / "pretrained_eres2netv2w24s4ep4.ckpt",
        "vocoder.pth": pretrained / (flow.vocoder_folder if flow else "") / "vocoder.pth",
        "bigvgan": pretrained / (flow.vocoder_folder if flow else ""),
        "reference.wav": root / "logs" / NAME / "5-wav32k" / "a.wav",
    }
    for name, place in places.items():
        if (files / name).exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(files / name, target_is_directory=(files / name).is_dir())
    lines = f"a.wav\tDH AH0\tNone\t{REFERENCE_TEXT}\n"
    (root / "logs" / NAME / "2-name2text.txt").write_text(lines, encoding="utf-8")
    for name in ("api_v2.py", "config.py"):
        (root / name).touch()
    return root


def make_chain(version: str, folder: Path, *, tiny: bool = True) -> Chain:
    """Demo files, the bundle built from them, and its FP16 twin; parts that voices share lie in one folder."""
    spec = MODEL_SPECS[version]
    made = Chain(spec, folder / f"{version}-files", folder / version, folder / f"{version}-fp16")
    run("demo-checkpoint", made.files, *(["--tiny"] if tiny else []), "--version", version)
    tree = installation(made.files, version, folder / f"{version}-GPT-SoVITS")
    run("build", "--from", tree, "-o", made.bundle, "--no-verify")
    # Calibration on one sentence: other tests see the whole of it. What is built here is verified below.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sovits_calibration.observe.corpus", lambda symbols: corpus(symbols)[:1])
        patch.setattr("sovits_calibration.observe.LOUDNESS", (1.0,))
        run("convert", made.bundle, "--fp16", "-o", made.fp16, "--no-verify")
    return made


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_verify(chain: Chain, precision: str):
    report = json.loads(
        run("verify", chain.bundle if precision == "fp32" else chain.fp16, "--threads", 1, "--json")
    )
    assert report["passed"]
    checks = {check["name"]: check for check in report["checks"]}
    expected = {"sovits_encoder", "teacher-forced logits" if precision == "fp32" else "teacher-forced KL"}
    expected |= {"cfm_condition", "mel_vocoder"} if chain.spec.flow else {"sovits_flow", "sovits_vocoder"}
    expected |= {"speaker"} if chain.spec.speaker_network else set()
    assert expected <= set(checks)
    assert checks["audio SNR"]["value"] >= (60 if precision == "fp32" else 35)


@pytest.mark.skipif(library() is None, reason="sovits-export-native is not installed")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_native_vocoder_makes_the_sound(chain: Chain, precision: str):
    """Of every HiFi-GAN; v3's BigVGAN is refused by name and content."""
    bundle = chain.bundle if precision == "fp32" else chain.fp16
    if chain.spec.flow and chain.spec.flow.vocoder == "bigvgan":
        result = invoke("verify", bundle, "--vocoder-engine", "native", "--threads", 1)
        assert result.exit_code == 1
        assert f"mel_vocoder is a bigvgan in {precision}" in result.stderr
        return
    made = {}
    for engine in ("native", "onnxruntime"):
        with Synthesizer.load(bundle, vocoder_engine=engine, threads=1) as voice:
            session = voice.backend.graph("mel_vocoder" if chain.spec.flow else "sovits_vocoder")
            assert session.provider.startswith("native") == (engine == "native")
            made[engine] = session.run({name: a[..., :9] + 0.5 for name, a in session.spec.zeros().items()})
    error = relative_error(made["onnxruntime"]["waveform"], made["native"]["waveform"])
    assert error < (1e-5 if precision == "fp32" else 0.02)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_speak(chain: Chain, precision: str, tmp_path: Path):
    bundle, out = chain.bundle if precision == "fp32" else chain.fp16, tmp_path / "speech.wav"
    steps = ["--flow-steps", 2] if chain.spec.flow else []
    run(
        "speak", bundle, "--ref", chain.files / "reference.wav", "--ref-phones", chain.files / "reference.json",
        "--phones", chain.files / "target.json", "--max-seconds", 0.8, "--threads", 1, "-o", out, *steps,
    )  # fmt: skip
    samples, rate = soundfile.read(out)
    assert rate == chain.spec.sample_rate
    assert len(samples) / rate == pytest.approx(0.8 + 0.3, abs=0.02)
    assert samples[: int(0.8 * rate)].std() > 1e-4


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_speaks_with_nothing_but_a_text(chain: Chain, precision: str, tmp_path: Path, monkeypatch):
    """The bundle carries the clip that `build --from` chose, as features; nothing else is needed, in no version."""
    monkeypatch.chdir(tmp_path)
    bundle = chain.bundle if precision == "fp32" else chain.fp16
    (stored,) = Bundle.open(bundle).references
    assert (stored.name, stored.text, stored.language) == ("default", REFERENCE_TEXT, "en")
    steps = ["--flow-steps", 2] if chain.spec.flow else []
    run("speak", bundle, "Good morning.", "--max-seconds", 0.4, "--threads", 1, *steps)
    samples, rate = soundfile.read(f"{bundle.name}.wav")
    assert rate == chain.spec.sample_rate
    assert samples[: int(0.4 * rate)].std() > 1e-4


def test_steps_and_guidance(chain: Chain, tmp_path: Path):
    """Any number of steps; guidance of 0 to 2 where the version takes it, and one line where it does not."""

    def speak(name: str, *options: object) -> Result:
        return invoke(
            "speak", chain.bundle, "--ref", chain.files / "reference.wav", "--ref-phones",
            chain.files / "reference.json", "--phones", "HH AY1 .", "--max-seconds", 0.2, "--threads", 1,
            "-o", tmp_path / f"{name}.wav", *options,
        )  # fmt: skip

    def heard(name: str, *options: object) -> bytes:
        result = speak(name, *options)
        assert result.exit_code == 0, result.output
        return (tmp_path / f"{name}.wav").read_bytes()

    def refused(*options: object) -> str:
        result = speak("refused", *options)
        assert result.exit_code == 1, result.output
        (line,) = (text for text in result.stderr.splitlines() if text.startswith("error: "))
        assert "sentence 1" not in result.stderr
        return line

    if chain.spec.flow is None:
        assert "only v3, v4, v5dev and v5turbo take it" in refused("--flow-steps", 4)
        assert "only v5dev and v5turbo take it" in refused("--guidance", 1)
        return
    by_default = heard("default", "--flow-steps", chain.spec.flow.steps)
    assert heard("unnamed") == by_default
    assert len({heard(str(n), "--flow-steps", n) for n in (1, 3, 4)}) == 3
    assert (
        "Invalid value for '--guidance': 2.5 is not in the range"
        in speak("refused", "--guidance", 2.5).stderr
    )
    if chain.spec.flow.guidance is None:
        assert "only v5dev and v5turbo take it" in refused("--guidance", 1)
        return
    assert heard("own", "--guidance", chain.spec.flow.guidance) == by_default
    led = [heard(f"led {rate}", "--flow-steps", 2, "--guidance", rate) for rate in (0, 1.3, 2)]
    assert len(set(led)) == 3


def test_inspect_doctor_and_bench(chain: Chain):
    findings = json.loads(run("doctor", chain.bundle, "--json"))["findings"]
    (opened,) = (f for f in findings if f["topic"] == "bundle")
    assert (opened["level"], f"GPT-SoVITS {chain.spec.version}, opens" in opened["text"]) == ("ok", True)
    assert f"GPT-SoVITS {chain.spec.version}, {chain.spec.sample_rate} Hz" in run("inspect", chain.bundle)
    assert "fp16" in run("inspect", chain.fp16)
    result = json.loads(run("bench", chain.bundle, "--repeats", 1, "--tokens", 12, "--threads", 1, "--json"))
    stages = {stage["name"] for stage in result["stages"]}
    assert {"gpt_step", "cfm_step" if chain.spec.flow else "sovits_vocoder", "utterance"} <= stages


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_graph_runs_on_cuda(chain: Chain, precision: str):
    bundle = Bundle.open(chain.bundle if precision == "fp32" else chain.fp16)
    for name in bundle.graph_names:
        assert without_kernel(bundle.graph_path(name, form=DEVICE_FILE)) == set(), name
    assert bundle.has_form("gpt_step", ROWS_FILE)
    assert without_kernel(bundle.graph_path("gpt_step", form=ROWS_FILE)) == set()


@NEEDS_RTX
def test_lint_and_engines(chain: Chain):
    found = json.loads(run("lint", chain.fp16, "--json"))
    assert [f for f in found["findings"] if f["level"] == "error"] == []
    arguments = ("engine", "build", chain.fp16, "--target", ",".join(TARGETS), "--cache-size", 128, "--json")
    built = json.loads(run(*arguments))
    graphs = set(json.loads(run("inspect", chain.fp16, "--json"))["graphs"])
    for target in TARGETS:
        mine = {e["graph"] for e in built if e["ingredients"]["capability"] == target}
        assert mine == graphs
    assert all(e["found"] for e in json.loads(run(*arguments)))
