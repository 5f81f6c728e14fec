"""A newcomer's way to the first sentence, as both READMEs have it: in an empty home, command by command, counted."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_exporter.demo.demo import REFERENCE_TEXT
from sovits_exporter.fetching import catalog as catalog_file
from sovits_exporter.fetching.catalog import catalog

sys.path.append(str(Path(__file__).parent))
from hub import running

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("pronouncing", "g2p_en", "wordsegment"))), reason="the extra en is not installed"
)
ROOT = Path(__file__).parents[3]
SECTIONS = {"README.md": "## Your own voice", "README.zh-CN.md": "## 导出自己的声音"}
BRIEF = {"speak": ["--max-seconds", "0.48", "--threads", "1"]}
"""A made-up voice hums until it is told to end."""
SETTINGS = ("HF_", "MODELSCOPE", "SOVITS_", "XDG_")


def readme_lines(readme: str) -> list[list[list[str]]]:
    """The commands of each block of a README's first screen, as words; those of pip are left out."""
    section = (ROOT / readme).read_text(encoding="utf-8").partition(SECTIONS[readme])[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    lines = [[shlex.split(line, comments=True) for line in block.splitlines()] for block in blocks]
    return [[words[1:] for words in block if words and words[0] == "sovits-export"] for block in lines]


def stated(readme: str) -> list[int]:
    """The numbers that a README states: commands from an installation, from a pack, decisions."""
    (line,) = re.findall(
        r"\*\*(\d)\*\*[^*]*\*\*(\d)\*\*[^*]*\*\*(\d)\*\*", (ROOT / readme).read_text("utf-8")
    )
    return [int(number) for number in line]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without files or settings, in which the commands run."""
    for name in os.environ:
        if name.startswith(SETTINGS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(folder))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


@pytest.fixture
def hub(demo_files, tmp_path, monkeypatch):
    """A hub that has HuBERT, which is what the catalog of these tests holds."""
    files = [
        {
            "path": f"chinese-hubert-base/{path.name}",
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(demo_files.hubert.iterdir())
    ]
    part = {"what": "a net", "licence": "MIT (somebody)", "repository": "demo", "into": "pretrained_models"}
    value = {
        "endpoints": [],
        "repositories": {"demo": {"hub": "a/b", "revision": "0" * 40, "modelscope": "a/b"}},
        "parts": {"hubert": {**part, "files": files}},
        "sets": {"v2": ["hubert"]},
        "voices": {},
    }
    (tmp_path / "catalog.json").write_text(json.dumps(value), encoding="utf-8")
    monkeypatch.setattr(catalog_file, "CATALOG", tmp_path / "catalog.json")
    catalog.cache_clear()
    with running() as one:
        for item in catalog().parts["hubert"].items:
            one.put(item, (demo_files.hubert / item.name).read_bytes())
        monkeypatch.setenv("HF_ENDPOINT", one.url)
        yield one
    catalog.cache_clear()


@pytest.fixture
def pack(demo_files):
    """A pack as people share them: the pair, and a recording that is called as what it says."""

    def pack(name: str) -> None:
        with zipfile.ZipFile(name, "w") as archive:
            archive.write(demo_files.gpt, "Mill/mill-e15.ckpt")
            archive.write(demo_files.sovits, "Mill/mill_e8_s96.pth")
            archive.write(demo_files.reference_wav, f"Mill/{REFERENCE_TEXT}wav")

    return pack


@pytest.fixture
def installation(demo_files):
    """GPT-SoVITS in which a voice was trained."""

    def installation(name: str) -> None:
        root = Path(name)
        parts = root / "GPT_SoVITS" / "pretrained_models"
        for place, file in (
            (root / "GPT_weights_v2" / "mill-e15.ckpt", demo_files.gpt),
            (root / "SoVITS_weights_v2" / "mill_e8_s96.pth", demo_files.sovits),
            (root / "logs" / "mill" / "5-wav32k" / "a.wav", demo_files.reference_wav),
        ):
            place.parent.mkdir(parents=True)
            os.link(file, place)
        shutil.copytree(demo_files.hubert, parts / demo_files.hubert.name)
        lines = f"a.wav\tDH AH0\tNone\t{REFERENCE_TEXT}\n"
        (root / "logs" / "mill" / "2-name2text.txt").write_text(lines, encoding="utf-8")
        for mark in ("api_v2.py", "config.py"):
            (root / mark).touch()

    return installation


def test_both_readmes_count_their_commands():
    for readme in SECTIONS:
        installed, packed = readme_lines(readme)
        assert [words[0] for words in installed] == ["build", "speak"]
        assert [words[0] for words in packed] == ["fetch", "build", "speak"]
        assert stated(readme) == [len(installed), len(packed), 0]


def test_from_a_pack_with_an_empty_home(home, hub, pack, monkeypatch):
    """Three commands; the one question is whether to download, and nothing has to be known or chosen."""
    _, (fetch, build, speak) = readme_lines("README.md")
    pack(fetch[1])
    monkeypatch.setattr("sovits_exporter.cli.fetch._is_terminal", lambda: True)

    def run(*words: str, say: str = "") -> str:
        result = CliRunner().invoke(main, words, input=say)
        assert result.exit_code == 0, result.output
        return result.output

    fetched = run(*fetch, say="y\n")
    assert fetched.count("[y/N]") == 1
    assert f"{fetch[1]}: a voice of v2" in fetched
    assert "MIT (somebody)" in fetched
    assert [seen for seen, _ in hub.seen] != []
    asked = len(hub.seen)
    built = run(*build, "--no-verify")
    assert built.splitlines()[-1].startswith("try it:  sovits-export speak ")
    run(*speak, *BRIEF["speak"])
    assert soundfile.info("my-voice.wav").samplerate == 32000
    assert len(hub.seen) == asked  # nothing but fetch fetches


PROCESS = """
import sys
from pathlib import Path
from sovits_exporter.fetching import catalog
catalog.CATALOG = Path(sys.argv.pop(1))
from sovits_exporter.cli.start import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
@pytest.mark.parametrize("way", ["installation", "pack"])
def test_as_processes_that_nobody_answers(home, hub, pack, installation, tmp_path, readme, way):
    """The same lines as a shell runs them, with verification, and without anybody at the keyboard."""
    lines = readme_lines(readme)[("installation", "pack").index(way)]
    pack("pack.zip") if way == "pack" else installation("GPT-SoVITS")
    for words in lines:
        more = ["--yes"] if words[0] == "fetch" else BRIEF.get(words[0], [])
        command = [sys.executable, "-c", PROCESS, str(tmp_path / "catalog.json"), *words, *more]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace"
        )
        if readme == "README.zh-CN.md" and words[0] == "speak" and find_spec("jieba") is None:
            assert "pip install" in done.stderr
            return
        assert done.returncode == 0, done.stderr
    assert soundfile.info("my-voice.wav").frames > 0


@pytest.mark.slow
def test_and_on_to_somebody_else(home, hub, pack, tmp_path):
    """What one built another speaks, sample by sample, from one file."""
    pack("pack.zip")

    def run(*words: object) -> None:
        result = CliRunner().invoke(main, [*map(str, words)])
        assert result.exit_code == 0, result.output

    run("fetch", "pack.zip", "--yes")
    run("build", "--from", "pack.zip", "-o", "mine/voice", "--no-verify")
    run("pack", "mine/voice", "-o", "theirs/voice.sovits")
    for whose in ("mine/voice", "theirs/voice.sovits"):
        run("speak", whose, "Good morning.", *BRIEF["speak"], "-o", f"{Path(whose).parts[0]}.wav")
    assert Path("theirs.wav").read_bytes() == Path("mine.wav").read_bytes()
