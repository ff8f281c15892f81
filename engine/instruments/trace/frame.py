"""The effects of a trace as a table."""

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none

from engine.instruments.trace.request import Trace
from engine.instruments.trace.result import TraceResult
from engine.runs.folder import Run


def effects_frame(run: Run[Trace, TraceResult]) -> pd.DataFrame:
    """Return the mean effect on the answer's probability.

    Returns:
        A table with a row for every token of a prompt, or for every class of tokens of a task, and a column
        for every layer ("L0", …) or head ("a0.h0", …); nan where no prompt has such a token.
    """
    result = run.result
    if result.classes:
        rows = [of_class.effects["probability"] for of_class in result.classes.values()]
        effects = np.array([[np.nan if effect is None else effect.mean for effect in row] for row in rows])
        index = list(result.classes)
    else:
        effects = run.tensors["effects"][..., 0].astype(float).mean(2)
        index = result.traced[0].tokens
    columns = [f"L{i}" for i in range(effects.shape[1])]
    if run.request.trace.state == "head":
        columns = [f"a{i // result.n_heads}.h{i % result.n_heads}" for i in range(effects.shape[1])]
    return pd.DataFrame(effects, index=index, columns=columns)
