"""Text of others is shown as it is."""

import pytest
from streamlit.testing.v1 import AppTest

from app.text import percent, plain

NASTY = [
    "![x](http://nowhere.invalid/x.png)",
    "[a](http://b)",
    "<b>",
    "$x$",
    ":red[x]",
    ":material/home:",
    "a_b*c",
]


@pytest.mark.parametrize("text", NASTY)
def test_every_special_character_is_escaped(text):
    shown = plain(text)
    assert shown.replace("\\", "") == text
    special = [i for i, character in enumerate(shown) if character in "[]()<>$:!*_"]
    assert special
    assert all(shown[i - 1] == "\\" for i in special)


def test_lines_are_joined():
    assert plain("one\n\n# two") == "one \\# two"


def test_an_imported_name_stays_text_on_the_page():
    def script() -> None:
        import streamlit as st

        from app.text import plain

        st.title(plain("run of ![x](http://nowhere.invalid)"))

    at = AppTest.from_function(script).run()
    assert "![" not in at.title[0].value


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (1519, 1519, "100 %"),
        (1518, 1519, "99.93 %"),
        (1500, 1519, "99 %"),
        (76, 1519, "5 %"),
        (1, 32491, "0.0031 %"),
    ],
)
def test_shares_are_told_from_everything(part, whole, said):
    assert percent(part, whole) == said
