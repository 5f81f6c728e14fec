"""v3 to v5 checkpoints: complete ones, LoRA fine-tunes and their bases, and every wrong pair of them."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sovits_exporter.checkpoint.official import identify_sovits, load_sovits
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
FEED_FORWARD = "cfm.base_model.model.estimator.transformer_blocks.1.ff.ff"
WRAPPED = "cfm.base_model.model.estimator.transformer_blocks.1.attn"


@pytest.fixture(scope="module")
def made(folder):
    """A LoRA voice of each version that has them, with base and vocoder."""
    return {
        version: write_demo_checkpoint(folder / version, version=version, tiny=True, lora=True, hubert=False)
        for version in ("v3", "v4", "v5dev", "v5turbo")
    }


@pytest.fixture(params=["v3", "v4", "v5dev", "v5turbo"])
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


def test_the_two_of_v5_are_not_taken_for_each_other_nor_for_v4(made):
    v4, dev, turbo = made["v4"], made["v5dev"], made["v5turbo"]
    for lora, base, told in (
        (dev, turbo, "is a v5turbo model, expected the base of a v5dev LoRA; give --base s2Gv5dev.pth"),
        (turbo, dev, "is a v5dev model, expected the base of a v5turbo LoRA; give --base s2Gv5turbo.pth"),
        (dev, v4, "is a v4 model, expected the base of a v5dev LoRA"),
        (v4, turbo, "is a v5turbo model, expected the base of a v4 LoRA"),
    ):
        assert told in refusal(lora.sovits, base=base.base)
    assert "is a v5dev or v5turbo model, but version v4 was asked for" in refusal(dev.base, version="v4")


@pytest.mark.parametrize(("version", "header"), [("v5dev", b"07"), ("v5turbo", b"08")])
def test_the_same_header_stands_on_complete_models_and_on_loras(made, tmp_path, version, header):
    files = made[version]
    complete = tmp_path / "complete.pth"
    shutil.copy(files.base, complete)
    with complete.open("r+b") as f:
        assert f.read(2) == b"PK"
        f.seek(0)
        f.write(header)
    with files.sovits.open("rb") as f:
        assert f.read(2) == header
    assert identify_sovits(complete) == (version, False)
    assert identify_sovits(files.sovits) == (version, True)
    assert load_sovits(files.sovits, base=complete).version == version


def test_a_v5_file_that_says_nothing_is_asked_for(made, tmp_path):
    silent = changed(made["v5turbo"].base, tmp_path / "mine.pth", stated="v2")
    assert "name it: --version v5dev or --version v5turbo" in refusal(silent)
    assert load_sovits(silent, version="v5turbo").version == "v5turbo"
    named = silent.rename(tmp_path / "s2Gv5dev.pth")
    assert load_sovits(named).version == "v5dev"


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
        shapes, config = {"cfm.base_model.model.estimator.x": (1,)}, {"model": {"version": "v2"}}
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


def test_a_vocoder_in_the_folder_of_another_release_is_refused(made, tmp_path):
    """Those of v4 and v5 have the same tensors; only where they lie tells them apart."""
    for folder, version, told in (
        (
            "gsv-v4-pretrained",
            "v5dev",
            "is the vocoder of v4, expected that of v5dev; take vocoder.pth of gsv-v5-",
        ),
        (
            "gsv-v4-pretrained",
            "v5turbo",
            "is the vocoder of v4, expected that of v5turbo; take vocoder.pth of gsv-v5-",
        ),
        (
            "gsv-v5-pretrained",
            "v4",
            "is the vocoder of v5dev, expected that of v4; take vocoder.pth of gsv-v4-",
        ),
    ):
        place = tmp_path / folder / "vocoder.pth"
        place.parent.mkdir(exist_ok=True)
        shutil.copy(made["v4"].vocoder, place)
        with pytest.raises(CheckpointError, match=re.escape(told)) as e:
            read_vocoder(place, model_spec(version).flow)
        assert "\n" not in str(e.value)
    assert read_vocoder(place, model_spec("v5turbo").flow).kind == "vocoder"


def test_a_bigvgan_of_other_sizes_is_refused(made, tmp_path):
    folder = Path(shutil.copytree(made["v3"].vocoder, tmp_path / "bigvgan"))
    config = folder / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"snakebeta"', '"snake"'), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json has activation = 'snake', expected 'snakebeta'"):
        read_vocoder(folder, model_spec("v3").flow)


def of_peft(weight: dict[str, torch.Tensor], base: Path) -> None:
    """Makes of what the trainer saves what peft's own `state_dict` holds: the base's weights beside the pairs."""
    with open_torch_file(base) as file:
        whole = {name: file.read(ref) for name, ref in file.content["weight"].items()}
    for name, tensor in whole.items():
        wrapped = name.replace("cfm.", "cfm.base_model.model.", 1)
        stem, _, end = wrapped.rpartition(".")
        adapted = f"{stem}.lora_A.default.weight" in weight
        weight.setdefault(f"{stem}.base_layer.{end}" if adapted else wrapped, tensor.clone())


def test_the_whole_state_of_peft_is_read_with_the_weights_that_it_holds(made, tmp_path):
    files = made["v4"]
    plain = load_sovits(files.sovits, base=files.base)
    whole = changed(files.sovits, tmp_path / "whole.pth", lambda weight: of_peft(weight, files.base))
    read = load_sovits(whole, base=files.base)
    assert read.tensors.keys() == plain.tensors.keys()
    assert all(torch.equal(read.tensors[name], plain.tensors[name]) for name in plain.tensors)

    def other_base(weight):
        of_peft(weight, files.base)
        weight[f"{WRAPPED}.to_q.base_layer.weight"] += 1

    moved = load_sovits(changed(files.sovits, tmp_path / "moved.pth", other_base), base=files.base)
    name = f"{BLOCK}.to_q.weight"
    torch.testing.assert_close(moved.tensors[name], plain.tensors[name] + 1, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", [f"{WRAPPED}.to_q.magnitude", f"{FEED_FORWARD}.2.lora_A.default.weight"])
def test_what_a_lora_would_compute_with_is_never_left_out(made, tmp_path, name):
    lora = changed(
        made["v4"].sovits, tmp_path / "a.pth", lambda weight: weight.update({name: torch.zeros(8, 128)})
    )
    message = refusal(lora, base=made["v4"].base)
    assert "holds cfm.base_model" in message
    assert "which this release does not know" in message


def test_pairs_as_peft_saves_them_are_read(made, tmp_path):
    def shorten(weight):
        for name in [name for name in weight if ".default." in name]:
            weight[name.replace(".default.", ".")] = weight.pop(name)

    files = made["v3"]
    lora = changed(files.sovits, tmp_path / "a.pth", shorten)
    assert load_sovits(lora, base=files.base).lora_rank == 8


def test_a_rank_beyond_any_size_is_refused(made, tmp_path):
    with open_torch_file(made["v4"].sovits) as file:
        weight = {name: file.read(ref) for name, ref in file.content["weight"].items()}
    config = sovits_config("v4", tiny=True)
    torch.save({"weight": weight, "config": config, "info": "", "lora_rank": 10**10_000}, tmp_path / "a.pth")
    assert "states the LoRA rank a number of 33220 bits, expected 1 to 4096" in refusal(
        tmp_path / "a.pth", base=made["v4"].base, version="v4"
    )


def test_a_lora_of_a_version_that_has_none_is_told(tmp_path):
    weight = {
        "enc_p.text_embedding.weight": torch.zeros(732, 192),
        "dec.a.lora_A.default.weight": torch.zeros(8, 4),
    }
    torch.save({"weight": weight, "config": sovits_config("v2", tiny=True), "info": ""}, tmp_path / "a.pth")
    assert "is a LoRA fine-tune of v2, expected a complete v2 model" in refusal(tmp_path / "a.pth")


def test_bigvgan_may_be_without_weight_norm(made, tmp_path):
    source, flow = made["v3"].vocoder, model_spec("v3").flow
    plain, folder = read_vocoder(source, flow), Path(shutil.copytree(source, tmp_path / "bigvgan"))
    with open_torch_file(folder / "bigvgan_generator.pt") as file:
        state = {name: file.read(ref) for name, ref in file.content["generator"].items()}
    held = {name: tensor for name, tensor in state.items() if not name.endswith(("weight_g", "weight_v"))}
    torch.save({"generator": held | plain.tensors}, folder / "bigvgan_generator.pt")
    read = read_vocoder(folder, flow)
    assert all(torch.equal(read.tensors[name], plain.tensors[name]) for name in plain.tensors)


def test_the_vocoder_of_v4_may_be_under_weight_norm(made, tmp_path):
    source, flow = made["v4"].vocoder, model_spec("v4").flow
    plain = read_vocoder(source, flow).tensors
    stored = {name: tensor for name, tensor in plain.items() if not name.endswith(".weight")}
    for name, tensor in plain.items():
        if name.endswith(".weight"):
            norm = torch.linalg.vector_norm(tensor.flatten(1), dim=1)
            stem = name.replace("weight", "parametrizations.weight.original")
            stored |= {f"{stem}0": norm.reshape(-1, *(1 for _ in tensor.shape[1:])), f"{stem}1": tensor}
    torch.save(stored, tmp_path / "vocoder.pth")
    read = read_vocoder(tmp_path / "vocoder.pth", flow).tensors
    assert read.keys() == plain.keys()
    for name in plain:
        torch.testing.assert_close(read[name], plain[name])
