"""Buttons that save the circuit shown."""

import streamlit as st

from app.export import to_html
from app.runs import Opened
from engine.circuits.circuit import Circuit
from engine.runs.export import to_csv, to_graphml, to_json


def export_buttons(opened: Opened, circuit: Circuit) -> None:
    """Draw one button a format; a file is made when its button is pressed."""
    name = f"{opened.run.run_id}-{circuit.n_edges}-edges"
    formats = {
        "json": (to_json, "application/json", "The edges in the circuit, in the form of MIB and EAP-IG"),
        "graphml": (to_graphml, "application/xml", "The graph, for Gephi, yEd, networkx"),
        "csv": (to_csv, "text/csv", "Every edge of the model's graph with its score"),
        "html": (to_html, "text/html", "The picture as one file that opens offline, with hover and zoom"),
    }
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("Export this circuit", width="content")
        for ending, (make, mime, why) in formats.items():
            st.download_button(
                ending.upper() if ending != "graphml" else "GraphML",
                lambda make=make: make(opened.run, circuit),
                f"{name}.{ending}",
                mime,
                help=why,
                icon=":material/download:",
                on_click="ignore",
                key=f"export-{ending}",
            )
