"""The panel of the training of an optimal ablation's constants."""

import math

import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.style import Look
from app.importance.choice import choose_series
from app.importance.data import Measured, Series
from app.importance.figures.training import HISTORY, training_figure
from app.importance.tables import number_columns
from app.parts.table import as_table


def trained_series(measured: Measured) -> list[Series]:
    """Return the series whose constants were trained."""
    return [series for series in measured.series if history_of(series) is not None]


def history_of(series: Series) -> dict[str, list[float]] | None:
    """Return the history of a training; None if there was no training, or columns are missing."""
    history = series.run.result.history
    lengths = {len(history.get(name, ())) for name in HISTORY}
    return history if len(lengths) == 1 and lengths != {0} else None


def training_panel(measured: Measured, scheme: Look) -> None:
    """Draw the training of one run."""
    trained = trained_series(measured)
    if not trained:
        st.info(
            "No constants were trained here. The optimal ablation trains them: measure it to see how.",
            icon=":material/model_training:",
        )
        return
    with st.columns(3)[0]:
        series = choose_series(measured, "Constants of", "ablations-trained", trained, trained[0].key)
    history = history_of(series)
    assert history is not None
    first, best, last = history["validation"][0], history["best"][-1], int(history["step"][-1])
    settings = series.run.request.ablation_settings
    limit = settings.get("steps")
    ended = (
        "" if limit is None or last >= limit else f", of {limit} at most: then nothing was gained any more"
    )
    share = f", {best / first:.0%} of it" if first > 0 and math.isfinite(best / first) else ""
    st.markdown(
        f"At the means **{first:.3g} nats**, at the best constants **{best:.3g} nats**{share}, after "
        f"**{last}** steps{ended}."
    )
    plotly_view(
        training_figure(history, scheme),
        "ablations-training",
        f"KL on prompts held out, and distance from the means, over {last} training steps. See the table.",
        height=330,
    )
    st.caption(
        f"{series.name}: KL on training prompts held out, mean over {len(series.run.result.nodes)} sources "
        "(heads, MLPs and the input), each ablated alone. Of every source the constant that was best there "
        "is kept, so the dashed line never rises. One training, so there is no interval."
    )
    as_table(
        pd.DataFrame({name: history[name] for name in HISTORY}),
        "ablations-training-table",
        "Training of the constants",
        number_columns("validation", "best", "moved"),
    )
