"""A message is one line that a terminal can only show."""

import pytest

from sovits_runtime.errors import BundleError, SovitsError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("graphs/gpt.onnx: 3 files", "graphs/gpt.onnx: 3 files"),
        ("好，\u3000ok ☃ \U0001f600 é", "好，\u3000ok ☃ \U0001f600 é"),
        ("\x1b[2Jall good", r"\x1b[2Jall good"),
        ("a\nerror: all good\r", r"a\nerror: all good\r"),
        ("\x9b31m\x7f\x00\t", r"\x9b31m\x7f\x00\t"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_could_act_on_a_terminal_is_written_out(text, shown):
    assert printable(text) == shown
    assert str(BundleError(f"x: {text}")) == f"x: {shown}"


def test_of_a_very_long_message_beginning_and_end_stay():
    message = str(SovitsError("the file holds " + "x" * 5_000_000 + "; download it again"))
    assert len(message) < 2100
    assert message.startswith("the file holds xxx")
    assert message.endswith("xxx; download it again")
