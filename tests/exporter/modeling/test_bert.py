"""BERT against transformers (golden values, the library itself); the exported graph against the module."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from sovits_exporter.modeling.bert import Bert, BertConfig
from sovits_runtime.errors import CheckpointError

GOLDEN = Path(__file__).parents[2] / "data" / "pretrained_golden.npz"
SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
TRACED = 12
LENGTHS = (3, 4, 30, 510, 512)
LIMIT = 1e-4  # of the output's scale


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_bert(config: dict[str, object], seed: int = 0) -> Bert:
    module = Bert(BertConfig.from_config(config)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        p.add_(torch.randn(p.shape, generator=generator) * 0.1)
    return module


def random_ids(n: int) -> torch.Tensor:
    return torch.randint(0, 50, (1, n), generator=torch.Generator().manual_seed(n))


def scaled_difference(got: np.ndarray, want: np.ndarray) -> float:
    assert got.shape == want.shape
    assert got.dtype == want.dtype == np.float32
    return float(np.abs(got - want).max() / np.abs(want).max())


def export(module: Bert, path: Path) -> ort.InferenceSession:
    tokens = torch.export.Dim("tokens", min=3, max=module.config.positions)
    program = torch.onnx.export(
        module,
        (random_ids(TRACED),),
        dynamo=True,
        dynamic_shapes=({1: tokens},),
        input_names=["input_ids"],
        output_names=["features"],
        opset_version=24,
        verbose=False,
    )
    program.save(path, external_data=True)
    onnx.checker.check_model(path, full_check=True)
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_golden() -> None:
    with np.load(GOLDEN) as golden:
        config = json.loads(str(golden["bert/config"]))
        state = {
            n.removeprefix("bert/w/"): torch.from_numpy(golden[n]).float()
            for n in golden
            if n.startswith("bert/w/")
        }
        runs = [(golden[f"bert/in_{i}"], golden[f"bert/out_{i}"]) for i in range(3)]
    module = Bert(BertConfig.from_config(config)).eval().requires_grad_(False)
    module.load_state_dict(state)
    for ids, want in runs:
        assert scaled_difference(module(torch.from_numpy(ids)).numpy(), want) < 1e-5


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM"])
def test_equals_transformers(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    reference = getattr(transformers, kind)(transformers.BertConfig(**SMALL)).eval().requires_grad_(False)
    module = Bert(BertConfig.from_config(reference.config.to_dict())).eval().requires_grad_(False)
    module.load_state_dict(reference.state_dict())
    for n in LENGTHS:
        ids = random_ids(n)
        want = reference(ids, output_hidden_states=True).hidden_states[-3][0, 1:-1].numpy()
        assert scaled_difference(module(ids).numpy(), want) < 1e-5, n


def test_exported_graph_at_other_lengths(tmp_path: Path) -> None:
    module = random_bert(SMALL)
    session = export(module, tmp_path / "bert.onnx")
    for n in LENGTHS:
        ids = random_ids(n)
        got = session.run(None, {"input_ids": ids.numpy()})[0]
        assert got.shape == (n - 2, 32)
        assert scaled_difference(got, module(ids).numpy()) < LIMIT, n
    graph = onnx.load(tmp_path / "bert.onnx", load_external_data=False).graph
    ops = Counter(node.op_type for node in graph.node)
    assert (ops["Gemm"], ops["LayerNormalization"], ops["Gelu"], ops["Softmax"]) == (12, 5, 2, 2)
    weights = {n for n, p in module.named_parameters() if p.dim() > 1 and "token_type" not in n}
    assert weights <= {i.name for i in graph.initializer}


def test_unused_layers_are_not_built() -> None:
    module = random_bert(SMALL)
    assert len(module.encoder.layer) == 2
    state = dict(module.state_dict())
    state |= {name.replace("layer.1.", "layer.2."): t + 1 for name, t in state.items() if "layer.1." in name}
    state |= {"pooler.dense.weight": torch.ones(1), "embeddings.position_ids": torch.arange(512)[None]}
    other = random_bert(SMALL, seed=1)
    other.load_state_dict(state)
    assert torch.equal(other(random_ids(9)), module(random_ids(9)))


def test_old_names_of_norms() -> None:
    module, other = random_bert(SMALL), random_bert(SMALL, seed=1)
    old = {
        f"bert.{n}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): t
        for n, t in module.state_dict().items()
    }
    other.load_state_dict({**old, "cls.predictions.bias": torch.ones(50)})
    assert torch.equal(other(random_ids(9)), module(random_ids(9)))


def test_missing_tensor_is_seen_by_strict_loading() -> None:
    module = random_bert(SMALL)
    state = module.state_dict()
    del state["encoder.layer.1.output.dense.bias"]
    with pytest.raises(RuntimeError, match=r"layer\.1\.output\.dense\.bias"):
        module.load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True, expected False"),
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ({"num_hidden_layers": 2}, "2 layers, expected at least 3"),
        ({"num_attention_heads": 5}, "not a multiple of 5 heads"),
        ({"vocab_size": 2.5}, r"vocab_size is 2\.5"),
    ],
)
def test_refused_configs(change: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as e:
        BertConfig.from_config({**SMALL, **change})
    assert "\n" not in str(e.value)
