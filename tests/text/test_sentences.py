"""Sentences: the same ones whether a text comes whole or one character at a time."""

from __future__ import annotations

import pytest

from sovits_runtime.text.sentences import SentenceCutter, sentences_of

# Line breaks are shown as / behind the sentence that they end.
SENTENCES = {
    "Dr. Smith came at 10:30 a.m. in Room 5. He left at 5 p.m. Then it rained.": [
        "Dr. Smith came at 10:30 a.m. in Room 5.",
        "He left at 5 p.m.",
        "Then it rained.",
    ],
    "1. The project is done. 2. The next one waits.": ["1. The project is done.", "2. The next one waits."],
    "Pi is 3.14, e.g. in books. See www.example.com/a?b=1. Now go!": [
        "Pi is 3.14, e.g. in books.",
        "See www.example.com/a?b=1.",
        "Now go!",
    ],
    'He said "Stop! Go away." and left. Fine.': ['He said "Stop! Go away." and left.', "Fine."],
    'He asked, "Why?" Nobody knew.': ['He asked, "Why?"', "Nobody knew."],
    "(He was late. Very late.) She was not.": ["(He was late. Very late.)", "She was not."],
    "Wait... what? No way!!! OK": ["Wait... what?", "No way!!!", "OK"],
    "The dog barked… twice. Oh… He left": ["The dog barked… twice.", "Oh…", "He left"],
    "“你好。”他说。“我们走吧。”她笑了。": ["“你好。”他说。", "“我们走吧。”她笑了。"],
    "“你好。”“再见。”": ["“你好。”", "“再见。”"],
    "「はい。」と言った。次の日。": ["「はい。」と言った。", "次の日。"],
    "我喜欢Python.我也是。他说3.14吧": ["我喜欢Python.", "我也是。", "他说3.14吧"],
    "嗯……我不知道。": ["嗯……我不知道。"],
    "어제 했다. 그는 3.5점이다.": ["어제 했다.", "그는 3.5점이다."],
    "王先生。**好**。**好。** 再见": ["王先生。", "**好**。", "**好。**", "再见"],
    "Packing\nSocks\r\nShirts\rSoap": ["Packing/", "Socks/", "Shirts/", "Soap"],
    "It is a long line of prose that somebody has broken\nhere by hand. Then\nnew": [
        "It is a long line of prose that somebody has broken\nhere by hand.",
        "Then/",
        "new",
    ],
}


def shown(sentences):
    return [sentence.text + "/" * sentence.ends_line for sentence in sentences]


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences_of_a_whole_text(text):
    assert shown(sentences_of(text)) == SENTENCES[text]


@pytest.mark.parametrize("text", SENTENCES)
@pytest.mark.parametrize("size", [1, 3])
def test_sentences_of_a_text_in_parts_are_the_same(text, size):
    cutter = SentenceCutter()
    parts = (text[start : start + size] for start in range(0, len(text), size))
    sentences = [sentence for part in parts for sentence in cutter.feed(part)]
    assert shown([*sentences, *cutter.close()]) == SENTENCES[text]


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        ("It is done. ", ["It is done."]),
        ("真的吗？", ["真的吗？"]),
        ("A heading\n", ["A heading/"]),
        ("It is done.", []),  # more dots may come, or a digit
        ("Meet Dr. ", []),
        ("at 10 a.m. ", []),
        ("It is done", []),
    ],
)
def test_what_is_finished_for_certain_does_not_wait_for_the_next_part(text, ready):
    cutter = SentenceCutter()
    first = [*cutter.feed(text[:-1]), *cutter.feed(text[-1])]
    if ready == ["真的吗？"]:  # a closing quote may come
        first += cutter.flush()
    assert shown(first) == ready


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("It is done.", ["It is done."]),
        ("at 10 a.m.", ["at 10 a.m."]),
        ("He said “Go.”", ["He said “Go.”"]),
        ("She calls Dr.", []),
        ("It is not do", []),
        ("such as e.g.", []),
    ],
)
def test_after_a_silence_only_what_looks_finished_is_given_out(text, spoken):
    cutter = SentenceCutter()
    assert shown(cutter.feed(text)) == []
    assert shown(cutter.flush()) == spoken
    assert shown(cutter.close()) == ([] if spoken else [text])


@pytest.mark.parametrize(
    "text",
    [
        "1." * 20_000,
        "。" * 40_000,
        "9" * 40_000,
        "word " * 8000,
        "“" * 20_000,
        "*" * 20_000,
        "a.b." * 10_000,
        "七" * 20_000,
    ],
)
def test_endless_text_is_cut_and_nothing_of_it_is_lost(text):
    sentences = [sentence.text for sentence in sentences_of(text)]
    assert max(map(len, sentences)) < 4200
    assert "".join(sentences).replace(" ", "") == text.replace(" ", "")
