"""`sovits-export build` of v5 files: how a file says what it is, and each wrong combination in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.voice import read_voice
from sovits_exporter.demo.demo import DemoFiles, write_demo_checkpoint

HEADS = {"v5dev": b"07", "v5turbo": b"08"}


@pytest.fixture(scope="module")
def made(folder) -> dict[str, DemoFiles]:
    """A LoRA voice with its base and vocoder, of each version."""
    return {
        version: write_demo_checkpoint(folder / version, version=version, tiny=True, lora=True)
        for version in ("v4", "v5dev", "v5turbo")
    }


@pytest.fixture
def build(run, monkeypatch, tmp_path):
    """Builds until all files are read and checked; returns the version read, or the one line that refuses them."""
    voices = []

    def read(request, progress):
        voices.append(read_voice(request))
        return BuildReport(path=request.output, manifest={}, verification=None, seconds=0.0)

    monkeypatch.setattr("sovits_exporter.building.build.build", read)

    def build(
        files: DemoFiles, *options: object, sovits: Path | None = None, vocoder: Path | None = None
    ) -> str:
        parts = ("--gpt", files.gpt, "--hubert", files.hubert, "--vocoder", vocoder or files.vocoder)
        result = run("build", *parts, "--sovits", sovits or files.sovits, "-o", tmp_path / "voice", *options)
        if result.exit_code == 0:
            return voices.pop().sovits.version
        assert result.exit_code == 1, result.output
        (line,) = (text for text in result.stderr.splitlines() if not text.startswith("["))
        assert not voices
        assert not (tmp_path / "voice").exists()
        return line

    return build


def with_head(source: Path, target: Path, head: bytes) -> Path:
    """A copy that begins with these two bytes."""
    shutil.copy(source, target)
    with target.open("r+b") as file:
        file.write(head)
    return target


@pytest.mark.parametrize("version", HEADS)
def test_both_official_builds_are_read_and_so_are_lost_heads_and_new_names(made, build, version, tmp_path):
    files, base = made[version], made[version].base
    assert build(files, "--base", base) == version  # head 07 or 08 on a LoRA, PK on its base
    headed = with_head(base, tmp_path / "renamed.pth", HEADS[version])
    assert build(files, sovits=headed) == version  # the same head on a complete model
    assert build(files, sovits=base) == version
    assert build(files, "--base", headed) == version
    lost = with_head(files.sovits, tmp_path / "my voice.pth", b"PK")
    assert build(files, "--base", base, sovits=lost) == version


def test_wrong_combinations_are_refused_in_one_line(made, build, tmp_path):
    v4, dev, turbo = made["v4"], made["v5dev"], made["v5turbo"]
    old = tmp_path / "gsv-v4-pretrained" / "vocoder.pth"
    old.parent.mkdir()
    shutil.copy(v4.vocoder, old)
    assert build(turbo, "--base", turbo.base, vocoder=old).endswith(
        "is the vocoder of v4, expected that of v5turbo; take vocoder.pth of gsv-v5-pretrained"
    )
    assert build(turbo).endswith(
        "which needs the complete model it was trained on; give --base s2Gv5turbo.pth; 'sovits-export fetch v5turbo' "
        "fetches it"
    )
    assert build(dev, "--base", turbo.base).endswith(
        "is a v5turbo model, expected the base of a v5dev LoRA; give --base s2Gv5dev.pth"
    )
    assert build(turbo, "--base", v4.base).endswith(
        "is a v4 model, expected the base of a v5turbo LoRA; give --base s2Gv5turbo.pth"
    )
    assert build(turbo, "--base", turbo.base, sovits=turbo.base).endswith("leave --base out")
    assert build(turbo, "--base", turbo.base, "--version", "v5dev").endswith(
        "but version v5dev was asked for; leave that out"
    )
    assert build(turbo, "--version", "v4", sovits=turbo.base).endswith(
        "but version v4 was asked for; leave that out"
    )
