"""OpenVINO as an engine for single graphs: the same samples at every length, from several threads, and after a fork."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends import openvino as backend
from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.plan import Choice, Taken
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.machine import openvino as door
from sovits_runtime.machine import read_machine
from sovits_runtime.machine.openvino import installed_openvino, load_openvino, precisions
from sovits_runtime.verify.metrics import snr_db

installed = pytest.mark.skipif(installed_openvino() is None, reason="openvino is not installed")
REDUCED = [p for p in precisions(read_machine()) if p != "f32"]
PHONES = ["HH", "AH0", "L", "OW1", "."]
SHORT = SpeechOptions(max_tokens=70, pause_s=0.0)
VOCODER = "sovits_vocoder"


def open_voice(path, **engines):
    options = LoadOptions(plan="none", threads=1)
    return Synthesizer(CpuVoice(Bundle.open(path), options, Taken(Choice(engines))))


@pytest.fixture(scope="module")
def vocoders(tiny_bundle):
    """The vocoder on ONNX Runtime, and on OpenVINO in f32."""
    with (
        open_voice(tiny_bundle, sovits_vocoder="onnxruntime") as plain,
        open_voice(tiny_bundle, sovits_vocoder="openvino-f32") as other,
    ):
        yield plain.decoder, other.decoder


def frames(decoder, count, seed=0):
    rng = np.random.default_rng(seed)
    style = decoder.vocoder.spec.tensor("style").shape
    z = rng.standard_normal((1, decoder.latent_channels, count)).astype(np.float32)
    return z, 0.1 * rng.standard_normal(style).astype(np.float32)


@installed
@pytest.mark.parametrize("count", [64, 65, 100, 128, 129, 150, 233])
def test_windows_equal_the_whole_up_to_rounding(vocoders, count):
    plain, other = vocoders
    arrays = frames(plain, count)
    expected, got = plain.vocode(*arrays), other.vocode(*arrays)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


@installed
def test_what_is_shorter_than_every_window_runs_on_onnxruntime(vocoders):
    plain, other = vocoders
    arrays = frames(plain, 20)
    assert np.array_equal(plain.vocode(*arrays), other.vocode(*arrays))


@installed
def test_wrong_inputs_are_refused_as_everywhere(vocoders):
    _, other = vocoders
    with pytest.raises(ShapeError, match="sovits_vocoder"):
        other.vocoder.run({"z": np.zeros((1, 3, 64), np.float32)})


@installed
@pytest.mark.skipif(not REDUCED, reason="this processor has no fast half precision")
def test_half_precision_is_close_and_named(tiny_bundle, vocoders):
    (precision, *_) = REDUCED
    arrays = frames(vocoders[0], 150)
    with open_voice(tiny_bundle, sovits_vocoder=f"openvino-{precision}") as voice:
        assert f"OpenVINO {precision}" in voice.runs_on[VOCODER]
        assert voice.describe()["exact"] is False
        assert 25 < snr_db(vocoders[0].vocode(*arrays), voice.decoder.vocode(*arrays)) < 90


@installed
def test_chunks_equal_the_sentence_from_the_same_engine(tiny_bundle, reference):
    with open_voice(tiny_bundle, sovits_vocoder="openvino-f32") as other, open_voice(tiny_bundle) as plain:
        spoken = [
            np.concatenate([c.samples for c in voice.stream([PHONES], reference, options=SHORT)])
            for voice in (other, plain)
        ]
    assert spoken[0].shape == spoken[1].shape
    assert np.abs(spoken[0] - spoken[1]).max() < 1e-5


@installed
def test_threads_that_speak_at_once_do_not_mix(vocoders):
    plain, other = vocoders
    work = [frames(plain, 70 + 5 * seed, seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        spoken = list(pool.map(lambda arrays: other.vocode(*arrays), work))
    for arrays, got in zip(work, spoken, strict=True):
        assert np.abs(plain.vocode(*arrays) - got).max() < 1e-5


@installed
def test_closing_leaves_no_thread_that_opens(tiny_bundle):
    before = {t for t in threading.enumerate() if t.name == "open a graph"}
    open_voice(tiny_bundle, sovits_vocoder="openvino-f32").close()
    assert {t for t in threading.enumerate() if t.name == "open a graph"} <= before


@installed
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_runs_it_on_onnxruntime(vocoders):
    plain, other = vocoders
    arrays = frames(plain, 70)
    expected = plain.vocode(*arrays)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if np.array_equal(other.vocode(*arrays), expected) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@installed
def test_a_graph_that_sees_everything_runs_at_every_length_and_forgets(tiny_bundle, monkeypatch):
    monkeypatch.setattr(backend, "MOST_SHAPES", 2)
    opened = []
    compile_model = backend.compile_model
    monkeypatch.setattr(backend, "compile_model", lambda *a, **k: opened.append(a) or compile_model(*a, **k))
    with open_voice(tiny_bundle, sovits_encoder="openvino-f32") as other, open_voice(tiny_bundle) as plain:
        assert other.runs_on["sovits_encoder"] == "OpenVINO f32"
        style = frames(plain.decoder, 1)[1]
        for count in (5, 6, 7, 5):
            tokens, phones = np.arange(count), np.arange(count + 2)
            expected, got = (v.decoder.encode(tokens, phones, style) for v in (plain, other))
            assert np.abs(expected - got).max() < 1e-4 * np.abs(expected).max()
    assert len(opened) == 2


@installed
def test_what_openvino_cannot_open_is_one_line(tmp_path, tiny_bundle):
    spec = Bundle.open(tiny_bundle).graph_spec("sovits_encoder")
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no graph")
    feeds = {t.name: np.zeros(t.resolve({d.name: 5 for d in spec.dims}), t.dtype) for t in spec.inputs}
    session = backend.OpenVinoSession(
        path, spec, precision="f32", threads=1, elsewhere=lambda: pytest.fail("opened")
    )
    session.wait()
    with pytest.raises(BackendError, match=r"broken\.onnx: OpenVINO cannot open it in f32: .*--plan none"):
        session.run(feeds)


@pytest.mark.parametrize(
    ("found", "words"), [({}, "is not installed"), ({"openvino": "2023.1"}, "is 2023.1")]
)
def test_a_missing_or_old_openvino_is_named_with_the_pip_line(monkeypatch, found, words):
    monkeypatch.setattr(door, "installed_versions", lambda names: found)
    with pytest.raises(BackendError, match=rf"OpenVINO {words}.*sovits-export\[openvino\]"):
        load_openvino()
