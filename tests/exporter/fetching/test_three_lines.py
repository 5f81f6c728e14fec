"""From a machine with two checkpoints and nothing else to a voice that speaks, and to one that somebody else has."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_exporter.fetching import catalog as catalog_file
from sovits_exporter.fetching.catalog import catalog

sys.path.append(str(Path(__file__).parent))
from hub import running


@pytest.mark.slow
def test_fetch_build_pack_and_speak(demo_files, tmp_path, monkeypatch):
    def run(*arguments):
        result = CliRunner().invoke(main, [*map(str, arguments)])
        assert result.exit_code == 0, result.output

    for name in ("SOVITS_EXPORT_DATA", "SOVITS_EXPORT_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    parts = {"chinese-hubert-base": demo_files.hubert, "chinese-roberta-wwm-ext-large": demo_files.bert}
    files = [
        {
            "path": f"{name}/{path.name}",
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for name, folder in parts.items()
        for path in sorted(folder.iterdir())
    ]
    place = "pretrained_models"
    value = {
        "endpoints": [],
        "repositories": {"demo": {"hub": "a/b", "revision": "0" * 40, "modelscope": "a/b"}},
        "parts": {
            "all": {
                "what": "",
                "licence": "",
                "repository": "demo",
                "into": place,
                "files": files,
            }
        },
        "sets": {"v2": ["all"]},
        "voices": {},
    }
    (tmp_path / "catalog.json").write_text(json.dumps(value), encoding="utf-8")
    monkeypatch.setattr(catalog_file, "CATALOG", tmp_path / "catalog.json")
    catalog.cache_clear()
    with running() as hub:
        for item in catalog().parts["all"].items:
            folder, _, name = item.hub_path.partition("/")
            hub.put(item, (parts[folder] / name).read_bytes())
        run("fetch", "v2", "--endpoint", hub.url, "--yes")
    catalog.cache_clear()
    run(
        "build",
        "--gpt",
        demo_files.gpt,
        "--sovits",
        demo_files.sovits,
        "-o",
        tmp_path / "mine" / "voice",
        "--no-verify",
    )
    run("pack", tmp_path / "mine" / "voice", "-o", tmp_path / "theirs" / "voice.sovits")
    phones = (
        "--ref",
        demo_files.reference_wav,
        "--ref-phones",
        demo_files.reference,
        "--phones",
        "HH AH0 L OW1 .",
    )
    run(
        "speak",
        tmp_path / "theirs" / "voice.sovits",
        *phones,
        "--max-seconds",
        "1",
        "-o",
        tmp_path / "hello.wav",
    )
    run("speak", tmp_path / "mine" / "voice", *phones, "--max-seconds", "1", "-o", tmp_path / "same.wav")
    assert (tmp_path / "hello.wav").read_bytes() == (tmp_path / "same.wav").read_bytes()
