"""Figure of the predictions of model and circuit for one prompt, side by side."""

import plotly.graph_objects as go

from app.figures.style import Look, base_layout, escape

Top = list[tuple[str, float]]  # the most probable tokens with their probabilities, best first


def predictions_figure(model: Top, circuit: Top, scheme: Look) -> go.Figure:
    """Return paired bars of the probabilities of the top tokens of model and circuit.

    A token outside the top predictions of one of them has no bar there: its probability is not known.

    Args:
        model, circuit: the top predictions of each.
        scheme: colours of the page.
    """
    shares = {"model": _numbered(model), "circuit": _numbered(circuit)}
    tokens = list({**shares["model"], **shares["circuit"]})
    tokens.sort(key=lambda token: -max(share.get(token, 0) for share in shares.values()))
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    names = [escape(token.strip() or repr(token)) for token, _ in tokens]
    figure = go.Figure(
        layout=base_layout(
            scheme,
            margin={"l": 8, "r": 12, "t": 26, "b": 34},
            dragmode=False,
            bargap=0.35,
            bargroupgap=0.08,
            legend={
                "orientation": "h",
                "x": 0,
                "y": 1,
                "yanchor": "bottom",
                "font": quiet | {"color": scheme.ink},
            },
        )
    )
    for name, colour in (("model", scheme.muted), ("circuit", scheme.accent)):
        figure.add_bar(
            x=[shares[name].get(token) for token in tokens],
            y=list(range(len(tokens))),
            orientation="h",
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            text=names,
            textposition="none",
            hovertemplate=f"{name}: <b>%{{text}}</b> %{{x:.1%}}<extra></extra>",
        )
    # Places by number and not by name: two different tokens can look the same.
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5])
    figure.update_yaxes(tickfont=quiet, automargin=True, fixedrange=True, showgrid=False, zeroline=False)
    figure.update_yaxes(ticklabelstandoff=6)
    figure.update_xaxes(
        tickformat=".0%",
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        range=[0, 1],
        tickfont=quiet,
        gridcolor=scheme.band,
        zeroline=False,
        fixedrange=True,
    )
    return figure


def _numbered(top: Top) -> dict[tuple[str, int], float]:
    """Return the probabilities by token; tokens whose text is the same are numbered."""
    shares: dict[tuple[str, int], float] = {}
    for token, share in top:
        shares[token, sum(token == other for other, _ in shares)] = share
    return shares
