"""What a traced graph goes through before it is written."""

import numpy as np
import onnx_ir as ir

from sovits_engines.passes.fold import fold
from sovits_engines.passes.metadata import strip_metadata
from sovits_engines.passes.weight_names import name_after_weights

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)
TURNED = "(float[n,3] x) => (float[n,2] y) { val_1 = Transpose(w) unread = Exp(x) y = MatMul(x, val_1) }"


def test_what_is_computed_from_weights_alone_is_named_after_them(parse):
    model = parse(TURNED, w=MATRIX)
    assert name_after_weights(model)
    assert [n.outputs[0].name for n in model.graph] == ["w.transpose", "unread", "y"]
    assert not name_after_weights(model)


def test_constants_are_folded_and_what_nothing_reads_goes(parse, compute):
    model = parse(TURNED, w=MATRIX)
    name_after_weights(model)
    assert fold(model)
    assert [n.op_type for n in model.graph] == ["MatMul"]
    np.testing.assert_array_equal(model.graph.initializers["w.transpose"].const_value.numpy(), MATRIX.T)
    x = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(compute(model, x=x)["y"], x @ MATRIX.T)


def test_notes_about_the_source_are_removed(parse):
    model = parse(TURNED, w=MATRIX)
    model.graph[0].metadata_props["pkg.torch.onnx.stack_trace"] = "File model.py, line 1"
    model.graph[0].doc_string = "a note"
    model.graph.inputs[0].metadata_props["place"] = "forward"
    model.metadata_props["tool"] = "torch"
    assert strip_metadata(model)
    written = ir.to_proto(model)
    assert not written.metadata_props
    assert b"model.py" not in written.SerializeToString()
    assert b"a note" not in written.SerializeToString()
    assert not strip_metadata(model)
