"""LoRA fine-tunes as GPT-SoVITS keeps them, by `build --from`: on their base, and they speak by themselves. Slow."""

import json

import pytest
import soundfile
from every_version import BASES, NAME, installation, run

from sovits_runtime.bundle import Bundle

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("version", BASES)
def test_a_lora_is_built_on_its_base_and_speaks_with_nothing_but_a_text(
    version, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    files = folder / f"{version}-lora-files"
    run("demo-checkpoint", files, "--tiny", "--lora", "--version", version)
    tree = installation(files, version, folder / f"{version}-lora-GPT-SoVITS")
    (found,) = json.loads(run("build", "--from", tree, "--list", "--json"))["voices"]
    assert (found["version"], found["lora"], found["missing"]) == (version, True, [])
    assert found["parts"]["base"].endswith(BASES[version])
    printed = run("build", "--from", tree, "--no-verify")
    assert printed.splitlines()[-1] == f"try it:  sovits-export speak '{NAME}' 'Good morning.'"
    assert Bundle.open(NAME).spec.version == version
    run("speak", NAME, "Good morning.", "--max-seconds", 0.4, "--threads", 1, "--flow-steps", 2)
    samples, _ = soundfile.read(f"{NAME}.wav")
    assert samples.std() > 1e-4
