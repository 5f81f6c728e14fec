"""Which full stops of English text end a sentence: a `|` stands behind the stop that is asked for."""

from __future__ import annotations

import pytest

from sovits_runtime.text.en.dotted import ends_sentence, may_go_on

ENDS = [
    "It rained.| Then we left.", "We sat.| Then we sang.", "We sat.| then we sang.", "in 1999.| He left",
    "We have 5.| John", "at 10 a.m.| Then we left", "at 5 p.m.| John called", "the U.S.| He left", "etc.| John",
    "on Pine St.| Then we", "Apple Inc.| The end", "a plan B.| Then", "vitamin C.| Oranges", "So do I.| John",
    "I said no.| Then", "I said no.| 5 people came", "He said \"no.|\" Then", "Wait...| What", "We sat.|Then we left",
    "OK.|然后", "90 min.| John", "his Ph.D.| He", "a fig.| John", "the sun.| John", "one sec.| John", "Hello.|",
    "I am X.| Solve", "the S A T.| John", "5 km.| Then", "He ran.|\nThen", "See www.a.com.| Then",
]  # fmt: skip
GOES_ON = [
    "at 10:30 a.m.| in the lobby", "at 9 a.m.| Monday", "at 5 p.m.| EST", "Dr.| Patel", "mr.| lee", "J.| R. R. H.",
    "J. R. R.| Hartley", "in the U.K.| and", "the U.S.| last year", "U.S.| Army", "item no.| 5", "Pi is 3.|14 in",
    "Oak Rd.| near", "Pine St.| by", "St.| Mary", "approx.| 20", "on Mon.| and", "on Jan.| 3rd", "1.| Wash",
    "Done. 2.| Add",
    "budget.|csv", "www.|a.com", "etc.| and", "etc.|, and", "Apple Inc.| is", "John F.| Kennedy", "Wait...| what",
    "Wait.|.. What", "e.|g. a", "e.g.| a", "fig.| 3", "p.| 5", "Node.|js is", "10 min.| later", "Ph.D.| in",
    "Martin Luther King Jr.| was", "Smith vs.| Jones", "he is 5 ft.| tall", "a.| Wash", "a 5 in.| pipe",
    "5 yrs.| old",
]  # fmt: skip


@pytest.mark.parametrize("marked", ENDS)
def test_ends_a_sentence(marked):
    assert ends_sentence(marked.replace("|", ""), marked.index("|") - 1)


@pytest.mark.parametrize("marked", GOES_ON)
def test_does_not_end_a_sentence(marked):
    assert not ends_sentence(marked.replace("|", ""), marked.index("|") - 1)


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("at 10 a.m. ", True),
        ("in the U.S.", True),
        ("Dr. ", True),
        ("etc. ", True),
        ("Hello. ", False),
        ("in 1999. ", False),
    ],
)
def test_what_the_next_word_decides(text, open_):
    assert may_go_on(text, text.rindex(".")) is open_


def test_looks_at_few_characters_only():
    text = "a " * 50000 + "Dr. Smith"
    assert not ends_sentence(text, text.index("."))
