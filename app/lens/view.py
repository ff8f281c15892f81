"""The page Lens, and the views of the runs shown there: trained lenses, and texts read by lenses."""

import plotly.graph_objects as go

from app.figures.estimates import numbers_of
from app.figures.style import Look
from app.lens.data import lens_place, lens_title, reading_key, row_name, statistic, word_of
from app.lens.figures.lines import Line, lines_figure
from app.lens.figures.scale import Scale
from app.lens.figures.table import Cells, lens_figure
from app.runs import Shelf
from app.views import Address, Page, View, settings_facts, views
from engine.instruments.lens.request import ReadText, TrainLenses
from engine.instruments.lens.result import ReadTextResult, TrainLensesResult
from engine.runs.folder import Run

PAGE = Page("lens", "Lens", ":material/search:", order=50)


@views.register("lens")
class ReadTextView(View[ReadText, ReadTextResult]):
    """A text that lenses have read."""

    def address(self, run: Run[ReadText, ReadTextResult], shelf: Shelf) -> Address:
        """Return Lens with this text."""
        return Address(PAGE, {"subject": reading_key(run.request)})

    def good(self, run: Run[ReadText, ReadTextResult]) -> dict[str, str]:
        """Return how long the text is, and which lenses read it."""
        return {"tokens": f"{len(run.result.tokens):,}", "lenses": ", ".join(run.result.lenses)}

    def figure(self, run: Run[ReadText, ReadTextResult], scheme: Look) -> go.Figure:
        """Return the top words of the first lens at every layer and token, coloured by their probability."""
        result, lens = run.result, run.result.lenses[0]
        values, ids = statistic(run, "probability", lens), run.tensors[f"top_ids.{lens}"][..., 0]
        words = [[word_of(run, token) for token in row] for row in ids.tolist()]
        hover = [[f"{value:.1%}" for value in row] for row in values.tolist()]
        rows = [row_name(place) for place in result.places]
        cells = Cells(values, words, hover)
        return lens_figure(cells, rows, result.tokens, lens_title(lens), Scale(0.0, 1.0), scheme)

    def asked(self, run: Run[ReadText, ReadTextResult]) -> dict[str, str]:
        """Return the text, and the intervention on the model."""
        return settings_facts(run.request.lens.model_dump(exclude_none=True))


@views.register("train-lenses")
class TrainLensesView(View[TrainLenses, TrainLensesResult]):
    """The lenses of a model, trained."""

    def address(self, run: Run[TrainLenses, TrainLensesResult], shelf: Shelf) -> Address:
        """Return Lens with the metrics of these lenses."""
        return Address(PAGE, {"trained": run.run_id, "view": "texts"})

    def good(self, run: Run[TrainLenses, TrainLensesResult]) -> dict[str, str]:
        """Return which lenses there are, and on how many texts they were measured."""
        return {"texts": f"{run.result.n_texts:,} held out", "lenses": ", ".join(run.result.lenses)}

    def figure(self, run: Run[TrainLenses, TrainLensesResult], scheme: Look) -> go.Figure:
        """Return how far each lens is from the model at every layer."""
        lines = [
            Line(lens_title(name), lens_place(name), *numbers_of(lens.kl))
            for name, lens in run.result.lenses.items()
        ]
        rows = [row_name(place) for place in run.result.places]
        return lines_figure(lines, rows, "KL(model ‖ lens), nats", scheme, log=True)

    def asked(self, run: Run[TrainLenses, TrainLensesResult]) -> dict[str, str]:
        """Return the settings of the training."""
        return settings_facts(run.request.lens_training.model_dump(exclude_none=True))
