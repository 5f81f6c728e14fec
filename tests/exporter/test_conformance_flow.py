"""v3 to v5 and LoRA fine-tunes against official values, by PyTorch; `tests/conformance.py` replays bundles too."""

import importlib
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def conformance():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield importlib.import_module("conformance")


@pytest.mark.parametrize("version", ["v3", "v4", "v5dev", "v5turbo"])
def test_every_stage_is_within_its_limit(conformance, tmp_path, version):
    g = conformance.load_golden(HERE / "data" / f"flow_{version}_tiny_0.npz")
    sizes = conformance.sizes_of(conformance.meta_of(g))
    gpt, base = conformance.write_checkpoints(tmp_path, sizes)
    lora = tmp_path / "lora.pth"
    conformance.write_lora(lora, sizes, rank=8, seed=int(g["lora_seed"]))
    replayed = 0
    for sovits in ({"path": base}, {"path": lora, "base": base}):
        models = conformance.build_models(
            conformance.load_gpt(gpt), conformance.load_sovits(**sovits, version=version)
        )
        models, _ = conformance.with_vocoder(models, sizes, tmp_path / sovits["path"].stem)
        recorded = {k.removeprefix("lora_"): a for k, a in g.items() if k.startswith("lora_")}
        path = conformance.TorchPath(models)
        stages = (
            conformance.lora_stages(path, g, recorded)
            if "base" in sovits
            else conformance.flow_stages(path, g)
        )
        for stage, error, kind in stages:
            assert error <= conformance.LIMITS[kind], stage
            replayed += 1
    assert replayed == {"v3": 17, "v4": 16, "v5dev": 32, "v5turbo": 32}[version]
