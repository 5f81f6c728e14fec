"""Pauses and SSML: what is known is obeyed, what is not is refused or spoken, and nothing goes without a word."""

import random
import string

import pytest

from sovits_server.problems import BadRequestError
from sovits_server.words import Part, prepare, whole_marks


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Good morning.", [("Good morning.", 0)]),
        ("One.[pause 500ms]Two.", [("One.", 500), ("Two.", 0)]),
        ("One. [Pause 1.5s] Two. [PAUSE: 2 s]", [("One.", 1500), ("Two.", 2000)]),
        ("[pause 250ms] One.", [("", 250), ("One.", 0)]),
        ("One.[pause 1s][pause 500ms]Two.", [("One.", 1500), ("Two.", 0)]),
        ("早上好。[pause 300ms]再见。", [("早上好。", 300), ("再见。", 0)]),
        ("[pause 1s]", [("", 1000)]),
        ("One.[pause 0ms]Two.", [("One.Two.", 0)]),
        ("", []),
        (" \n ", []),
    ],
)
def test_pauses_of_plain_text(text, parts):
    assert list(prepare(text)) == [Part(*part) for part in parts]


@pytest.mark.parametrize(
    "text",
    [
        "[pause]",
        "[pause soon] now",
        "[pause 5 minutes]",
        "[pause -3s]",
        "a [pose 500ms] b",
        "1 < 2 and 3 > 2 & more",
        "<b>bold</b>",
        "He said <speak> aloud.",
        "<speaker>Hi</speaker>",
        "[笑] {x} *y* <3",
    ],
)
def test_what_is_no_mark_is_left_to_be_spoken(text):
    assert prepare(text) == (Part(text, 0),)


@pytest.mark.parametrize(
    ("inner", "parts"),
    [
        ("Good morning.", [("Good morning.", 0)]),
        ('One.<break time="500ms"/>Two.', [("One.", 500), ("Two.", 0)]),
        ("One.<break time='1.5s'/>Two.", [("One.", 1500), ("Two.", 0)]),
        ("One.<break/>Two.", [("One.", 750), ("Two.", 0)]),
        (
            'One.<break strength="x-weak"/>Two.<break strength="none"/>Three.',
            [("One.", 250), ("Two.Three.", 0)],
        ),
        ('One.<break strength="weak" time="2s"/>', [("One.", 2000)]),
        ("<p>One.</p><p>Two</p>", [("One.", 400), ("Two", 400)]),
        ("<s>One</s><s>Two.</s>", [("One\nTwo.", 0)]),
        ("<p><s>One.</s> <s>Two.</s></p>", [("One.  Two.", 400)]),
        (
            'The <sub alias="World Wide Web Consortium">W3C</sub> met.',
            [("The World Wide Web Consortium met.", 0)],
        ),
        ("Tom &amp; Jerry &lt;3 &#x4F60;", [("Tom & Jerry <3 你", 0)]),
        ("<![CDATA[1 < 2]]>", [("1 < 2", 0)]),
        ("One.<!-- not said -->Two.", [("One.Two.", 0)]),
        ("One.[pause 1s]Two.", [("One.", 1000), ("Two.", 0)]),
        ("\n   One\n   and two.\n", [("One and two.", 0)]),
        ("", []),
    ],
)
def test_ssml(inner, parts):
    for text in (
        f"<speak>{inner}</speak>",
        f'\n<?xml version="1.0" encoding="utf-16"?>\n<speak version="1.1" xmlns="x:y" xml:lang="en">{inner}</speak>\n',
    ):
        assert list(prepare(text)) == [Part(*part) for part in parts]


TENFOLD = [f"&l{i};" * 10 for i in range(9)]
LAUGHS = "".join(f'<!ENTITY l{i} "{refers}">' for i, refers in enumerate(TENFOLD, 1))
HOSTILE = {
    "billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><speak>&l9;</speak>',
    "behind a declaration": f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><speak>&l9;</speak>',
    "a file": '<speak><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>&f;</speak>',
    "an unknown entity": "<speak>&nbsp;</speak>",
    "an instruction": "<speak><?php system('x') ?></speak>",
    "no end": "<speak>One.",
    "two roots": "<speak>a</speak><speak>b</speak>",
    "inside itself": "<speak><speak>a</speak></speak>",
    "deep": f"<speak>{'<p>' * 5000}{'</p>' * 5000}</speak>",
    "an audio file": '<speak><audio src="http://169.254.169.254/"/></speak>',
    "prosody": '<speak><prosody rate="slow">a</prosody></speak>',
    "an attribute": '<speak><p onclick="x">a</p></speak>',
    "a sub without words": "<speak><sub>W3C</sub></speak>",
    "text in a break": "<speak><break>a</break></speak>",
    "an element in a sub": '<speak><sub alias="a"><break/></sub></speak>',
    "a strength": '<speak><break strength="huge"/></speak>',
    "a time": '<speak><break time="soon"/></speak>',
    "a time without end": '<speak><break time="999999999s"/></speak>',
    "not a number": '<speak><break time="nans"/></speak>',
    "a negative time": '<speak><break time="-5s"/></speak>',
    "many breaks": "<speak>" + '<break time="20s"/>' * 5000 + "</speak>",
    "a null": "<speak>\x00</speak>",
    "half a pair": "<speak>\ud800</speak>",
    "long": f"<speak>{'a' * 300_000}</speak>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ssml_is_refused_in_one_line(name):
    with pytest.raises(BadRequestError) as error:
        prepare(HOSTILE[name])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("text", ["[pause 21s]", "[pause 999999999s]", "a" + "[pause 20s]b" * 16])
def test_pauses_have_a_limit(text):
    with pytest.raises(BadRequestError, match="expected"):
        prepare(text)


def test_anything_at_all_is_parts_or_a_refusal():
    rng = random.Random(21)
    pieces = [
        "<speak>",
        "</speak>",
        "<break",
        "/>",
        "[pause 1s]",
        "&",
        "<",
        ">",
        "]]>",
        "<p>",
        "</p>",
        "好",
        "\x00",
        "é",
    ]
    for _ in range(3000):
        text = "".join(
            rng.choice(pieces) if rng.random() < 0.6 else rng.choice(string.printable) for _ in range(20)
        )
        try:
            parts = prepare(text)
        except BadRequestError:
            continue
        assert all(part.text.strip() or part.pause_ms for part in parts)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_mark_that_comes_in_pieces_is_whole_again(size):
    text = "One. [pause 500ms] Two [x] three. [pause 1.5s]Four [" + "long " * 20 + "end"
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    made = list(whole_marks(pieces))
    assert "".join(made) == text
    assert sum(sum(part.pause_ms for part in prepare(piece)) for piece in made) == 2000


def test_text_before_a_bracket_does_not_wait():
    assert next(whole_marks(iter(["Good morning. [pa", "use 1s]"]))) == "Good morning. "
