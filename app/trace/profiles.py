"""Profiles and table rows of corruptions, for every figure of the page "Causal tracing"."""

from collections.abc import Sequence
from typing import Any

from app.figures.components import AblationMark, ablation_mark
from app.figures.estimates import numbers_of
from app.figures.style import Look
from app.trace.data import PAIR, TraceRun, corruption_names, corruption_title
from app.trace.figures.lines import Profile
from engine.runs.record import Estimate

# Ablations that no corruption here is called by: their marks are lent to corruptions of others.
_LENT = ("mean", "counterfactual-mean", "resample", "counterfactual")


def profile_of(run: TraceRun, estimates: Sequence[Estimate | None], scheme: Look) -> Profile:
    """Return estimates under one corruption as a profile, for figures."""
    name = run.request.ablation
    mark = _mark(name, scheme)
    return Profile(corruption_title(name), mark.colour, mark.symbol, *numbers_of(estimates))


def table_rows(profiles: Sequence[Profile], column: str, names: Sequence[object]) -> list[dict[str, Any]]:
    """Return one row for each corruption and each of `names`, with mean and interval."""
    return [
        {"corruption": profile.name, column: name, "mean": mean, "low": low, "high": high}
        for profile in profiles
        for name, mean, low, high in zip(names, profile.mean, profile.low, profile.high, strict=True)
    ]


def _mark(corruption: str, scheme: Look) -> AblationMark:
    """Return the mark of a corruption; unknown ones share a mark."""
    names = corruption_names()
    if corruption in PAIR or corruption not in names:
        return ablation_mark(corruption if corruption in PAIR else "", None, scheme)
    others = [name for name in names if name not in PAIR]
    return ablation_mark(_LENT[others.index(corruption) % len(_LENT)], None, scheme)
