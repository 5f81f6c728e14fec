"""The places of weights in a `.onnx` file, against the onnx package."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sovits_runtime.bundle.external_weights import (
    External,
    Stretch,
    change_external,
    map_external,
    read_external,
    read_weights,
    share_weights,
)


def write(folder, name, weights, packed):
    """A model that adds its weights up; `packed` has a copy of each in another layout, under a key."""
    tensors, content, at = [], bytearray(), 0

    def add(data):
        nonlocal at
        content.extend(bytes(-len(content) % 64))
        at = len(content)
        content.extend(data)
        return at

    for key, array in weights.items():
        tensor = numpy_helper.from_array(array, key)
        raw = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": f"{name}.weights", "offset": str(add(raw)), "length": str(len(raw))}
        if key in packed:
            entries["prepacked_0"] = f"{packed[key]}|{add(raw[::-1])};{len(raw)};0|{add(raw[:8])};8;0"
        for k, v in entries.items():
            tensor.external_data.add(key=k, value=v)
        tensors.append(tensor)
    tensors.append(numpy_helper.from_array(np.ones(3, np.float32), "within"))
    nodes = [helper.make_node("Sum", list(weights), ["y"])]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [40, 50])
    graph = helper.make_graph(nodes, "sum", [], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    (folder / f"{name}.weights").write_bytes(bytes(content))
    return folder / f"{name}.onnx"


def arrays(seed, *names):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((40, 50)).astype(np.float32) for name in names}


def test_places_are_read_as_the_onnx_package_reads_them(tmp_path):
    path = write(tmp_path, "a", arrays(0, "w", "v"), {"w": "Gemm+123"})
    found = read_external(path.read_bytes())
    assert set(found) == {"w", "v"}
    assert found["w"].location == "a.weights"
    assert found["w"].raw == Stretch(0, 8000)
    assert found["w"].packed == {"Gemm+123": (Stretch(8000, 8000), Stretch(16000, 8))}
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        entries = {e.key: e.value for e in tensor.external_data}
        if entries:
            assert found[tensor.name] == External.from_entries(entries)


def test_weights_are_read_in_their_own_types_and_shapes(tmp_path):
    rng = np.random.default_rng(5)
    outside = {
        dtype: (9 * rng.standard_normal((3, 8))).astype(dtype)
        for dtype in ("float32", "float16", "float64", "int8", "uint8", "int32", "int64", "bool")
    }
    path = write(tmp_path, "a", outside, {"float32": "Gemm+1"})
    found = read_weights(path)
    assert set(found) == {*outside, "within"}
    assert (found["within"].dtype, found["within"].tolist()) == ("float32", [1, 1, 1])
    places = map_external(path)
    assert set(places) == set(outside)
    for name, array in outside.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)
        (file, offset), mapped = places[name]
        assert np.array_equal(mapped, array)
        assert (tmp_path / file).read_bytes()[offset:].startswith(array.tobytes())
        assert not mapped.flags.writeable


def test_weights_of_types_that_numpy_lacks_are_left_out(tmp_path):
    tensors = [
        helper.make_tensor("bfloat", TensorProto.BFLOAT16, [2], bytes(4), raw=True),
        helper.make_tensor("spelled", TensorProto.FLOAT, [2], [1.0, 2.0]),
        numpy_helper.from_array(np.array(7, np.int64), "scalar"),
    ]
    graph = helper.make_graph([], "none", [], [], tensors)
    (tmp_path / "a.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    found = read_weights(tmp_path / "a.onnx")
    assert list(found) == ["scalar"]
    assert (found["scalar"].shape, int(found["scalar"])) == ((), 7)


def test_a_change_of_places_changes_nothing_else(tmp_path):
    path = write(tmp_path, "a", arrays(0, "w", "v"), {"w": "Gemm+123"})
    places = {
        "w": External("elsewhere", Stretch(1 << 33, 8000), {}),
        "v": External("here", Stretch(64, 8000), {"k": (Stretch(5, 6),)}),
    }
    changed = onnx.ModelProto.FromString(change_external(path.read_bytes(), places))
    before = onnx.load(path, load_external_data=False)
    assert {e.key: e.value for e in changed.graph.initializer[0].external_data} == {
        "location": "elsewhere",
        "offset": str(1 << 33),
        "length": "8000",
    }
    assert changed.graph.initializer[1].external_data[3].value == "k|5;6;0"
    for model in (before, changed):
        for tensor in model.graph.initializer:
            tensor.ClearField("external_data")
    assert changed == before


@pytest.mark.filterwarnings("ignore:Ignoring unknown external data key")
def test_equal_weights_are_taken_from_the_other_file(tmp_path):
    common, own, odd = arrays(0, "w", "v"), arrays(1, "u"), arrays(2, "x")
    other = write(tmp_path, "a", {**common, **arrays(3, "x")}, {"w": "Gemm+1", "v": "Gemm+2"})
    path = write(tmp_path, "b", {**common, **own, **odd}, {"w": "Gemm+1", "v": "MatMul+2", "u": "Gemm+4"})
    size = path.with_suffix(".weights").stat().st_size
    assert share_weights(path, other) == 2 * 8000 + 8  # w and its copy; v is packed for another operator
    found = read_external(path.read_bytes())
    assert {name: place.location for name, place in found.items()} == {
        "w": "a.weights",
        **dict.fromkeys(("v", "u", "x"), "b.weights"),
    }
    assert path.with_suffix(".weights").stat().st_size < size
    onnx.checker.check_model(str(path))
    model = onnx.load(path)  # reads every file
    loaded = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for name, array in {**common, **own, **odd}.items():
        assert np.array_equal(loaded[name], array)
    packed = found["u"].packed["Gemm+4"]
    content = path.with_suffix(".weights").read_bytes()
    assert content[packed[0].offset :][:8000] == own["u"].tobytes()[::-1]
    assert all(stretch.offset % 4096 == 0 for stretch in found["u"].stretches())


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match="wire type 7"):
        read_external(b"\x0f\x01")
