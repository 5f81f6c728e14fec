"""One voice's engines from another's, on the fake device and a fake TensorRT that refits for real."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from fake_trt import TARGET, fake_api, write_engine

from sovits_engines.engine_graph import trt_graphs
from sovits_engines.refit import weights_signature
from sovits_engines.refit_voice import refit_voice
from sovits_engines.targets import BuildTarget
from sovits_exporter.cli.main import main
from sovits_runtime.bundle import MANIFEST, Bundle, manifest_digest
from sovits_runtime.bundle.engine_store import find_engine, read_plan
from sovits_runtime.bundle.files import file_record
from sovits_runtime.errors import BackendError, VerificationError

CACHE_SIZES = (96, 256)
SMALL = {"tokens": 120, "state_frames": 240, "frames": 250, "phones": 120, "prompt": 256, "samples": 120_000}
SHARED = ("hubert", "bert")


@pytest.fixture(scope="module")
def voices(tiny, folder) -> tuple[Bundle, Bundle]:
    """The tiny voice, and one with the same graphs and other weights that has refittable engines."""
    (folder / "shared").symlink_to(tiny.shared)
    voice, other = (_copy(tiny, folder / name) for name in ("voice", "other"))
    for engine in trt_graphs(other, cache_sizes=CACHE_SIZES):
        if engine.graph in SHARED:
            continue
        model = engine.model()
        path = engine.path.with_name(f"engine-{engine.name}.onnx")
        onnx.save(model, path)
        built = {
            "weights": weights_signature(model, path.parent),
            "fused_attention_refused": False,
            "layers": {},
            "seconds": 60.0,
        }
        write_engine(other, TARGET, engine.name, path, engine.spec, built=built)
    return voice, other


def _copy(bundle: Bundle, folder) -> Bundle:
    """A copy with small profiles; the one called `other` with weights a tenth larger."""
    shutil.copytree(bundle.path, folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for graph in manifest["graphs"].values():
        for name, (least, _, most) in graph["spec"]["dims"].items():
            graph["spec"]["dims"][name] = [least, least, max(min(most, SMALL.get(name, most)), least)]
    if folder.name == "other":
        for path in _change_weights(folder / "graphs"):
            manifest["files"][f"graphs/{path.name}"] = file_record(path)
    manifest["digest"] = manifest_digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return Bundle.open(folder, shared=bundle.shared)


def _change_weights(folder) -> set:
    """Makes every weight that is not in the graph itself a tenth larger; whole numbers stay."""
    places = {}
    for path in folder.glob("*.onnx"):
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            told = {e.key: e.value for e in tensor.external_data}
            if told and tensor.data_type == onnx.TensorProto.FLOAT:
                places[folder / told["location"], int(told["offset"])] = int(told["length"]) // 4
    for (path, offset), count in places.items():
        np.memmap(path, np.float32, "r+", offset, (count,))[:] *= 1.1
    return {path for path, _ in places}


@pytest.fixture
def target(world) -> BuildTarget:
    return BuildTarget(fake_api(world), TARGET)


@pytest.fixture
def voice(voices):
    """The voice, without engines again afterwards."""
    yield voices[0]
    shutil.rmtree(voices[0].path / "engines", ignore_errors=True)


def left(voice: Bundle) -> list[str]:
    return [p.name for p in voice.path.rglob("*") if p.suffix == ".plan" or p.name.startswith(".refit")]


def test_refitted_voice_is_verified_and_speaks_as_itself(voice, voices, target, world):
    report = refit_voice(voice, voices[1], target)
    assert report.verification.passed
    assert report.verification.provider.startswith("TensorRT 10.16")
    assert {c.name for c in report.verification.checks} >= {
        "sovits_vocoder",
        "teacher-forced logits",
        "waveform",
    }
    names = {r.record.name for r in report.engines}
    assert names >= {"gpt_prefill", "gpt_step-96", "gpt_step-256", "prompt_tokens", "sovits_vocoder"}
    for result in report.engines:
        record = find_engine(voice, result.record.name, TARGET)
        assert record == result.record
        assert record.built["refitted_from"] == find_engine(voices[1], record.name, TARGET).sha256
        assert read_plan(record)
    assert len(left(voice)) == len(names)
    again = refit_voice(voice, voices[1], target)
    assert again.verification is None
    assert [r.record for r in again.engines] == [r.record for r in report.engines]
    assert not any(r.built for r in again.engines)
    assert world.device.used == 0


@pytest.mark.parametrize("fault", [{"refits_nothing": True}, {"loses": "layers.0.linear1.bias"}])
def test_refit_that_does_wrong_is_found_and_nothing_is_kept(voice, voices, target, world, fault):
    vars(world).update(fault)
    with pytest.raises(VerificationError, match=r"give something else: .*; nothing was kept, build engines"):
        refit_voice(voice, voices[1], target)
    assert left(voice) == []


def test_sources_that_cannot_serve_are_named(voice, voices, target, tiny):
    with pytest.raises(
        BackendError, match=r"no refittable engine \w+ for sm89-trt10\.16-cu12; .* --refittable"
    ):
        refit_voice(voices[1], voice, target)
    with pytest.raises(BackendError, match=r"takes other sizes than that of .*other; build engines"):
        refit_voice(tiny, voices[1], target)
    assert left(voice) == []


def test_another_graph_is_refused(voice, voices, target, monkeypatch):
    def changed(engine, **options):
        model = onnx.load(engine.path, load_external_data=False)
        model.graph.node[0].name += "x"
        return model

    monkeypatch.setattr("sovits_engines.engine_graph.TrtGraph.model", changed)
    with pytest.raises(
        BackendError, match=r"in more than its weights; convert the voice with --like, or build"
    ):
        refit_voice(voice, voices[1], target)
    assert left(voice) == []


def test_command(voice, voices, target, monkeypatch):
    monkeypatch.setattr("sovits_engines.targets.build_targets", lambda *_, **__: [target])
    words = ["engine", "refit", str(voice.path), "--from", str(voices[1].path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "gpt_step-256" in result.stdout
    assert "teacher-forced logits" in result.stdout
    assert "8 engines" in result.stdout
    assert f"{voice.path}: verified on its own golden values" in result.stdout
    (told,) = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert (told["bundle"], told["verification"]) == (str(voice.path), None)
    assert {e["found"] for e in told["engines"]} == {True}
