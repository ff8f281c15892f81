"""The README's table of the shipped traces of all facts."""

from engine.instruments.tables import estimate_text, markdown, shipped
from engine.runs.store import RunStore

CORRUPTIONS = {"optimal": "optimal ablation", "gaussian": "Gaussian noise"}


def traces_table(store: RunStore) -> str:
    """Return the table of effects of every layer at the last token, and of the effective number of layers.

    It covers the shipped traces of all facts, in Markdown.
    """
    last = {
        (run.request.trace.state, run.request.ablation): run.result.classes["last"]
        for run in shipped(store, "trace")
        if run.request.trace.prompt is None
    }
    rows: list[list[str]] = []
    for state in ("residual", "attention", "mlp"):
        row = [state]
        for corruption in CORRUPTIONS:
            if (of_class := last.get((state, corruption))) is None:
                row += ["–", "–"]
                continue
            means = [estimate.mean for estimate in of_class.effects["probability"]]
            effects = [f"{mean:.2f}" if abs(mean) >= 0.005 else "0" for mean in means]
            row += [", ".join(effects), estimate_text(of_class.concentration, 2)]
        rows.append(row)
    head = ["restored", *(cell for name in CORRUPTIONS.values() for cell in (f"{name}: effects", "layers"))]
    return markdown(head, rows)
