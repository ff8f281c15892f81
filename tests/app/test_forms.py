"""Settings of any method become a form."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field, ValidationError
from streamlit.testing.v1 import AppTest

from app.forms import problems


class Settings(BaseModel):
    steps: int = Field(600, ge=10, le=2000, title="Steps", description="How many")
    kind: Literal["one", "two"] = "one"
    rate: float = Field(0.1, gt=0)
    masks: bool = True
    start: str | None = None
    target: float | None = Field(None, gt=0, le=1)


def form() -> None:
    import streamlit as st

    from app.forms import fields_form
    from tests.app.test_forms import Settings

    st.session_state["values"] = fields_form(Settings, "f")


def drawn() -> AppTest:
    at = AppTest.from_function(form).run()
    assert not at.exception
    return at


def test_every_kind_of_field_has_its_widget_with_bounds_and_help():
    at = drawn()
    steps = at.number_input(key="f-steps")
    assert (steps.label, steps.min, steps.max, steps.value, steps.help) == (
        "Steps",
        10,
        2000,
        600,
        "How many",
    )
    assert at.selectbox(key="f-kind").options == ["one", "two"]
    assert at.toggle(key="f-masks").value is True
    assert at.text_input(key="f-start").value == ""
    assert at.number_input(key="f-target").value is None


def test_only_what_differs_from_the_defaults_is_returned():
    at = drawn()
    assert at.session_state["values"] == {}
    at.number_input(key="f-steps").set_value(20)
    at.toggle(key="f-masks").set_value(False)
    at.text_input(key="f-start").set_value("some-run").run()
    assert at.session_state["values"] == {"steps": 20, "masks": False, "start": "some-run"}


def test_problems_are_named_by_their_title():
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"steps": 1, "rate": -1})
    lines = problems(caught.value, Settings)
    assert lines == [
        "Steps: input should be greater than or equal to 10",
        "Rate: input should be greater than 0",
    ]
