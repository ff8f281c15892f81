"""A pair of prompts that a user typed."""

from pydantic import BaseModel, ConfigDict, Field


class OwnPair(BaseModel):
    """A pair of prompts that a user typed, as in a line of a task file."""

    model_config = ConfigDict(extra="forbid")

    clean: str = Field(min_length=1, max_length=20_000)
    corrupt: str = Field(min_length=1, max_length=20_000)
    answers: list[str] = Field(min_length=1, max_length=100)
    wrong_answers: list[str] = Field(min_length=1, max_length=100)
