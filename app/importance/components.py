"""Panels of Δ: all components under one ablation, one component under all ablations, several side by side."""

from collections.abc import Sequence

import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.components import AblationMark, ablation_mark
from app.figures.curve import interval_text
from app.figures.estimates import numbers_of
from app.figures.names import node_role
from app.figures.style import Look
from app.importance.choice import on_component
from app.importance.data import INPUT, Measured, Series, component, span
from app.importance.figures.bars import Costs, bars_figure, one_component_figure
from app.importance.figures.grid import Cell, grid_figure
from app.importance.tables import conditioning_note, costs_table, number_columns
from app.parts.table import as_table

TOPS = (5, 10, 20)
CELL = 40  # px, of a layer in the grid


def grid_panel(measured: Measured, shown: Series, selected: tuple[str, ...], scheme: Look) -> None:
    """Draw the grid of one ablation."""
    cells = {}
    for node in measured.nodes():
        if (kl := shown.estimate(node)) is not None:
            layer, head = component(node) or (-1, None)
            cells[node] = Cell(layer, head, kl.mean, interval_text(kl))
    figure = grid_figure(cells, _span(measured), scheme, selected)
    layers = 2 + max((cell.layer for cell in cells.values()), default=0)
    plotly_view(
        figure,
        "ablations-grid",
        f"Layers by heads, coloured by what each costs under {shown.name}. The table below lists it.",
        height=min(150 + CELL * (layers + 1), 900),
        on_event=on_component,
        clearable=bool(selected),
    )
    table = costs_table(measured, [shown], sorted(cells, key=lambda node: -cells[node].mean))
    as_table(
        table.drop(columns="ablation"),
        "ablations-grid-table",
        f"What each component costs under {shown.name}",
        number_columns("Δ (nats)", "low", "high"),
    )


def _span(measured: Measured) -> tuple[float, float]:
    """Return the values (nats) at the ends of the colour scale, the same for all ablations."""
    return span(
        [kl.mean for series in measured.series for n in measured.nodes() if (kl := series.estimate(n))]
    )


def looked_at(measured: Measured, selected: tuple[str, ...], shown: Series) -> str:
    """Return the component selected last, or the one with the largest Δ."""
    return selected[-1] if selected else next(iter(measured.strongest(shown, 1)), INPUT)


def component_panel(measured: Measured, selected: tuple[str, ...], shown: Series, scheme: Look) -> None:
    """Draw one component under every ablation."""
    node = looked_at(measured, selected, shown)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader(node, anchor=False, width="content")
        if selected:
            st.button(
                "Clear",
                key="ablations-clear",
                on_click=lambda: on_component({"kind": "clear"}),
                help="Esc does the same",
                type="tertiary",
                icon=":material/close:",
            )
    role = node_role(node)
    hint = "" if selected else ", which costs most here. Click a cell for another component"
    st.caption(f"{role[0].upper()}{role[1:]}{hint}.")
    defined = [series for series in measured.series if series.estimate(node) is not None]
    conditioning_note(defined, short=True)
    plotly_view(
        one_component_figure([costs(series, [node], scheme) for series in defined], scheme),
        "ablations-component",
        f"What {node} costs under every ablation, with 95 % intervals. The table below lists it.",
        height=64 + round(27 * scheme.text * len(defined)),
        bar=False,
    )
    as_table(
        costs_table(measured, defined, [node]).drop(columns="component"),
        "ablations-component-table",
        f"What {node} costs under every ablation",
        number_columns("Δ (nats)", "low", "high"),
    )


def bars_panel(measured: Measured, shown: Series, selected: tuple[str, ...], scheme: Look) -> None:
    """Draw several components under every ablation: those selected, or the ones with the largest Δ."""
    if st.session_state.get("ablations-top") not in TOPS:
        st.session_state["ablations-top"] = TOPS[1]
    several = len(selected) > 1
    if several:
        nodes = list(selected)
        st.caption("The components selected. Shift-click a cell for one more, Esc for those that cost most.")
    else:
        top = st.segmented_control(
            f"Components that cost most under {shown.name}",
            TOPS,
            key="ablations-top",
            required=True,
            persist_state="session",
        )
        nodes = measured.strongest(shown, top or TOPS[1])
        nodes += [node for node in selected if node not in nodes]
    conditioning_note(measured.series)
    plotly_view(
        bars_figure(nodes, [costs(series, nodes, scheme) for series in measured.series], scheme, selected),
        "ablations-bars",
        f"What {', '.join(nodes)} cost under every ablation, with 95 % intervals. The table below lists it.",
        height=400,
        on_event=on_component,
    )
    st.caption(
        "A log axis has no zero: compare the tops of the bars, not their areas. Lines are 95 % intervals "
        "over prompts; hatched bars are of constants shared by all positions. Shift-click cells of the grid "
        "to choose components."
    )
    as_table(
        costs_table(measured, measured.series, nodes),
        "ablations-bars-table",
        "What these components cost under every ablation",
        number_columns("Δ (nats)", "low", "high"),
    )


def costs(series: Series, nodes: Sequence[str], scheme: Look) -> Costs:
    """Return Δ of nodes under an ablation, for figures."""
    mean, low, high = numbers_of([series.estimate(node) for node in nodes])
    return Costs(series.name, mark_of(series, scheme), mean, low, high)


def mark_of(series: Series, scheme: Look) -> AblationMark:
    """Return the mark of a series."""
    return ablation_mark(series.ablation, series.conditioning, scheme)
