"""Which layers and tokens of a reading are shown."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.lens.data import MOST_ROWS, ReadRun, rows_shown

WIDEST = 16  # tokens side by side


@dataclass(frozen=True)
class Part:
    """The part of a reading that is shown: indices of rows and of tokens."""

    rows: list[int]
    tokens: list[int]

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the values of this part, [rows, tokens, …]."""
        return values[np.ix_(self.rows, self.tokens)]


def tokens_of_url(text: str) -> tuple[int, int]:
    """Read the first and last token shown out of the address, "3-18"; ValueError for anything else."""
    first, last = (int(part) for part in text.split("-"))
    return first, last


def url_of_tokens(tokens: tuple[int, int]) -> str:
    """Write the first and last token shown into the address."""
    return f"{tokens[0]}-{tokens[1]}"


def last_tokens(n: int) -> tuple[int, int]:
    """Return the first and last token shown by default for a text of `n` tokens, counted from 1."""
    return max(1, n - WIDEST + 1), n


def least_stride(run: ReadRun) -> int:
    """Return the default stride of a reading: the smallest whose rows fit into a picture."""
    return -(-len(run.result.places) // MOST_ROWS)


def choose_part(run: ReadRun) -> Part:
    """Draw the choosers of layers and tokens and return the part chosen."""
    layers = len({place.removesuffix("-mid") for place in run.result.places[:-1]})
    n = len(run.result.tokens)
    if st.session_state.get("lens-every") not in range(1, layers + 1):
        st.session_state["lens-every"] = least_stride(run)
    every = 1
    if layers > 1:
        every = st.number_input(
            "Layer step",
            1,
            layers,
            key="lens-every",
            help="2 shows every second layer. The last row is always there.",
            width=170,  # narrower it has no buttons
            persist_state="session",
        )
    if n <= WIDEST:
        return Part(rows_shown(run, int(every)), list(range(n)))
    first, last = st.session_state.get("lens-tokens", (0, 0))
    if not 1 <= first <= last <= n:
        st.session_state["lens-tokens"] = last_tokens(n)
    st.slider(
        "Tokens",
        1,
        n,
        key="lens-tokens",
        help="Which of them are shown.",
        width=260,
        persist_state="session",
    )
    first, last = st.session_state["lens-tokens"]
    return Part(rows_shown(run, int(every)), list(range(first - 1, last)))
