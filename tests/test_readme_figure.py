"""The README's figure and its table of figures say what the committed result says."""

import json
import re
from pathlib import Path

import pytest
import readme_figure
from readme_figure import RESULT, ROOT, drawings

PICTURE = re.compile(r'(?:src|srcset)="([^"]+)"')


def test_committed_figures_are_what_is_drawn() -> None:
    assert readme_figure.main(["--check"]) == 0
    assert [path for path in drawings() if not path.is_file()] == []


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "docs/benchmarks.md"])
def test_pictures_exist_and_are_ours(name: str) -> None:
    page = ROOT / name
    pictures = [(page.parent / link).resolve() for link in PICTURE.findall(page.read_text(encoding="utf-8"))]
    assert len(pictures) == 2
    assert set(pictures) <= set(drawings())


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_table_is_that_of_the_result(name: str) -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    whole, stream = result["whole"]["2"]["parties"], result["stream"]["parties"]
    runners = ("ours int8", "ours fp32", "Genie-TTS", "original")
    expected = [
        [f"{whole[runner]['tokens_per_s']:.0f}" for runner in runners],
        [f"{whole[runner]['whole_s']:.2f}" for runner in runners],
        [f"{stream[runner]['first_audio_s']:.2f}" for runner in runners[:2]],
    ]
    assert figures_of_first_table(ROOT / name) == expected


def figures_of_first_table(page: Path) -> list[list[str]]:
    """The numbers of each row of a page's first table, its first column left out."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|---"))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        cells = line.split("|")[2:-1]
        rows.append([number for cell in cells for number in re.findall(r"\d+(?:\.\d+)?", cell)])
    return rows
