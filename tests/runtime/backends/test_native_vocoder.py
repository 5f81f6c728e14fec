"""HiFi-GAN on compiled kernels: the sound of the graph it stands for, where it may run, and what is kept on disk."""

import json
import os
import re
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_exporter.graphs.cfm import vocoder_graph
from sovits_exporter.graphs.export import export_graph
from sovits_exporter.graphs.files import write_models
from sovits_exporter.modeling.bigvgan import Bigvgan
from sovits_exporter.modeling.hifigan import Generator, HifiganConfig
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends import cpu, native, native_vocoder, native_vocoder_packing, plan, prepacked
from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.native_packing import BF16, F32, INDEX, INT8
from sovits_runtime.backends.native_vocoder import NativeVocoder, packed_vocoder, vocoder_library
from sovits_runtime.backends.native_vocoder_packing import load_vocoder, pack_vocoder, save_vocoder
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.backends.plan import Choice, Plan, key_fields, write_plan
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.hifigan_weights import find_hifigan
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.errors import BackendError, BundleError, ShapeError
from sovits_runtime.tuning import graphs
from sovits_runtime.tuning.graphs import ratio_db
from sovits_runtime.verify.tuned import SNR_DB

NAME = "sovits_vocoder"
PHONES = ["HH", "AH0", "L", "OW1", "."]
SHORT = SpeechOptions(max_tokens=20)
V4 = HifiganConfig(
    in_channels=100,
    channels=24,
    style_width=0,
    upsample_rates=(10, 6, 2),
    upsample_kernels=(20, 12, 4),
    resblock_kernels=(3, 7, 11),
    resblock_dilations=((1, 3, 5),) * 3,
    output_bias=True,
)
"""The rates, kernels and bias of v4, at odd widths: 24, 12, 6, 3."""

lib = native.library()
pytestmark = pytest.mark.skipif(lib is None, reason="sovits-export-native is not installed")


@pytest.fixture
def fast(monkeypatch):
    """Whatever kernels run here count as known to be faster."""
    monkeypatch.setattr(native_vocoder, "FASTER", {native.kernels(lib)})


@pytest.fixture
def narrow(monkeypatch):
    """Int8 may have few channels, as voices here do."""
    monkeypatch.setattr(native_vocoder_packing, "LEAST_INT8", 1)


@pytest.fixture(scope="module")
def bundle(tiny_bundle) -> Bundle:
    return Bundle.open(tiny_bundle)


def feeds_of(spec, frames, seed=0):
    rng = np.random.default_rng(seed)
    return {t.name: rng.standard_normal(t.resolve({"frames": frames})).astype(t.dtype) for t in spec.inputs}


def assert_same(mine, theirs, *, limit=2e-5):
    assert mine.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert mine[name].shape == expected.shape
        assert mine[name].dtype == expected.dtype
        assert np.abs(mine[name] - expected).max() <= limit * np.abs(expected).max()


@pytest.fixture(scope="module")
def of_v4(folder):
    """A vocoder as v4 and v5 have it: its graph's path, spec and module."""
    return written(Generator(V4), folder / "v4")


def written(module, folder):
    torch.manual_seed(5)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.08)
    graph = vocoder_graph(module.eval(), {})
    folder.mkdir()
    path, *_ = write_models([export_graph(graph)], folder, "vocoder")
    return path, graph.spec, graph


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2, 7, 33])
def test_it_makes_the_sound_of_the_graph(bundle, threads, frames):
    spec = bundle.graph_spec(NAME)
    session = NativeVocoder(lib, spec, packed_vocoder(lib, bundle, NAME), threads=threads)
    graph = open_session(bundle.graph_path(NAME), spec, SessionOptions(threads=1))
    feeds = feeds_of(spec, frames)
    made = session.run(feeds)
    assert_same(made, graph.run(feeds))
    assert made["waveform"].tobytes() == session.run(feeds)["waveform"].tobytes()
    session.close()


def test_it_makes_the_sound_of_v4_and_v5(of_v4, narrow):
    path, spec, graph = of_v4
    weights = find_hifigan(path, spec)
    assert weights.condition is None
    assert weights.post.bias.shape == (1,)
    assert [(up.rate, up.kernel) for up in weights.ups] == [(10, 20), (6, 12), (2, 4)]
    assert {conv.dilation for conv in weights.residuals()} == {1, 3, 5}
    for form, snr in ((F32, 90), (BF16, 30), (INT8, 25)):
        session = NativeVocoder(lib, spec, pack_vocoder(lib, weights, form), threads=2)
        feeds = feeds_of(spec, 11)
        expected = graph.run(feeds)["waveform"]
        assert ratio_db(expected, session.run(feeds)["waveform"]) > snr
        session.close()


def test_float16_weights_are_widened(of_v4, folder):
    """As an FP16 bundle has them: casts at the ends, weights and constants in half the bytes."""
    path, spec, _ = of_v4
    model = onnx.load(path)
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            half = onnx.numpy_helper.to_array(weight).astype(np.float16)
            weight.CopyFrom(onnx.numpy_helper.from_array(half, weight.name))
    for node in model.graph.node:
        node.input[:] = ["half" if name == "mel" else name for name in node.input]
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["mel"], ["half"], to=onnx.TensorProto.FLOAT16))
    onnx.save(model, folder / "half.onnx")
    exact, half = find_hifigan(path, spec), find_hifigan(folder / "half.onnx", spec)
    assert half.pre.weight.dtype == np.float16
    packed = pack_vocoder(lib, half, F32)
    np.testing.assert_allclose(
        half.pre.weight.astype(np.float32), exact.pre.weight.astype(np.float16).astype(np.float32)
    )
    session = NativeVocoder(lib, spec, packed, threads=1)
    wide = NativeVocoder(lib, spec, pack_vocoder(lib, exact, F32), threads=1)
    feeds = feeds_of(spec, 5)
    assert_same(session.run(feeds), wide.run(feeds), limit=2e-2)
    assert session.run(feeds)["waveform"].tobytes() != wide.run(feeds)["waveform"].tobytes()


def changed(path, target, change):
    model = onnx.load(path, load_external_data=False)
    change(model.graph)
    onnx.save(model, target)
    return target


def _attribute(graph, operator, name, value, which=0):
    node = [n for n in graph.node if n.op_type == operator][which]
    (found,) = (a for a in node.attribute if a.name == name)
    found.CopyFrom(onnx.helper.make_attribute(name, value))


def _operator(graph, before, after):
    next(n for n in graph.node if n.op_type == before).op_type = after


def _swap(graph):
    """The residual of the first block comes from elsewhere."""
    rectifiers = [n for n in graph.node if n.op_type == "LeakyRelu"]
    rectifiers[1].input[0] = rectifiers[4].input[0]


OTHERS = {
    "another slope in one place": lambda g: _attribute(g, "LeakyRelu", "alpha", 0.2, 3),
    "another activation": lambda g: _operator(g, "LeakyRelu", "Elu"),
    "groups": lambda g: _attribute(g, "Conv", "group", 2, 4),
    "strides": lambda g: _attribute(g, "Conv", "strides", [1, 2], 4),
    "padding": lambda g: _attribute(g, "Conv", "pads", [0, 0, 0, 0], 4),
    "an endless reach": lambda g: _attribute(g, "Conv", "dilations", [1, 2**32 + 1], 4),
    "another end": lambda g: _operator(g, "Tanh", "Sigmoid"),
    "another mean": lambda g: _operator(g, "Div", "Mul"),
    "quantized": lambda g: _operator(g, "Conv", "ConvInteger"),
    "another residual": _swap,
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_network_is_not_taken_for_it(of_v4, what):
    path, spec, _ = of_v4
    other = changed(path, path.with_name("other.onnx"), OTHERS[what])
    assert find_hifigan(other, spec) is None


def test_bigvgan_is_not_taken_for_it(folder):
    config = replace(V4, upsample_rates=(4,), upsample_kernels=(8,), resblock_kernels=(3,))
    path, spec, _ = written(Bigvgan(replace(config, resblock_dilations=((1,),))), folder / "v3")
    assert find_hifigan(path, spec) is None


@pytest.mark.parametrize("damage", ["cut", "no weights", "short weights", "text"])
def test_a_damaged_graph_is_named(of_v4, tmp_path, damage):
    path, spec, _ = of_v4
    for file in path.parent.iterdir():
        shutil.copy(file, tmp_path)
    graph, weights = tmp_path / path.name, tmp_path / "vocoder.weights"
    if damage == "cut":
        graph.write_bytes(graph.read_bytes()[:-7])
    elif damage == "text":
        graph.write_text("a page of a proxy", encoding="utf-8")
    elif damage == "no weights":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(BundleError, match=r"mel_vocoder\.onnx: is damaged .*build the voice again"):
        find_hifigan(graph, spec)


def test_convolutions_that_do_not_fit_are_named(copied_bundle):
    """Sizes are ONNX Runtime's matter where it runs them; here nothing would notice before memory is read."""
    bundle = Bundle.open(copied_bundle)
    path = bundle.graph_path(NAME)

    def shorten(graph):
        (weight,) = (w for w in graph.initializer if w.name == "dec.resblocks.14.convs2.0.weight")
        (bias,) = (w for w in graph.initializer if w.name == "dec.resblocks.14.convs2.0.bias")
        for tensor in (weight, bias):
            array = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array[:1].copy(), tensor.name))

    changed(path, path, shorten)
    with pytest.raises(BundleError, match=r"sovits_vocoder\.onnx: is damaged \(its convolutions do not fit"):
        packed_vocoder(lib, bundle, NAME)


def test_without_a_plan_it_runs_where_it_is_faster(tiny_bundle, fast, reference, monkeypatch):
    said = {}
    for asked in ("auto", "onnxruntime"):
        with Synthesizer.load(tiny_bundle, threads=2, vocoder_engine=asked) as voice:
            assert voice.runs_on[NAME].startswith("native") == (asked == "auto")
            assert voice.describe()["exact"]
            said[asked] = voice.synthesize(PHONES, reference, options=SHORT).samples
    assert len(said["auto"]) == len(said["onnxruntime"])
    assert np.abs(said["auto"] - said["onnxruntime"]).max() < 1e-4
    monkeypatch.setattr(native_vocoder, "FASTER", set())
    with Synthesizer.load(tiny_bundle, threads=2) as voice:
        assert voice.runs_on[NAME] == "CPUExecutionProvider"
    with Synthesizer.load(tiny_bundle, threads=2, vocoder_engine="native") as voice:
        assert voice.runs_on[NAME].startswith("native")


def test_a_stream_has_the_chunks_of_the_graph(tiny_bundle, reference):
    """Chunks of any length, without windows."""
    chunks = {}
    for engine in ("native", "onnxruntime"):
        with Synthesizer.load(tiny_bundle, threads=2, vocoder_engine=engine) as voice:
            options = SpeechOptions(max_tokens=60)
            chunks[engine] = [c.samples for c in voice.stream([PHONES], reference, options=options)]
    assert len(chunks["native"]) > 2
    for mine, theirs in zip(chunks["native"], chunks["onnxruntime"], strict=True):
        assert mine.shape == theirs.shape
        assert np.abs(mine - theirs).max(initial=0) < 1e-4


def test_it_is_refused_where_it_cannot_run(bundle, monkeypatch):
    def problem(precision="fp32", spec=bundle.spec):
        opened = Bundle.open(bundle.path)
        opened.manifest["graphs"][NAME]["precision"] = precision
        monkeypatch.setattr(Bundle, "spec", spec)
        with pytest.raises(BackendError) as raised:
            vocoder_library(opened, NAME, "native")
        assert vocoder_library(opened, NAME, "auto") is None
        return str(raised.value)

    assert "is a hifigan in int8, native kernels take a hifigan in fp32 or fp16" in problem("int8")
    from sovits_runtime.bundle.model_spec import MODEL_SPECS

    assert "is a bigvgan in fp32" in problem(spec=MODEL_SPECS["v3"])
    monkeypatch.setattr(native_vocoder, "library", lambda: None)
    assert "is not installed; 'sovits-export doctor'" in problem()
    with pytest.raises(BackendError, match="native vocoder runs on device 'cpu', got 'cuda'"):
        Synthesizer.load(bundle, device="cuda", vocoder_engine="native")


def test_another_network_under_its_name_runs_on_onnx_runtime(tiny_bundle, fast, monkeypatch):
    """The manifest says one thing and the graph another: what the graph is counts."""
    monkeypatch.setattr(native_vocoder, "find_hifigan", lambda path, spec: None)
    with Synthesizer.load(tiny_bundle, threads=1) as voice:
        assert voice.runs_on[NAME] == "CPUExecutionProvider"
    with pytest.raises(BackendError, match=r"is another network; use --vocoder-engine onnxruntime"):
        Synthesizer.load(tiny_bundle, threads=1, vocoder_engine="native")


def test_commands_can_ask_for_it(tiny_bundle):
    for engine in ("native", "onnxruntime"):
        command = ["verify", str(tiny_bundle), "--vocoder-engine", engine, "--threads", "1", "--json"]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
        checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
        assert checks[NAME]["value"] <= 1e-4
    bench = ["bench", str(tiny_bundle), "--repeats", "1", "--tokens", "8", "--json", "--threads", "1"]
    result = CliRunner().invoke(main, [*bench, "--vocoder-engine", "native"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["conditions"]["vocoder"].startswith("native")


def test_inputs_of_other_sizes_are_named(bundle):
    spec = bundle.graph_spec(NAME)
    session = NativeVocoder(lib, spec, packed_vocoder(lib, bundle, NAME), threads=1)
    feeds = feeds_of(spec, 4)
    with pytest.raises(ShapeError, match=rf"graph {NAME}, input z"):
        session.run({**feeds, "z": feeds["z"][:, 1:]})
    transposed = np.asfortranarray(feeds["z"][0].T).T[None][:, :, ::-1][:, :, ::-1]
    assert_same(session.run({**feeds, "z": transposed}), session.run(feeds), limit=0)
    narrow = replace(spec, inputs=tuple(replace(t, shape=(1, 3, *t.shape[2:])) for t in spec.inputs))
    with pytest.raises(BundleError, match=r"its weights are for inputs of \[\d+, \d+\], expected \[3, 3\]"):
        NativeVocoder(lib, narrow, packed_vocoder(lib, bundle, NAME), threads=1)


def test_callers_at_once_take_turns_while_steps_run(tiny_bundle, reference):
    """Each gets what it gets alone; tokens are made meanwhile, which have threads of their own."""
    with Synthesizer.load(tiny_bundle, threads=2, vocoder_engine="native") as voice:
        session = voice.decoder.vocoder
        assert isinstance(session, NativeVocoder)
        feeds = [feeds_of(session.spec, 5 + i, seed=i) for i in range(4)]
        alone = [session.run(f)["waveform"].tobytes() for f in feeds]
        spoken = voice.synthesize(PHONES, reference, options=SHORT).samples.tobytes()
        wrong: list[int] = []

        def run(i: int) -> None:
            for _ in range(5):
                if i < len(feeds) and session.run(feeds[i])["waveform"].tobytes() != alone[i]:
                    wrong.append(i)
                if i == len(feeds):
                    again = voice.synthesize(PHONES, reference, options=SHORT).samples.tobytes()
                    wrong.extend([i] if again != spoken else [])

        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(feeds) + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_has_threads_of_its_own(bundle):
    spec = bundle.graph_spec(NAME)
    session = NativeVocoder(lib, spec, packed_vocoder(lib, bundle, NAME), threads=2)
    feeds = feeds_of(spec, 3)
    expected = session.run(feeds)["waveform"].tobytes()
    child = os.fork()
    if not child:
        os._exit(0 if session.run(feeds)["waveform"].tobytes() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_closing_a_voice_ends_it(tiny_bundle):
    voice = Synthesizer.load(tiny_bundle, threads=2, vocoder_engine="native")
    session = voice.decoder.vocoder
    voice.close()
    with pytest.raises(BackendError, match="load the voice again"):
        session.run(feeds_of(session.spec, 2))
    session.close()  # does nothing


@pytest.fixture
def own(copied_bundle) -> Bundle:
    return Bundle.open(copied_bundle)


def mapped(folder: Path) -> set[str]:
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return {Path(line.split(maxsplit=5)[5]).name for line in lines if str(folder) in line}


def test_prepack_keeps_it_packed(own, fast, reference, caplog):
    def speak(**options):
        with Synthesizer.load(own, threads=1, **options) as voice:
            samples = voice.synthesize(PHONES, reference, options=SHORT).samples
            return (
                samples.tobytes(),
                mapped(own.path) if sys.platform == "linux" else set(),
                dict(voice.runs_on),
            )

    plain, before, _ = speak()
    result = CliRunner().invoke(main, ["prepack", str(own.path)])
    assert result.exit_code == 0, result.output
    made = prepacked.find_prepacked(own)
    assert made.graphs[NAME] == f"{NAME}.native"
    samples, files, runs_on = speak()
    assert samples == plain
    assert runs_on[NAME].startswith("native")
    if sys.platform == "linux":
        assert f"{NAME}.native" in files - before
        assert f"{NAME}.native" not in mapped(own.path)  # it was closed
    assert not caplog.records
    assert prepacked.find_prepacked(own, vocoder_engine="onnxruntime") is None
    assert f"vocoder is none, it was built for {native.ABI}" in caplog.text
    other = prepacked.prepack(own, vocoder_engine="onnxruntime")
    assert other.graphs[NAME] == f"{NAME}.onnx"
    assert prepacked.VOCODER not in other.key_fields  # as sets were before there was such a vocoder
    _, _, runs_on = speak(vocoder_engine="onnxruntime")
    assert runs_on[NAME] == "CPUExecutionProvider"
    assert "used here" in CliRunner().invoke(main, ["inspect", str(own.path)]).output


DAMAGES = {
    "cut": lambda path, index: path.write_bytes(path.read_bytes()[:-64]),
    "unaligned": lambda path, index: index["convs"][3].update(weight=index["convs"][3]["weight"] + 4),
    "larger": lambda path, index: index["ups"][1].update(outputs=4096),
    "another rate": lambda path, index: index["ups"][0].update(rate=0),
    "even kernel": lambda path, index: index["pre"].update(kernel=6),
    "fewer": lambda path, index: index["convs"].pop(),
    "no stages": lambda path, index: index.update(ups=[], convs=[]),
    "codes at the start": lambda path, index: index["pre"].update(form=INT8),
    "unknown form": lambda path, index: index["post"].update(form=9),
    "a word": lambda path, index: index.update(slope="steep"),
    "gone": lambda path, index: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_packed_files_are_refused(bundle, tmp_path, damage):
    path = tmp_path / f"{NAME}.native"
    made = packed_vocoder(lib, bundle, NAME)
    save_vocoder(made, path)
    assert load_vocoder(lib, path).rate == made.rate
    file = path.with_name(path.name + INDEX)
    index = json.loads(file.read_text(encoding="utf-8"))
    DAMAGES[damage](path, index)
    file.write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(BundleError, match="prepack the bundle again"):
        load_vocoder(lib, path)


def test_a_set_with_a_damaged_one_is_refused(own, fast):
    made = prepacked.prepack(own)
    file = made.folder / f"{NAME}.native"
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(BundleError, match=rf"{NAME}\.native was changed.*sovits-export prepack"):
        Synthesizer.load(own)
    assert prepacked.prepack(own).problem() == ""


def test_in_int8_few_channels_stay_exact(of_v4, monkeypatch):
    """Of 24, 12, 6, 3: a convolution is int8 where it has enough on both sides."""
    path, spec, _ = of_v4
    monkeypatch.setattr(native_vocoder_packing, "LEAST_INT8", 12)
    packed = pack_vocoder(lib, find_hifigan(path, spec), INT8)
    assert [up.form for up in packed.ups] == [INT8, F32, F32]
    assert [conv.form for conv in packed.convs] == [INT8] * 18 + [F32] * 36
    assert {packed.pre.form, packed.post.form} == {F32}
    session = NativeVocoder(lib, spec, packed, threads=1)
    assert session.provider.endswith(", int8")
    monkeypatch.undo()
    session = NativeVocoder(lib, spec, pack_vocoder(lib, find_hifigan(path, spec), INT8), threads=1)
    assert session.provider.endswith(")")


def test_int8_is_tried_where_the_kernels_have_it(bundle, monkeypatch):
    tried = {}
    for kind in ("AVX2", "AVX-VNNI", "dot product", "NEON"):
        monkeypatch.setattr(graphs, "kernels", lambda lib, kind=kind: kind)
        tried[kind] = "native-int8" in graphs.engines_for(bundle, NAME)
    assert tried == {"AVX2": False, "AVX-VNNI": True, "dot product": True, "NEON": False}
    assert {"AVX-512 VNNI", "AMX", "I8MM"} < native_vocoder.INT8_KERNELS


@pytest.mark.parametrize("engine", ["native-bf16", "native-int8"])
def test_a_plan_can_take_it_rounded(own, tmp_path, monkeypatch, narrow, engine):
    """Mapped from the plan's file, judged by the limits of int8, never part of an exact choice."""
    files = tmp_path / "files"
    files.mkdir()
    file, form = cpu.rounded_file(NAME, engine), cpu.VOCODER_FORMS[engine]
    save_vocoder(packed_vocoder(lib, own, NAME, form=form), files / file)
    choices = {"tuned": Choice({NAME: engine}), "exact": Choice({NAME: "native"})}
    made = write_plan(Plan(own.path / plan.FOLDER / "new", key_fields(own), "tuned", 1, choices), files)
    assert not choices["tuned"].exact
    assert choices["exact"].exact
    feeds = feeds_of(own.graph_spec(NAME), 9)
    with monkeypatch.context() as never:
        never.setattr(native_vocoder, "packed_vocoder", None)  # it is packed already
        with Synthesizer.load(own, threads=1) as voice:
            assert voice.runs_on[NAME].endswith(", bfloat16" if form == BF16 else ", int8")
            lossy = voice.decoder.vocoder.run(feeds)["waveform"]
    session = CpuVoice(own, LoadOptions(threads=2), plan.Taken(Choice())).open_with(NAME, engine)
    assert session.run(feeds)["waveform"].tobytes() == lossy.tobytes()  # packed here and now
    with Synthesizer.load(own, threads=1, plan="exact") as voice:
        exact = voice.decoder.vocoder.run(feeds)["waveform"]
    assert SNR_DB < ratio_db(exact, lossy) < 70
    with Synthesizer.load(own, threads=1, vocoder_engine="onnxruntime") as voice:
        assert voice.runs_on[NAME] == "CPUExecutionProvider"
    for kind in ("tuned", "exact"):
        result = CliRunner().invoke(main, ["verify", str(own.path), "--plan", kind, "--threads", "1"])
        assert result.exit_code == 0, result.output
    made.file(file).write_bytes(b"")
    with pytest.raises(BundleError, match=rf"{re.escape(file)} .*--plan none"):
        Synthesizer.load(own, threads=1)
