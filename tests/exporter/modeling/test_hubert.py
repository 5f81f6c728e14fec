"""HuBERT against transformers (golden values, the library itself); the exported graph against the module."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from sovits_exporter.modeling.hubert import Hubert, HubertConfig
from sovits_runtime.errors import CheckpointError

GOLDEN = Path(__file__).parents[2] / "data" / "pretrained_golden.npz"
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
GROUP = {**SMALL, "feat_extract_norm": "group"}
LAYER = {
    **SMALL,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "feat_proj_layer_norm": False,
    "num_conv_pos_embeddings": 15,
}
TRACED = 6400
LENGTHS = (400, 401, 719, 720, 1039, 12345, 57600)  # 1, 1, 1, 2, 2, 38 and 179 frames
LIMIT = 1e-4  # of the output's scale
OPS = {
    "Add", "Conv", "Gather", "Gelu", "Gemm", "InstanceNormalization", "LayerNormalization", "MatMul", "Mul",
    "Reshape", "Softmax", "Transpose", "Unsqueeze",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_hubert(config: dict[str, object], seed: int = 0) -> Hubert:
    module = Hubert(HubertConfig.from_config(config)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for p in module.parameters():  # norms and biases included, so that none is idle
        p.add_(torch.randn(p.shape, generator=generator) * 0.1)
    return module


def random_wave(n: int) -> torch.Tensor:
    return torch.randn(1, n, generator=torch.Generator().manual_seed(n)) * 0.1


def scaled_difference(got: np.ndarray, want: np.ndarray) -> float:
    assert got.shape == want.shape
    assert got.dtype == want.dtype == np.float32
    return float(np.abs(got - want).max() / np.abs(want).max())


def export(module: Hubert, path: Path) -> ort.InferenceSession:
    n = torch.export.Dim("n_samples", min=module.config.min_samples, max=480000)
    program = torch.onnx.export(
        module,
        (random_wave(TRACED),),
        dynamo=True,
        dynamic_shapes=({1: n},),
        input_names=["wave16"],
        output_names=["ssl"],
        opset_version=24,
        verbose=False,
    )
    program.save(path, external_data=True)
    onnx.checker.check_model(path, full_check=True)
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("case", ["hubert_group", "hubert_layer"])
def test_golden(case: str) -> None:
    with np.load(GOLDEN) as golden:
        config = json.loads(str(golden[f"{case}/config"]))
        marker = f"{case}/w/"
        state = {n.removeprefix(marker): torch.from_numpy(golden[n]).float() for n in golden if marker in n}
        runs = [(golden[f"{case}/in_{i}"], golden[f"{case}/out_{i}"]) for i in range(3)]
    module = Hubert(HubertConfig.from_config(config)).eval().requires_grad_(False)
    module.load_state_dict(state)
    for wave, want in runs:
        assert scaled_difference(module(torch.from_numpy(wave)).numpy(), want) < 1e-5


@pytest.mark.parametrize("config", [GROUP, LAYER], ids=["group", "layer"])
def test_equals_transformers(config: dict[str, object]) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    reference = transformers.HubertModel(transformers.HubertConfig(**config)).eval().requires_grad_(False)
    module = Hubert(HubertConfig.from_config(reference.config.to_dict())).eval().requires_grad_(False)
    module.load_state_dict(reference.state_dict())
    for n in LENGTHS:
        wave = random_wave(n)
        want = reference(wave).last_hidden_state.numpy()
        assert scaled_difference(module(wave).numpy(), want) < 1e-5, n


@pytest.mark.parametrize("config", [GROUP, LAYER], ids=["group", "layer"])
def test_exported_graph_at_other_lengths(config: dict[str, object], tmp_path: Path) -> None:
    module = random_hubert(config)
    session = export(module, tmp_path / "hubert.onnx")
    for n in LENGTHS:
        wave = random_wave(n)
        got = session.run(None, {"wave16": wave.numpy()})[0]
        assert scaled_difference(got, module(wave).numpy()) < LIMIT, n
    assert session.get_inputs()[0].shape == [1, "n_samples"]


def test_graph_has_fast_and_portable_operators_only(tmp_path: Path) -> None:
    module = random_hubert(GROUP)
    export(module, tmp_path / "hubert.onnx")
    graph = onnx.load(tmp_path / "hubert.onnx", load_external_data=False).graph
    ops = Counter(node.op_type for node in graph.node)
    assert set(ops) <= OPS
    layers = module.config.layers
    # One operator each: a linear layer, a norm, a gelu and a conv with its padding.
    assert ops["Gemm"] == 6 * layers + 1
    assert ops["LayerNormalization"] == 2 * layers + 2
    assert ops["Gelu"] == layers + 8
    assert (ops["Conv"], ops["InstanceNormalization"], ops["Softmax"]) == (8, 1, layers)
    stored = {i.name for i in graph.initializer}
    weights = {n for n, p in module.named_parameters() if p.dim() > 1}
    assert weights <= stored, "a weight was folded away, its name would not be stable"


def test_frames_and_shortest_wave() -> None:
    config = HubertConfig.from_config({})
    assert config.min_samples == 400
    module = random_hubert(GROUP)
    for n in (400, 719, 720, 1040):
        assert module(random_wave(n)).shape == (1, (n - 80) // 320, 32)
    with pytest.raises(RuntimeError, match="Kernel size"):
        module(random_wave(399))


@pytest.mark.parametrize("prefix", ["", "hubert."])
@pytest.mark.parametrize(
    "names",
    [
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ],
)
def test_weight_norm_is_folded(prefix: str, names: tuple[str, str]) -> None:
    conv = torch.nn.Conv1d(32, 32, 16, groups=4)
    conv = torch.nn.utils.parametrizations.weight_norm(conv, dim=2)
    conv.parametrizations.weight.original0.data.mul_(1.7)
    source = random_hubert(GROUP)
    state = source.state_dict()
    del state["encoder.pos_conv_embed.conv.weight"]
    for name, tensor in zip(names, conv.parametrizations.weight.parameters(), strict=True):
        state[f"encoder.pos_conv_embed.conv.{name}"] = tensor.detach()
    module = random_hubert(GROUP, seed=1)
    module.load_state_dict(
        {prefix + name: t for name, t in {**state, "masked_spec_embed": torch.ones(32)}.items()}
    )
    torch.testing.assert_close(module.encoder.pos_conv_embed.conv.weight, conv.weight.detach())
    torch.testing.assert_close(
        module.feature_projection.projection.bias, source.feature_projection.projection.bias
    )


def test_loads_inside_another_module() -> None:
    source, target = random_hubert(GROUP), random_hubert(GROUP, seed=1)
    outer = torch.nn.ModuleDict({"ssl": target})
    outer.load_state_dict({f"ssl.hubert.{name}": t for name, t in source.state_dict().items()})
    wave = random_wave(1040)
    assert torch.equal(source(wave), target(wave))


def test_unknown_tensor_is_seen_by_strict_loading() -> None:
    module = random_hubert(GROUP)
    with pytest.raises(RuntimeError, match="adapter"):
        module.load_state_dict({**module.state_dict(), "adapter.weight": torch.ones(1)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_stable_layer_norm": True}, "do_stable_layer_norm is True, expected False"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', expected 'gelu'"),
        ({"feat_extract_activation": "gelu_new"}, "feat_extract_activation is 'gelu_new'"),
        ({"conv_pos_batch_norm": True}, "conv_pos_batch_norm is True"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm is 'batch', expected 'group' or 'layer'"),
        ({"hidden_size": "768"}, "hidden_size is '768'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"conv_bias": 1}, "conv_bias is 1"),
        ({"layer_norm_eps": -1.0}, "layer_norm_eps is -1.0"),
        ({"conv_dim": []}, r"conv_dim is \[\]"),
        ({"conv_kernel": [10, 3]}, "7, 2 and 7 entries"),
        ({"num_attention_heads": 5}, "not a multiple of 5 heads"),
        ({"num_conv_pos_embedding_groups": 5}, "5 position groups"),
    ],
)
def test_refused_configs(change: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as e:
        HubertConfig.from_config({**SMALL, **change})
    assert "\n" not in str(e.value)


@pytest.mark.slow
def test_full_size_graph(tmp_path: Path) -> None:
    module = random_hubert({})
    session = export(module, tmp_path / "hubert.onnx")
    for n in (400, 57600, 89600):
        wave = random_wave(n)
        got = session.run(None, {"wave16": wave.numpy()})[0]
        assert scaled_difference(got, module(wave).numpy()) < LIMIT, n
