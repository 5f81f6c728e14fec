"""Writes pretrained_golden.npz: tiny random HuBERTs and a BERT, and what transformers computes with them.

Run in this folder: python make_pretrained_golden.py (needs torch and transformers; last run with transformers 5.23).
Per case: NAME/config (JSON), NAME/w/TENSOR (float16, official names), NAME/in_K and NAME/out_K (float32).
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, HubertConfig, HubertModel

HUBERT = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, conv_dim=[12] * 7,
    num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4,
)
HUBERT_LAYER = dict(
    HUBERT, feat_extract_norm="layer", conv_bias=True, feat_proj_layer_norm=False, num_conv_pos_embeddings=7
)
BERT = dict(
    vocab_size=30, hidden_size=24, num_hidden_layers=4, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=20,
)
WAVE_LENGTHS = (400, 719, 3001)
TEXT_LENGTHS = (3, 4, 20)


def randomise(model, rng):
    """Gives every tensor values of its own that fp16 holds exactly; norms and biases too, so that none is idle."""
    for name, p in model.named_parameters():
        # A size-1 axis is the magnitude of the weight norm; 1-D weights are norms. Both stay near one.
        near_one = p.dim() == 1 and name.endswith("weight") or name.endswith("original0")
        fan_in = max(1, p[0].numel()) if p.dim() > 1 else 16
        values = rng.standard_normal(tuple(p.shape)) * (0.3 if near_one else fan_in**-0.5) + near_one
        p.data = torch.from_numpy(values.astype(np.float16)).float()
    return model.eval()


def case(out, name, config, state, runs):
    out[f"{name}/config"] = np.array(json.dumps(config.to_dict(), default=str))
    for key, tensor in state.items():
        assert torch.equal(tensor, tensor.half().float())
        out[f"{name}/w/{key}"] = tensor.half().numpy()
    for i, (x, y) in enumerate(runs):
        out[f"{name}/in_{i}"], out[f"{name}/out_{i}"] = x.numpy(), y.numpy()


def waves(rng):
    for n in WAVE_LENGTHS:
        yield torch.from_numpy((rng.standard_normal((1, n)) * 0.1).astype(np.float16)).float()


@torch.inference_mode()
def main():
    rng, out = np.random.default_rng(0), {}
    # As transformers 5 spells the weight norm.
    model = randomise(HubertModel(HubertConfig(**HUBERT)), rng)
    runs = [(x, model(x).last_hidden_state) for x in waves(rng)]
    case(out, "hubert_group", model.config, model.state_dict(), runs)
    # As older files spell it, and as the backbone of a larger model.
    model = randomise(HubertModel(HubertConfig(**HUBERT_LAYER)), rng)
    runs = [(x, model(x).last_hidden_state) for x in waves(rng)]
    spelling = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = {}
    for key, tensor in model.state_dict().items():
        for new, old in spelling.items():
            key = key.replace(new, old)
        state[f"hubert.{key}"] = tensor
    state["lm_head.bias"] = torch.zeros(32)
    case(out, "hubert_layer", model.config, state, runs)
    model = randomise(BertForMaskedLM(BertConfig(**BERT)), rng)
    runs = []
    for n in TEXT_LENGTHS:
        x = torch.from_numpy(rng.integers(0, BERT["vocab_size"], (1, n)))
        runs.append((x, model.bert(x, output_hidden_states=True).hidden_states[-3][0, 1:-1]))
    case(out, "bert", model.config, model.state_dict(), runs)
    np.savez_compressed(Path(__file__).with_name("pretrained_golden.npz"), **out)


if __name__ == "__main__":
    main()
