"""The page of kinds says what the tables say."""

from __future__ import annotations

import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    not all(map(find_spec, ("zh_normalization", "pronouncing", "wordsegment"))),
    reason='needs pip install "sovits-export[text]"',
)
def test_the_page_of_kinds_is_up_to_date():
    tool = runpy.run_path(str(ROOT / "tools" / "text_kinds.py"))
    page = (ROOT / "docs" / "text-kinds.md").read_text(encoding="utf-8")
    assert page == "\n".join(tool["lines"]()) + "\n", "run: python tools/text_kinds.py > docs/text-kinds.md"
