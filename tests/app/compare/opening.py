"""How the tests open the page Compare, and read it."""

import pandas as pd
from streamlit.testing.v1 import AppTest

from app.compare.choice import Compared, side_by_side
from app.compare.evaluations import OWN
from app.figures.style import LIGHT
from app.runs import open_run
from engine.circuits.graph import Graph
from tests.app.drawing import open_page
from tests.app.fake_run import SIZE

GRAPH = Graph(4, 8)


def compared_of(*runs: str, size: int = SIZE) -> list[Compared]:
    return side_by_side([open_run(run) for run in runs], size, OWN, str, LIGHT)


def page(*runs: str, **query: str) -> AppTest:
    return open_page("compare", **({"runs": ",".join(runs)} if runs else {}), **query)


def table(at: AppTest, alt: str) -> pd.DataFrame:
    return next(frame.value for frame in at.dataframe if alt in frame.proto.alt)
