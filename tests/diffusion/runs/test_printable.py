"""What a file or an error says cannot steer a terminal."""

import pytest

from diffusion.cli.user_errors import one_line
from diffusion.data.folder import class_name
from diffusion.runs.printable import printable, printable_values, reason, single_line


@pytest.mark.parametrize("text", ["", "cat", "a b", "고양이", "\\x1b"])
def test_what_can_be_shown_stays(text):
    assert printable(text) is text


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb", r"a\nb"),
        ("\u202edab", r"\u202edab"),
        ("\udcff", r"\udcff"),
        ("\x9b", r"\x9b"),
    ],
)
def test_what_steers_a_terminal_is_shown_as_an_escape(text, shown):
    assert printable(text) == shown
    assert printable_values({text: [text, 3, None]}) == {shown: [shown, 3, None]}
    assert class_name(f"{text}/1.png", "folder", "root") == shown


def test_an_error_is_one_line_that_can_be_shown():
    error = ValueError("a\x1b[2J\n  b")
    assert one_line(error) == reason(error) == single_line(str(error)) == r"a\x1b[2J b"
    assert reason(KeyError()) == "KeyError" and len(reason(ValueError("long" * 100))) == 200
