"""`tools/prose.py`: what counts as a sentence, a word and a line of prose, and what it refuses."""

from pathlib import Path

import prose
import pytest

PAGE = """---
title: front matter does not count
---
# A heading does not count. It never does.

Two words. Three words here! A [link of text](https://example.org/a/long/address) counts
as its text, and `one --piece --of-code` as a word (in brackets.) See e.g. this.

```sh
echo "No. Code. Counts."
```

- The first item has no full stop
- the second
  goes on. It has two sentences.

| a table | does not. Count |
|---|---|

<p align="center">
HTML neither. At all.
</p>

::: sovits_runtime
    options: none. Of them.

The last one
"""


def measured(tmp_path: Path, text: str, name: str = "page.md") -> prose.Page:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return prose.read_page(path, name)


def test_sentences_of_prose_alone(tmp_path: Path) -> None:
    page = measured(tmp_path, PAGE)
    assert [(s.line, s.words) for s in page.sentences] == [
        (6, 2), (6, 3), (6, 15), (7, 3), (13, 7), (14, 4), (15, 4), (27, 3),
    ]  # fmt: skip
    assert page.sentences[3].text == "See e.g. this."


def test_a_link_counts_as_its_text_in_a_line_too(tmp_path: Path) -> None:
    page = measured(tmp_path, PAGE)
    assert page.columns[6] == len("Two words. Three words here! A link of text counts")
    assert 10 not in page.columns, "code has any length"


def test_median_and_90th_percentile(tmp_path: Path) -> None:
    page = measured(tmp_path, "\n\n".join("word " * words + "." for words in range(1, 11)))
    assert (page.median, page.p90) == (5.5, 9)


def test_chinese_counts_characters_and_has_no_limits(tmp_path: Path) -> None:
    page = measured(tmp_path, "语音包说话。不用 PyTorch！" + "长" * 200 + "。", "page.zh-CN.md")
    assert [s.words for s in page.sentences] == [5, 3, 200]
    assert page.faults() == []


def test_what_is_refused_names_the_place(tmp_path: Path) -> None:
    long_sentence = " ".join(["word"] * 26) + "."
    page = measured(tmp_path, f"Short.\n\n{long_sentence}\n")
    assert page.faults() == [
        "page.md: a sentence of 26 words; at most 25",
        "  page.md:3: 26 words: " + long_sentence[:87] + "...",
        f"page.md:3: {len(long_sentence)} columns; at most 100",
    ]
    assert measured(tmp_path, "Nothing to say.\n" * 3).faults() == []


@pytest.mark.parametrize(("text", "status"), [("Short enough.\n", 0), ("x" * 101 + "\n", 1)])
def test_check_exits_with_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, status: int
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert prose.main([str(page)]) == 0, "without --check nothing is refused"
    assert prose.main(["--check", str(page)]) == status
    assert ("101 columns; at most 100" in capsys.readouterr().out) == bool(status)


def test_pages_of_the_repository_are_read() -> None:
    names = [path.relative_to(prose.ROOT).as_posix() for path in prose.default_pages()]
    assert {"README.md", "README.zh-CN.md", "CHANGELOG.md", "docs/text.md"} <= set(names)
