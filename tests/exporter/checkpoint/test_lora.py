"""v3 and v4 checkpoints: complete ones, LoRA fine-tunes and their bases, and every wrong pair of them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sovits_exporter.checkpoint.official import load_sovits
from sovits_exporter.checkpoint.torch_file import open_torch_file
from sovits_exporter.checkpoint.version import BASES, detect_version
from sovits_exporter.checkpoint.vocoder import read_vocoder
from sovits_exporter.demo.configs import sovits_config
from sovits_exporter.demo.demo import DemoFiles, write_demo_checkpoint
from sovits_exporter.demo.weights import fill
from sovits_exporter.eager.baseline import EagerBaseline, find_pair
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.errors import CheckpointError

BLOCK = "cfm.estimator.transformer_blocks.1.attn"
WRAPPED = "cfm.base_model.model.estimator.transformer_blocks.1.attn"


@pytest.fixture(scope="module")
def made(folder):
    """A LoRA voice of v3 and of v4 with base and vocoder."""
    return {
        version: write_demo_checkpoint(folder / version, version=version, tiny=True, lora=True, hubert=False)
        for version in ("v3", "v4")
    }


@pytest.fixture(params=["v3", "v4"])
def files(made, request) -> DemoFiles:
    return made[request.param]


def changed(path: Path, target: Path, change=lambda weight: None, *, stated: str | None = None) -> Path:
    """A copy of a checkpoint with its weights changed, or with another version in its config."""
    with open_torch_file(path) as file:
        weight = {name: file.read(ref) for name, ref in file.content["weight"].items()}
        rank, header = file.content.get("lora_rank"), file.header
    change(weight)
    config = sovits_config(path.parent.name, tiny=True)
    config["model"] |= {"version": stated} if stated else {}
    content = {"weight": weight, "config": config, "info": ""}
    torch.save(content | ({"lora_rank": rank} if rank else {}), target)
    with target.open("r+b") as f:
        f.write(header)
    return target


def refusal(path, **options) -> str:
    with pytest.raises(CheckpointError) as e:
        load_sovits(path, **options)
    assert "\n" not in str(e.value)
    return str(e.value)


def test_a_lora_is_its_base_plus_the_products_of_its_pairs(files):
    base, merged = load_sovits(files.base), load_sovits(files.sovits, base=files.base)
    assert (merged.lora_rank, merged.base.sha256, merged.base.tensors) == (8, base.sha256, {})
    assert merged.path == files.sovits
    assert merged.tensors.keys() == base.tensors.keys()
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        down, up = (
            torch.from_numpy(fill(f"{WRAPPED}.{part}.{name}.default.weight", shape, 1000))
            for name, shape in (("lora_A", (8, 128)), ("lora_B", (128, 8)))
        )
        name = f"{BLOCK}.{part}.weight"
        assert torch.equal(merged.tensors[name], base.tensors[name] + up @ down)
    same = [name for name in base.tensors if torch.equal(base.tensors[name], merged.tensors[name])]
    assert {name.split(".")[0] for name in same} == {"enc_p", "ssl_proj", "cfm"}
    assert "wns1.enc.in_layers.0.weight" in base.tensors.keys() - set(same)
    assert "ref_enc.fc.fc.weight" in base.tensors.keys() - set(same)


def test_a_lora_needs_its_base(files):
    version = load_sovits(files.base).version
    message = refusal(files.sovits)
    assert f"demo-sovits.pth: is a LoRA fine-tune of {version}, which needs the complete model" in message
    assert f"give --base s2G{version}.pth" in message


def test_eager_pytorch_runs_a_lora_beside_its_base(made):
    files, threads = made["v4"], torch.get_num_threads()
    pair = find_pair(str(files.gpt.parent), base=files.base)
    assert pair == (files.gpt, files.sovits)
    baseline = EagerBaseline(*pair, base=files.base, version="v4", threads=1)
    plain = EagerBaseline(files.gpt, files.base, version="v4", threads=1)
    work = baseline.workload(4)
    tuned, untuned = (runner.stages(work)["cfm_step"]() for runner in (baseline, plain))
    assert np.isfinite(tuned).all()
    assert tuned.shape == untuned.shape
    assert np.abs(tuned - untuned).max() > 1e-4
    assert baseline.probe_command()[-3:] == [str(files.base), "v4", "1"]
    torch.set_num_threads(threads)


def test_wrong_bases_are_refused(made):
    v3, v4 = made["v3"], made["v4"]
    assert "demo-sovits.pth: is itself a LoRA" in refusal(v4.sovits, base=v4.sovits)
    assert "demo-base.pth: is a v3 model, expected the base of a v4 LoRA" in refusal(v4.sovits, base=v3.base)
    assert "a base was given; leave --base out" in refusal(v4.base, base=v4.base)


def test_a_base_of_another_size_is_refused(made, tmp_path):
    def narrow(weight):
        weight[f"{WRAPPED}.to_k.lora_B.default.weight"] = torch.zeros(64, 8)

    lora = changed(made["v4"].sovits, tmp_path / "lora.pth", narrow)
    assert "to_k.lora_B.default.weight has shape [64, 8], expected [128, 8]" in refusal(
        lora, base=made["v4"].base
    )


@pytest.mark.parametrize(
    "name", [f"{WRAPPED}.to_v.lora_A.default.weight", "wns1.enc.cond_layer.weight_g", "bridge.0.bias"]
)
def test_missing_tensors_of_a_lora_are_named(made, tmp_path, name):
    lora = changed(made["v4"].sovits, tmp_path / "lora.pth", lambda weight: weight.pop(name))
    assert f"lacks {name}: has" in refusal(lora, base=made["v4"].base)


def test_a_base_that_does_not_tell_its_version_is_taken_at_the_word_of_the_lora(made, tmp_path):
    base = changed(made["v4"].base, tmp_path / "base.pth", stated="v2")
    assert load_sovits(made["v4"].sovits, base=base).version == "v4"
    assert "name it: --version v3 or --version v4" in refusal(base)
    assert load_sovits(base, version="v3").version == "v3"


def test_the_released_bases_are_known_by_their_first_bytes():
    for digest, version in BASES.items():
        shapes, config = {"cfm.estimator.x": (1,)}, {"model": {"version": "v2"}}
        assert detect_version(b"PK", shapes, config, start_digest=digest) == version


@pytest.mark.parametrize(
    "name",
    [
        "cfm.estimator.transformer_blocks.1.attn.to_q.weight",
        "cfm.estimator.rotary_embed.inv_freq",
        "cfm.estimator.norm_out.linear.bias",
        "wns1.proj.weight",
    ],
)
def test_missing_tensors_of_a_complete_model_are_named(made, tmp_path, name):
    file = changed(made["v3"].base, tmp_path / "a.pth", lambda weight: weight.pop(name))
    assert name in refusal(file)


def test_another_width_of_the_transformer_is_refused(made, tmp_path):
    def widen(weight):
        weight["cfm.estimator.proj_out.weight"] = torch.zeros(100, 256)

    file = changed(made["v3"].base, tmp_path / "a.pth", widen)
    assert "proj_out.weight has shape [100, 256], expected [100, 1024]" in refusal(file)


def test_vocoders_of_the_other_version_are_refused(made):
    v3, v4 = made["v3"], made["v4"]
    with pytest.raises(
        CheckpointError, match=r"is the vocoder of v4, expected that of v3; take the folder bigv"
    ):
        read_vocoder(v4.vocoder, model_spec("v3").flow)
    for path in (v3.vocoder, v3.vocoder / "bigvgan_generator.pt"):
        with pytest.raises(
            CheckpointError, match=r"is the vocoder of v3, expected that of v4; take vocoder\.pth"
        ):
            read_vocoder(path, model_spec("v4").flow)
    with pytest.raises(CheckpointError, match=r"demo-base\.pth: holds .*expected a vocoder"):
        read_vocoder(v4.base, model_spec("v4").flow)


def test_a_bigvgan_of_other_sizes_is_refused(made, tmp_path):
    folder = Path(shutil.copytree(made["v3"].vocoder, tmp_path / "bigvgan"))
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"snakebeta"', '"snake"'))
    with pytest.raises(CheckpointError, match=r"config\.json has activation = 'snake', expected 'snakebeta'"):
        read_vocoder(folder, model_spec("v3").flow)
