"""Convolutions in int8: the arithmetic, hostile numbers, and the choice of layers within a limit."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sovits_calibration.int8_ranges import conv_statistics
from sovits_engines.passes.int8_conv import LARGEST_WEIGHT, LEVELS, quantizable_convs, quantize_convs
from sovits_engines.passes.model_file import load_model
from sovits_exporter.graphs.files import write_models
from sovits_exporter.precision import int8_search
from sovits_exporter.precision.int8_search import ConvError, choose_convs
from sovits_exporter.precision.limits import Limits
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BundleError, VerificationError
from sovits_runtime.verify.metrics import log_mel_distance_db, snr_db

RATE = 32000
ANYTHING = Limits(snr_db=-1e3, log_mel_db=1e3)


def model(text, **weights):
    parsed = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 24]> g {text}')
    parsed.graph.initializer.extend(onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
    return ir.from_proto(onnx.shape_inference.infer_shapes(parsed, strict_mode=True))


def opened(m, optimized=None):
    proto = ir.to_proto(m)
    onnx.checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if optimized:
        options.optimized_model_filepath = str(optimized)
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(m, **feeds):
    return opened(m).run(None, feeds)


def weight(rng, n_out, n_in, kernel=3):
    return (rng.standard_normal((n_out, n_in, 1, kernel)) / np.sqrt(n_in * kernel)).astype(np.float32)


ONE = """(float[1,4,1,n] x) => (float[1,16,1,m] y) { y = Conv<kernel_shape=[1,2]>(x, w, b) }"""
PAIR = """(float[1,16,1,n] x) => (float[1,16,1,n] z) {
    a = LeakyRelu<alpha=0.1>(x)
    h = Conv<kernel_shape=[1,3],pads=[0,1,0,1]>(a, w1, b1)
    r = LeakyRelu<alpha=0.1>(h)
    y = Conv<kernel_shape=[1,3],pads=[0,1,0,1]>(r, w2, b2)
    z = Add(y, x)
}"""


def pair(rng, bias=0.1):
    biases = {k: (bias * rng.standard_normal(16)).astype(np.float32) for k in ("b1", "b2")}
    return model(PAIR, w1=weight(rng, 16, 16), w2=weight(rng, 16, 16), **biases)


def ranges_of(m, x):
    """Min and max of everything that the convolutions of a small model read and write."""
    probed = ir.from_proto(ir.to_proto(m))
    values = {v for n in probed.graph if n.op_type == "Conv" for v in (n.inputs[0], n.outputs[0])}
    inner = [v for v in values if not v.is_graph_output() and v not in probed.graph.inputs]
    probed.graph.outputs.extend(inner)
    session = opened(probed)
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": x}), strict=True))
    return {name: (float(a.min()), float(a.max())) for name, a in (found | {"x": x}).items()}


@pytest.mark.parametrize("sign", [1, -1])
def test_largest_sums_are_exact(sign):
    """All inputs at 255 and all weights at 64: nothing saturates, and 255 * 64 * 8 comes back to the last digit."""
    largest = LEVELS * LARGEST_WEIGHT * 8
    m = model(ONE, w=np.full((16, 4, 1, 2), sign * LARGEST_WEIGHT, np.float32), b=np.zeros(16, np.float32))
    ends = sorted((0.0, float(sign * largest)))
    quantize_convs(m, layers=["y"], ranges={"x": (0.0, LEVELS), "y": (ends[0], ends[1])})
    (y,) = run(m, x=np.full((1, 4, 1, 9), LEVELS, np.float32))
    assert np.array_equal(y, np.full_like(y, sign * largest))


def test_a_pair_of_products_fits_16_bits():
    pair_sum = 2 * LEVELS * LARGEST_WEIGHT
    assert pair_sum <= np.iinfo(np.int16).max
    m = pair(np.random.default_rng(0))
    quantize_convs(m, layers=["h", "y"], ranges=dict.fromkeys(["a", "h", "r", "y"], (-1.0, 1.0)))
    whole = [v.const_value.numpy() for name, v in m.graph.initializers.items() if name.endswith(".int")]
    weights = [w for w in whole if w.ndim == 4]
    assert len(weights) == 2
    assert {w.dtype for w in weights} == {np.dtype(np.int8)}
    assert all(np.abs(w.astype(int)).max() == LARGEST_WEIGHT for w in weights)


def test_integers_as_written():
    """The result is that of whole numbers, to a rounding of the last level."""
    rng = np.random.default_rng(1)
    m = model(ONE, w=weight(rng, 16, 4, 2), b=rng.standard_normal(16).astype(np.float32))
    w, b = (m.graph.initializers[k].const_value.numpy() for k in ("w", "b"))
    x = rng.standard_normal((1, 4, 1, 50)).astype(np.float32)
    quantize_convs(m, layers=["y"], ranges={"x": (-2.0, 3.0), "y": (-4.0, 4.0)})
    (y,) = run(m, x=x)
    step, out = 5.0 / 255, 8.0 / 255
    zero, out_zero = round(2.0 / step), round(4.0 / out)
    steps = np.abs(w).max((1, 2, 3)) / 64
    ints = np.clip(np.rint(x[0, :, 0] / step) + zero, 0, 255) - zero
    kernel = np.rint(w / steps[:, None, None, None])[:, :, 0]
    sums = sum(kernel[:, :, k] @ ints[:, k : 49 + k] for k in range(2)) + np.rint(b / steps / step)[:, None]
    exact = sums * steps[:, None] * step
    levels = np.clip(np.rint(exact / out) + out_zero, 0, 255)
    assert np.abs(y[0, :, 0] / out + out_zero - levels).max() < 1.01
    assert np.mean(np.abs(y[0, :, 0] / out + out_zero - levels) > 0.01) < 0.01


def test_neighbours_stay_int8(tmp_path):
    rng = np.random.default_rng(2)
    m = pair(rng)
    x = rng.standard_normal((1, 16, 1, 400)).astype(np.float32)
    exact = run(m, x=x)[0]
    ranges = ranges_of(m, x)
    quantize_convs(m, layers=["h", "y"], ranges=ranges)
    got = opened(m, tmp_path / "optimized.onnx").run(None, {"x": x})[0]
    ops = [n.op_type for n in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert ops.count("QLinearConv") == 2
    assert "Conv" not in ops
    assert ops.count("QLinearLeakyRelu") == 1
    assert 35 < snr_db(exact.ravel(), got.ravel()) < 60


def test_only_the_named_layers_change():
    rng = np.random.default_rng(3)
    m = pair(rng)
    kept = m.graph.initializers["w2"].const_value
    quantize_convs(m, layers=["h"], ranges=dict.fromkeys(["a", "h"], (-3.0, 3.0)))
    second = next(n for n in m.graph if n.outputs[0].name == "y")
    assert second.inputs[1].const_value is kept
    assert second.inputs[0].producer().op_type == "LeakyRelu"
    assert "w1" not in m.graph.initializers


def test_one_rounding_for_all_readers():
    rng = np.random.default_rng(4)
    text = """(float[1,8,1,n] x) => (float[1,8,1,n] a, float[1,8,1,n] c) {
        a = Conv(x, w)
        b = Conv(x, v)
        c = Conv(b, w)
    }"""
    m = model(text, w=weight(rng, 8, 8, 1), v=weight(rng, 8, 8, 1))
    x = rng.standard_normal((1, 8, 1, 100)).astype(np.float32)
    expected = run(m, x=x)
    quantize_convs(m, layers=["a", "b", "c"], ranges=ranges_of(m, x))
    assert [v.name for v in m.graph.outputs] == ["a", "c"]
    assert sum(n.op_type == "QuantizeLinear" for n in m.graph) == 4  # x, a, b, c
    for exact, got in zip(expected, run(m, x=x), strict=True):
        assert snr_db(exact.ravel(), got.ravel()) > 30


@pytest.mark.parametrize(
    ("w", "b", "x", "ends"),
    [
        (1.0, 1e9, 1e-6, {"x": (0.0, 1e-6), "y": (0.0, 1e9)}),  # the bias over both steps would pass int32
        (0.0, 3.0, 1.0, {"x": (-1.0, 1.0), "y": (0.0, 3.0)}),  # a channel without weights
        (1.0, 0.5, 0.0, {"x": (0.0, 0.0), "y": (0.0, 0.5)}),  # an input that is always 0
        (1e-30, 0.0, 1e-12, {"x": (0.0, 1e-12), "y": (0.0, 1e-30)}),
        (1e12, -1e15, 1e3, {"x": (-1e3, 1e3), "y": (-1e15, 1e16)}),
    ],
)
def test_hostile_numbers(w, b, x, ends):
    m = model(ONE, w=np.full((16, 4, 1, 2), w, np.float32), b=np.full(16, b, np.float32))
    x = np.full((1, 4, 1, 9), x, np.float32)
    exact = run(m, x=x)[0]
    quantize_convs(m, layers=["y"], ranges=ends)
    got = run(m, x=x)[0]
    assert np.abs(got - exact).max() <= 0.02 * max(abs(e) for e in ends["y"])


@pytest.mark.parametrize("ends", [(0.0, np.inf), (np.nan, 1.0), (2.0, 1.0)])
def test_a_range_that_is_none(ends):
    m = pair(np.random.default_rng(5))
    with pytest.raises(BundleError, match=r"the range of h is .* expected finite"):
        quantize_convs(m, layers=["h"], ranges={"a": (-1.0, 1.0), "h": ends})
    assert [n.op_type for n in m.graph] == ["LeakyRelu", "Conv", "LeakyRelu", "Conv", "Add"]


def test_a_layer_that_cannot_be():
    m = pair(np.random.default_rng(6))
    with pytest.raises(BundleError, match="r is not a convolution of graph g"):
        quantize_convs(m, layers=["r"], ranges={})
    with pytest.raises(BundleError, match="layer y: no range of r was measured"):
        quantize_convs(m, layers=["y"], ranges={"y": (0.0, 1.0)})
    grouped = model(
        "(float[1,8,1,n] x) => (float[1,8,1,n] y) { y = Conv<group=8>(x, w) }", w=np.ones((8, 1, 1, 1), "f")
    )
    assert quantizable_convs(grouped) == []


def test_ranges_fit_what_is_read_and_every_run(tmp_path):
    rng = np.random.default_rng(7)
    m = pair(rng, bias=0.0)
    m.graph.name = "pair"
    quiet = rng.standard_normal((1, 16, 1, 4000)).astype(np.float32)
    extremes = ranges_of(m, quiet)["h"]
    write_models([m], tmp_path, "pair")

    def ranges(*xs):
        return conv_statistics(tmp_path / "pair.onnx", [{"x": x} for x in xs]).ranges

    low, high = ranges(quiet)["h"]
    assert 0.7 * extremes[1] < high <= extremes[1]
    assert 0.2 * extremes[0] > low > 0.8 * extremes[0]  # the LeakyRelu makes little of negative numbers
    assert ranges(quiet, 8 * quiet)["a"][1] > 16.0  # one loud run among quiet ones is not cut off
    with pytest.raises(VerificationError, match="a reaches from"):
        ranges(np.full_like(quiet, np.nan))


VOCODER = """(float[1,8,n] z) => (float[1,n] wave) {
    i1 = Constant<value_ints=[2]>()
    i0 = Constant<value_ints=[1,2]>()
    x = Unsqueeze(z, i1)
    c0 = Conv<kernel_shape=[1,3],pads=[0,1,0,1]>(x, w0)
    r0 = LeakyRelu<alpha=0.1>(c0)
    c1 = Conv<kernel_shape=[1,3],pads=[0,1,0,1]>(r0, w1)
    s1 = Add(c1, c0)
    r1 = LeakyRelu<alpha=0.1>(s1)
    c2 = Conv<kernel_shape=[1,3],pads=[0,1,0,1]>(r1, w2)
    s2 = Add(c2, s1)
    c3 = Conv<kernel_shape=[1,1]>(s2, w3)
    t = Tanh(c3)
    wave = Squeeze(t, i0)
}"""


@pytest.fixture
def vocoder(tmp_path, monkeypatch):
    """A small vocoder; int8 ruins its third layer, whose input has one large channel that hardly counts."""
    rng = np.random.default_rng(8)
    weights = {f"w{i}": weight(rng, 16, n) for i, n in enumerate((8, 16, 16))}
    weights["w1"][0] *= 3e3
    weights["w2"][:, 0] *= 1e-4
    weights["w3"] = 0.1 * weight(rng, 1, 16, 1)
    weights["w3"][:, 0] = 0.0
    m = model(VOCODER, **weights)
    m.graph.name = "vocoder"
    write_models([m], tmp_path, "vocoder")
    runs = [{"z": rng.standard_normal((1, 8, 2000)).astype(np.float32)} for _ in range(4)]
    monkeypatch.setattr(int8_search, "_fastest", lambda *_: (2.0, 1.0))
    return tmp_path / "vocoder.onnx", runs


def measured(path, layers, ranges, runs):
    """The same error, by another way."""
    exact = opened(load_model(path))
    changed = load_model(path)
    quantize_convs(changed, layers=layers, ranges=ranges)
    int8 = opened(changed)
    pairs = [(exact.run(None, r)[0][0], int8.run(None, r)[0][0]) for r in runs]
    return min(snr_db(a, b) for a, b in pairs), max(log_mel_distance_db(a, b, RATE) for a, b in pairs)


def test_the_choice_keeps_the_limits(vocoder):
    path, runs = vocoder
    choice = choose_convs(path, runs, rate=RATE, limits=Limits(snr_db=25.0, log_mel_db=2.0))
    alone = {layer.weight: layer.alone for layer in choice.layers}
    assert list(alone) == ["w0", "w1", "w2", "w3"]
    assert alone["w2"].snr_db < 10.0
    assert choice.chosen == {"c0"}
    assert choice.error.snr_db >= 25.0
    snr, log_mel = measured(path, choice.chosen, choice.ranges, runs[1::2])
    assert choice.error == ConvError(pytest.approx(snr, abs=0.01), pytest.approx(log_mel, abs=0.001))
    for layer in choice.layers:
        snr, log_mel = measured(path, [layer.name], choice.ranges, runs[1:2])
        assert layer.alone == ConvError(pytest.approx(snr, abs=0.01), pytest.approx(log_mel, abs=0.001))


def test_nothing_passes_a_limit_that_is_too_tight(vocoder):
    path, runs = vocoder
    choice = choose_convs(path, runs, rate=RATE, limits=Limits(snr_db=200.0, log_mel_db=0.5))
    assert choice.chosen == frozenset()
    assert choice.error == ConvError(float("inf"), 0.0)
    table = choice.to_json()
    assert table["error"]["snr_db"] is None
    assert [layer["chosen"] for layer in table["layers"]] == [False] * 4


def test_the_log_mel_limit_counts(vocoder):
    path, runs = vocoder
    loose = choose_convs(path, runs, rate=RATE, limits=ANYTHING)
    assert len(loose.chosen) == 4
    tight = choose_convs(
        path, runs, rate=RATE, limits=Limits(snr_db=-1e3, log_mel_db=loose.error.log_mel_db / 4)
    )
    assert tight.error.log_mel_db <= loose.error.log_mel_db / 4
    assert len(tight.chosen) < 4


def test_layers_that_save_no_time_stay(vocoder, monkeypatch):
    path, runs = vocoder
    monkeypatch.setattr(int8_search, "_fastest", lambda *_: (1.0, 1.1))
    choice = choose_convs(path, runs, rate=RATE, limits=ANYTHING)
    assert choice.chosen == frozenset()
    assert (choice.seconds_fp32, choice.seconds_int8) == (1.0, 1.1)


def test_one_run_is_not_enough(vocoder):
    path, runs = vocoder
    with pytest.raises(VerificationError, match=r"got 1 runs of vocoder\.onnx, expected at least 2"):
        choose_convs(path, runs[:1], rate=RATE)


@pytest.fixture(scope="module")
def tiny_vocoder(tiny_bundle):
    """The tiny voice's vocoder, its sample rate, and two inputs."""
    bundle = Bundle.open(tiny_bundle)
    rng = np.random.default_rng(9)
    spec = {t.name: t for t in bundle.graph_spec("sovits_vocoder").inputs}
    style = rng.standard_normal((1, spec["style"].shape[1], 1)).astype(np.float32)
    z = rng.standard_normal((2, 1, spec["z"].shape[1], 20)).astype(np.float32)
    runs = [{"z": a, "style": style} for a in z]
    return bundle.graph_path("sovits_vocoder"), bundle.spec.sample_rate, runs


def test_every_layer_of_a_voice(tiny_vocoder, tmp_path):
    path, _, runs = tiny_vocoder
    changed = load_model(path)
    names = [n.outputs[0].name for n in quantizable_convs(changed)]
    assert len(names) > 20
    ranges = conv_statistics(path, runs[:1]).ranges
    quantize_convs(changed, layers=names, ranges=ranges)
    write_models([changed], tmp_path, "int8")
    onnx.checker.check_model(str(tmp_path / "sovits_vocoder.onnx"), full_check=True)
    assert measured(path, names, ranges, runs[1:])[0] > 15.0


@pytest.mark.slow
def test_the_choice_for_a_voice(tiny_vocoder):
    path, rate, runs = tiny_vocoder
    choice = choose_convs(path, runs, rate=rate)
    assert choice.error.snr_db >= 25.0
    assert choice.error.log_mel_db <= 0.5
    assert choice.seconds_int8 > 0
