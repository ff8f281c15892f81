"""The README's table of the shipped lenses."""

from engine.instruments.tables import estimate_text, markdown, shipped
from engine.runs.store import RunStore


def lenses_table(store: RunStore) -> str:
    """Return the KL of each shipped lens to the model before every layer, in Markdown."""
    runs = shipped(store, "train-lenses")
    if not runs:
        return ""
    result = runs[0].result
    layers = [i for i, place in enumerate(result.places) if not place.endswith("-mid")]
    rows = [
        [name, f"{lens.parameters:,}", *(estimate_text(lens.kl[i]) for i in layers)]
        for name, lens in result.lenses.items()
    ]
    return markdown(["lens", "parameters", *(f"layer {result.places[i]}" for i in layers)], rows)
