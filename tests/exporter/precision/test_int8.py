"""An FP32 bundle with its GPT in int8 or int4: measured, chosen, refused; on the tiny voice."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from sovits_calibration.corpus import corpus
from sovits_calibration.token_kl import TokenDistance, TokenTimes
from sovits_engines.engine_graph import trt_graphs
from sovits_exporter.cli.main import main
from sovits_exporter.precision import int8 as conversion
from sovits_exporter.precision.int8 import choose, parse_precisions
from sovits_exporter.precision.int8_gpt import GptChoice
from sovits_exporter.precision.int8_search import ConvChoice, ConvError, ConvLayer
from sovits_exporter.precision.limits import Limits
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends.prepacked import prepack, remove_prepacked
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BackendError, BundleError, VerificationError
from sovits_runtime.verify import verify_bundle


class Quantized(NamedTuple):
    path: Path
    output: dict[str, Any]


@pytest.fixture(scope="module")
def int8(without_torch, tiny_bundle, folder):
    """The command on the tiny voice, where torch cannot be imported."""
    path = folder / "int8"
    options = ("--precision", "gpt=int8", "--json", tiny_bundle, "-o", path)
    return Quantized(path, without_torch("convert", *options))


@pytest.fixture
def short_corpus(monkeypatch):
    """Two sentences; the fixture above speaks them all."""
    monkeypatch.setattr("sovits_calibration.observe.corpus", lambda symbols: corpus(symbols)[:2])
    monkeypatch.setattr("sovits_calibration.observe.LOUDNESS", (1.0,))


def test_it_is_measured_and_verified(int8):
    checks = {c["name"]: c for c in int8.output["verification"]["checks"]}
    assert int8.output["verification"]["passed"]
    assert 0 < checks["teacher-forced KL"]["value"] < 0.02
    assert checks["audio SNR"]["value"] > 60  # SoVITS stays FP32
    full, chosen = int8.output["choices"]
    assert (full["precision"], full["error"]["kl"]) == ("fp32", pytest.approx(0, abs=1e-9))
    assert chosen["precision"] == "int8"
    assert 0 < chosen["error"]["kl"] < 0.02
    assert chosen["times"]["step_ms"] > 0
    assert (full["chosen"], chosen["chosen"]) == (False, True)


def test_the_bundle_is_whole_and_speaks(int8, tiny_bundle):
    bundle, source = Bundle.open(int8.path, full=True), Bundle.open(tiny_bundle)
    assert bundle.precision == "fp32+int8"
    assert bundle.manifest["precision"]["from"] == source.digest
    assert verify_bundle(bundle, threads=1).passed
    golden = bundle.golden("request")
    with Synthesizer.load(bundle, threads=1) as voice:
        made = voice.text_to_semantic.tokens(
            golden["phones"],
            golden["bert"][: len(golden["phones"])],
            golden["prompt"],
            options=SpeechOptions().sampling,
            noise=lambda step: golden["token_noise"][:1],
            max_tokens=150,
        ).finish()
    assert len(made.tokens) > 10


def test_an_onnxruntime_without_tensor_scatter_speaks_it_too(int8, older_onnxruntime):
    assert verify_bundle(Bundle.open(int8.path), threads=1, gpt_steps="onnxruntime").passed


def test_prepacked_it_gives_the_same_numbers(int8):
    bundle = Bundle.open(int8.path)
    plain = verify_bundle(bundle, threads=1)
    try:
        graphs = prepack(bundle).graphs
        assert "gpt_step" in graphs
        assert "gpt_prefill" not in graphs  # its weights are FP32, the step's are not
        kept = verify_bundle(bundle, threads=1)
    finally:
        remove_prepacked(bundle)
    assert kept.checks == plain.checks
    assert kept.actual.samples.tobytes() == plain.actual.samples.tobytes()


def test_inspect_shows_what_was_measured(int8):
    shown = CliRunner().invoke(main, ["inspect", str(int8.path)]).stdout
    assert "gpt_step          int8       KL " in shown
    assert "chosen" in shown
    assert "best token" in shown


def test_the_vocoder_is_judged_by_its_sound(short_corpus, tiny_bundle, tmp_path):
    """Limits that a tiny random vocoder can keep; the sound of the whole is verified against them."""
    path = tmp_path / "voice"
    options = ["--precision", "sovits=int8", "--min-snr", "12", "--max-log-mel", "3", "--json"]
    result = CliRunner().invoke(main, ["convert", *options, str(tiny_bundle), "-o", str(path)])
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)
    (row,) = output["choices"]
    assert row["part"] == "sovits"
    assert row["chosen"] == any(layer["chosen"] for layer in row["layers"])
    checks = {c["name"]: c for c in output["verification"]["checks"]}
    assert checks["audio SNR"]["limit"] == (12 if row["chosen"] else 60)
    assert checks["teacher-forced KL"]["value"] == pytest.approx(0, abs=1e-9)
    shown = CliRunner().invoke(main, ["inspect", str(path)]).stdout
    assert f"of {len(row['layers'])} layers in int8" in shown


def test_where_nothing_is_within_the_limits_all_stays_fp32_or_is_refused(
    short_corpus, tiny_bundle, tmp_path, monkeypatch
):
    """The test above tries every layer of a vocoder; here none was good enough."""
    measured = ConvChoice((LAYER,), {}, ConvError(float("inf"), 0.0), 1.0, 1.0)
    monkeypatch.setattr(conversion, "vocoder_choice", lambda *_, **__: measured)
    strict = ["--max-kl", "1e-12", "--min-snr", "200", str(tiny_bundle), "-o"]
    result = CliRunner().invoke(main, ["convert", "--precision", "auto", *strict, str(tmp_path / "voice")])
    assert result.exit_code == 0, result.output
    bundle = Bundle.open(tmp_path / "voice")
    assert bundle.precision == "fp32"
    assert [c["chosen"] for c in bundle.manifest["precision"]["choices"]] == [True, False, False, False]
    result = CliRunner().invoke(
        main, ["convert", "--precision", "sovits=int8", *strict, str(tmp_path / "other")]
    )
    assert result.exit_code == 3
    assert "no layer of the vocoder" in result.output
    assert not (tmp_path / "other").exists()


def test_gpus_and_engines_refuse_it(int8):
    bundle = Bundle.open(int8.path)
    with pytest.raises(BackendError, match=r"fp32\+int8 for ONNX Runtime's CPU"):
        Synthesizer.load(bundle, device="cuda")
    with pytest.raises(BundleError, match="engines are built from the FP32 bundle"):
        trt_graphs(bundle)
    with_precision = ["convert", "--precision", "int4", str(int8.path), "-o", str(int8.path.parent / "again")]
    result = CliRunner().invoke(main, with_precision)
    assert result.exit_code == 1
    assert "give the FP32 bundle" in result.output


def test_what_costs_too_much_is_refused_and_nothing_is_written(short_corpus, tiny_bundle, tmp_path):
    command = ["convert", "--precision", "gpt=int4", "--max-kl", "1e-9", str(tiny_bundle), "-o"]
    result = CliRunner().invoke(main, [*command, str(tmp_path / "voice")])
    assert result.exit_code == 3
    assert "allowed 1e-09" in result.output
    assert not list(tmp_path.iterdir())


LAYER = ConvLayer("y", "weight", False, ConvError(12.0, 2.0), 1.0, 0.5)
CHOICE = GptChoice("fp32", TokenDistance(0.0, 1.0, 0.0, 10), TokenTimes(100.0, 13.0), 300)
INT8 = replace(CHOICE, precision="int8", distance=TokenDistance(0.01, 0.9, 0.1, 10), times=TokenTimes(110, 6))
INT4 = replace(CHOICE, precision="int4", distance=TokenDistance(0.9, 0.3, 3.0, 10), times=TokenTimes(110, 5))
ALL = [CHOICE, INT8, INT4]


@pytest.mark.parametrize(
    ("asked", "kl", "taken"),
    [
        ("auto", 0.02, INT8),
        ("auto", 0.005, CHOICE),
        ("auto", 1e-4, CHOICE),
        ("auto", 1.0, INT4),
        ("int8", 0.02, INT8),
        ("int4", 1.0, INT4),
    ],
)
def test_the_fastest_within_the_limit_is_taken(asked, kl, taken):
    assert choose(ALL, asked, Limits(kl)) is taken


def test_a_gpt_that_is_not_finite_is_never_taken():
    broken = replace(INT8, distance=TokenDistance(float("nan"), 0.9, 0.1, 10))
    assert choose([CHOICE, broken], "auto", Limits(1.0)) is CHOICE
    with pytest.raises(VerificationError, match="mean KL nan nats"):
        choose([CHOICE, broken], "int8", Limits(1.0))


def test_precisions_are_read_by_part():
    assert parse_precisions("auto") == {"gpt": "auto", "sovits": "auto"}
    assert parse_precisions("int4") == {"gpt": "int4"}
    assert parse_precisions("gpt=int4,sovits=int8") == {"gpt": "int4", "sovits": "int8"}
    for wrong in ("int7", "gpt=int7", "bert=int8", "gpt=", "gpt=fp16", "sovits=int4"):
        with pytest.raises(ValueError, match=r"expected auto.*gpt=fp32\|int8\|int4; sovits=fp32\|int8"):
            parse_precisions(wrong)


@pytest.mark.parametrize(
    "options", [["--fp16", "--precision", "int8"], ["--precision", "int7"], [], ["--precision", "fp32"]]
)
def test_contradictions_are_wrong_use(options, tiny_bundle, tmp_path):
    result = CliRunner().invoke(main, ["convert", *options, str(tiny_bundle), "-o", str(tmp_path / "v")])
    assert result.exit_code == 2


@pytest.mark.parametrize(("graphs", "expected"), [((conversion.VOCODER,), "int8"), ((), "fp32")])
def test_a_voice_without_that_vocoder_says_that_its_sound_stays_fp32(graphs, expected, caplog):
    source = SimpleNamespace(path="v4-voice", spec=SimpleNamespace(version="v4"), graph_names=graphs)
    assert conversion._vocoder_precision(source, {"gpt": "int8", "sovits": "int8"}) == expected
    assert ("v4-voice: int8 is for the vocoder of v1 to v2ProPlus" in caplog.text) == (not graphs)
