"""Settings: how they are read, and what of them counts for a run's name."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from engine.ablations.base import Ablation, ablations
from engine.ablations.zero import Zero
from engine.discovery import eap_then_edge_pruning, edge_pruning, node_pruning
from engine.discovery.base import Discovery, Method
from engine.errors import RequestError
from engine.settings import Later, later_fields, parse_settings, settings_to_json


class First(BaseModel):
    """Settings as they were at first, and two that came later."""

    model_config = ConfigDict(extra="forbid")

    steps: int = Field(default=10, ge=1)
    rate: Annotated[float, Later()] = Field(default=0.5, gt=0)
    names: Annotated[list[str], Later()] = Field(default_factory=list)


class Derived(First):
    """The same with one more of each."""

    size: int = 3
    depth: Annotated[int | None, Later()] = None


def test_fields_are_marked_as_later():
    assert later_fields(First) == {"rate", "names"}
    assert later_fields(Derived) == {"rate", "names", "depth"}


def test_what_came_later_counts_only_with_another_value():
    assert settings_to_json(First()) == {"steps": 10}
    assert settings_to_json(First(steps=3, rate=0.5, names=[])) == {"steps": 3}
    assert settings_to_json(First(rate=0.25)) == {"steps": 10, "rate": 0.25}
    assert settings_to_json(First(names=["a"])) == {"steps": 10, "names": ["a"]}
    assert settings_to_json(Derived(depth=0)) == {"steps": 10, "size": 3, "depth": 0}


@pytest.mark.parametrize("given", [{}, {"rate": 0.25}, {"names": ["b"], "steps": 2}, {"rate": "0.5"}])
def test_settings_are_read_back_as_they_were(given: dict[str, Any]):
    settings = parse_settings(First, given)
    assert parse_settings(First, settings_to_json(settings)) == settings


def test_bounds_hold_for_what_came_later():
    with pytest.raises(RequestError, match="setting rate=0"):
        parse_settings(First, {"rate": 0})
    with pytest.raises(RequestError, match="did you mean 'rate'"):
        parse_settings(First, {"rates": 1})


@pytest.mark.parametrize("settings", [edge_pruning.Settings, eap_then_edge_pruning.Settings])
def test_the_constants_rate_of_edge_pruning_came_later(settings: type[BaseModel]):
    assert later_fields(settings) == {"constants_rate"}
    assert "constants_rate" not in settings_to_json(parse_settings(settings, {"constants_rate": "0.005"}))
    assert settings_to_json(parse_settings(settings, {"constants_rate": 0.01}))["constants_rate"] == 0.01


def test_the_constants_rate_of_node_pruning_was_there_from_the_start():
    assert settings_to_json(parse_settings(node_pruning.Settings, {}))["constants_rate"] == 5e-3


def test_the_brackets_of_a_class_say_what_its_settings_are():
    class Slow(Method[First]):
        def discover(self, problem: Any, settings: First, seed: int, report: Any) -> Discovery:
            raise NotImplementedError

    class Slower(Slow):
        pass

    class Bare(Ablation):
        def prepare(self, transformer: Any, reference: Any, settings: BaseModel, seed: int) -> Any:
            raise NotImplementedError

    assert Slow().Settings is Slower().Settings is First
    assert Bare().Settings is Zero().Settings is ablations.get("counterfactual").Settings
