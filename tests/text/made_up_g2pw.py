"""A made-up G2PW model, small, with the inputs and files of the published one."""

import json

import numpy as np
import pytest

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"我们重中行银走人的要长,.很"]
POLYPHONIC = [("行", "ㄏㄤ2"), ("行", "ㄒㄧㄥ2"), ("重", "ㄓㄨㄥ4"), ("重", "ㄔㄨㄥ2")]
POLYPHONIC += [("不", "ㄅㄨ4"), ("不", "ㄈㄡ3")]
LABELS = sorted({sound for _, sound in POLYPHONIC})


def write_model(path, answers, labels=LABELS):
    """A graph with the inputs of g2pW.onnx; the answer depends on the token after the character that is asked about."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    table = np.full((len(VOCABULARY), len(labels)), 0.1, np.float32)
    for following, sound in answers.items():
        table[VOCABULARY.index(following), labels.index(sound)] = 1.0
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([0], np.int64), "zero"),
    ]
    nodes = [
        helper.make_node("Add", ["position_ids", "one"], ["following"]),
        helper.make_node("Squeeze", ["input_ids", "zero"], ["tokens"]),
        helper.make_node("Gather", ["tokens", "following"], ["found"]),
        helper.make_node("Gather", ["table", "found"], ["scores"]),
        helper.make_node("Mul", ["scores", "phoneme_mask"], ["probs"]),
    ]
    ints = {name: ["n", "t"] for name in ("input_ids", "token_type_ids", "attention_mask")}
    ints |= {name: ["n"] for name in ("char_ids", "position_ids")}
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name, shape in ints.items()]
    inputs.append(helper.make_tensor_value_info("phoneme_mask", TensorProto.FLOAT, ["m", "labels"]))
    output = helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["m", "labels"])
    graph = helper.make_graph(nodes, "g2pw", inputs, [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def write_g2pw(folder):
    """Writes the folder; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "g2pW.onnx", {"走": "ㄏㄤ2", "人": "ㄒㄧㄥ2", "要": "ㄔㄨㄥ2", ".": "ㄓㄨㄥ4"})
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), "utf-8")
    (folder / "POLYPHONIC_CHARS.txt").write_text("\n".join(f"{c}\t{s}" for c, s in POLYPHONIC), "utf-8")
    (folder / "MONOPHONIC_CHARS.txt").write_text("我\tㄨㄛ3\n們\tㄇㄣ5", "utf-8")
    table = {
        "ㄏㄤ": "hang",
        "ㄒㄧㄥ": "xing",
        "ㄓㄨㄥ": "zhong",
        "ㄔㄨㄥ": "chong",
        "ㄨㄛ": "wo",
        "ㄇㄣ": "men",
        "ㄅㄨ": "bu",
    }
    (folder / "bopomofo_to_pinyin_wo_tune_dict.json").write_text(json.dumps(table), "utf-8")
    (folder / "config.py").write_text("use_mask = True\nraise SystemExit('a config was executed')\n", "utf-8")
    return folder
