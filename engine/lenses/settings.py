"""Settings of the training of lenses, which `circuit-explorer lens --set` accepts."""

from pydantic import BaseModel, ConfigDict, Field


class LensTraining(BaseModel):
    """Settings of the training of a model's lenses, of validation, and of the measurement on held-out texts.

    Amounts are numbers of positions, not of texts: models sample texts of ten tokens or without end, and
    counting positions keeps the work the same.

    Attributes:
        texts_hash, tuned_hash: sha256 of the file of texts and of the translators' weights.
    """

    model_config = ConfigDict(extra="forbid")

    texts: str | None = Field(
        default=None,
        description="A UTF-8 text file to train on; without one the model's own texts.",
    )
    texts_hash: str | None = None
    tuned_from: str | None = Field(
        default=None,
        description="A folder of the tuned-lens package, whose translators are used instead of trained ones.",
    )
    tuned_hash: str | None = None
    positions: int = Field(default=2**15, ge=8, le=10**9, description="Of texts to train on, at most.")
    validation: int = Field(
        default=2**11,
        ge=2,
        le=10**8,
        description="Positions that choose what is kept of a training, at most.",
    )
    held_out: int = Field(
        default=2**11,
        ge=2,
        le=10**8,
        description="Positions of other texts to measure on, at most.",
    )
    length: int | None = Field(
        default=None,
        ge=3,
        description="Tokens of a text, at most; 64, or as many as the model can read.",
    )
    middle: bool | None = Field(
        default=None,
        description="Lenses in the middle of layers too, where the model's have one.",
    )
    batch: int = Field(default=512, ge=1, le=2**20, description="Positions in a step, about.")
    tuned_steps: int = Field(default=250, ge=1, le=100_000)
    oca_steps: int = Field(default=800, ge=1, le=100_000)
    linear_steps: int = Field(default=250, ge=1, le=100_000)
    directions: int = Field(
        default=32,
        ge=0,
        le=100_000,
        description="Of each kind, to test faithfulness; 0 for none.",
    )
    causal_texts: int = Field(
        default=16,
        ge=2,
        le=10_000,
        description="Texts each direction is tested on.",
    )
