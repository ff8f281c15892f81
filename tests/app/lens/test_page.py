"""The wiring of the page "Lens"; what is clicked is tested in browser/."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.lens.data import reading_key
from app.parts.tokens import tokens_of
from app.runs import shelf
from app.text import plain
from engine.instruments.lens.completion import completed_lenses
from engine.instruments.lens.request import Reading, TrainLenses
from engine.lenses.base import LENSES, lenses
from engine.lenses.mean import MeanLens
from engine.lenses.settings import LensTraining
from engine.models import shipped_models, weights_hash
from engine.runs.combine import Part
from engine.runs.store import RunStore
from tests.app.drawing import figure, open_page, text, views
from tests.app.fake_lens import (
    CROSS_ENTROPY,
    ENTROPY,
    LAYERS,
    TEXTS,
    TOKENS,
    write_reading,
    write_training,
)
from tests.app.fake_run import SIZE, SIZES, write_fake_run

PICTURE = "![x](https://example.org/a.png)"  # a name that somebody chose


def page(**query: str) -> AppTest:
    return open_page("lens", **query)


def write_default_training(store: RunStore, **about: Any) -> None:
    """Write lenses of the demo model, trained as for a text that is to be read; `about` says what differs."""
    filled_in = {"length": 64, "middle": True}  # by the engine
    default = {"model": "explorer-4l", "weights_hash": weights_hash(shipped_models()["explorer-4l"])}
    write_training(store, **{**default, "lens_training": filled_in, **about})


def test_without_readings_the_page_says_what_to_do(store):
    at = page()
    assert "press **Read**" in at.info[0].value


@pytest.mark.parametrize(
    ("view", "pictures"),
    [
        ("one", {"lens-table"}),
        ("two", {"lens-table-first", "lens-table-second", "lens-difference"}),
        ("race", {"lens-race"}),
        ("texts", {"lens-kl"}),
        ("faithfulness", {"lens-direction", "lens-magnitude"}),
    ],
)
def test_every_view_is_drawn_from_its_address_with_a_table(store, view, pictures):
    trained = write_training(store)
    run = write_reading(store, trained=trained)
    at = page(view=view)
    assert pictures <= set(views(at))
    assert all(drawn["alt"] for drawn in views(at).values())
    assert (trained if view in ("texts", "faithfulness") else run) in text(at)
    assert at.query_params.get("view", ["one"]) in (view, [view])
    assert [box for box in at.expander if box.label == "As a table"]


def numbers(values: list[float] | dict[str, str]) -> list[float]:
    """Numbers as Plotly writes arrays: in base64."""
    if isinstance(values, list):
        return values
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()


def hovers(at: AppTest, key: str = "lens-table") -> list[list[str]]:
    """The hover text of every cell of a table, whatever the colour of its word."""
    layers = [trace["customdata"] for trace in figure(at, key)["data"]]
    return [["".join(cell) for cell in zip(*row, strict=True)] for row in zip(*layers, strict=True)]


def test_the_table_has_a_row_for_every_layer_and_the_output_on_top(store):
    write_reading(store)
    at = page(lens="tuned", statistic="entropy")
    drawn = figure(at, "lens-table")
    assert [len(row) for row in hovers(at)] == [len(TOKENS)] * (LAYERS + 1)
    assert drawn["layout"]["yaxis"]["ticktext"][-1] == "output"
    assert "font-family:monospace" in hovers(at)[0][0]
    assert "Entropy (nats): " in hovers(at)[0][0]
    title = drawn["layout"]["title"]["text"]
    assert title == "Tuned lens: top word after each token; colour: entropy (nats)"
    assert title in views(at)["lens-table"]["alt"]


def test_words_are_followed_or_those_on_top(store):
    run, other = write_reading(store, words=(" Seoul", " Tokyo")), write_reading(store, "another text")
    keys = [reading_key(store.get(one).request) for one in (run, other)]
    at = page(view="race", subject=keys[0])
    assert [trace["name"] for trace in figure(at, "lens-race")["data"]] == ["Seoul", "Tokyo"]
    at = page(view="race", subject=keys[1])
    assert other in text(at)
    assert "words on top" in text(at)


@pytest.mark.parametrize("words", [(" Seoul", " Tokyo"), ()])
def test_words_of_several_tokens_are_told_apart(store, monkeypatch, words):
    monkeypatch.setattr("tests.app.fake_lens.WORDS", ["�"] * 11)
    run = write_reading(store, words=words)
    if words:
        shelf().others[run].result.raced = ["�", "�"]
    at = page(view="race")
    names = [trace["name"] for trace in figure(at, "lens-race")["data"]]
    assert len(names) > 1
    assert names == [f"'�' ({i})" for i in range(1, len(names) + 1)]
    assert at.dataframe[0].value.columns.tolist() == ["layer", *names]


def test_all_lenses_are_shown_over_texts_with_their_parameters(store):
    write_training(store)
    write_reading(store)
    at = page(view="texts")
    lines = [trace for trace in figure(at, "lens-kl")["data"] if trace.get("name")]
    assert len(lines) == len(LENSES)
    assert f"{TEXTS} texts" in text(at)
    assert "4,000" in text(at)


@pytest.mark.parametrize(
    ("measure", "title", "of_model"),
    [("cross_entropy", "cross-entropy", CROSS_ENTROPY), ("entropy", "entropy", ENTROPY)],
)
def test_what_else_is_measured_over_texts_stands_beside_the_models_own(store, measure, title, of_model):
    run = store.get(write_training(store))
    write_reading(store)
    at = page(view="texts", measure=measure)
    drawn = figure(at, f"lens-{measure}")
    assert drawn["layout"]["yaxis"]["title"]["text"].startswith(title)
    of_line = {trace["name"]: numbers(trace["y"]) for trace in drawn["data"] if trace.get("name")}
    means = [estimate.mean for estimate in getattr(run.result.lenses["tuned"], measure)]
    assert of_line["Tuned lens"] == pytest.approx(means)
    assert of_line["The model itself"] == pytest.approx([of_model] * LAYERS)
    assert title in views(at)[f"lens-{measure}"]["alt"].lower()
    table = next(frame.value for frame in at.dataframe if "lens" in frame.value)
    assert table[table["lens"] == "Tuned lens"].iloc[:, 2].tolist() == pytest.approx(means)
    assert table[table["lens"] == "The model itself"].iloc[0, 2] == of_model
    at.segmented_control(key="lens-measure").set_value("kl").run()
    assert "measure" not in at.query_params
    assert not [trace for trace in figure(at, "lens-kl")["data"] if trace.get("name") == "The model itself"]


def test_two_lenses_are_on_one_colour_scale(store):
    run = store.get(write_reading(store))
    at = page(view="two", first="logit", second="mean", statistic="kl")
    drawn = [figure(at, f"lens-table-{which}") for which in ("first", "second")]
    bars = [one["layout"]["coloraxis"]["colorbar"] for one in drawn]
    assert bars[0]["ticktext"] == bars[1]["ticktext"]
    assert bars[0]["tickvals"] == bars[1]["tickvals"]
    highest = max(run.tensors[f"kl.{name}"].max() for name in ("logit", "mean"))
    of_one = dict(zip(bars[0]["ticktext"], bars[0]["tickvals"], strict=True))["0.5"]
    assert of_one == pytest.approx((0.5 / highest) ** 0.5)


@pytest.mark.parametrize("statistic", ["cross_entropy", "next_rank", "step_js", "step_kl"])
def test_cells_without_a_value_say_why(store, statistic):
    write_reading(store)
    at = page(statistic=statistic)
    hover = hovers(at)
    assert "nan" not in "".join(cell for row in hover for cell in row).lower()
    assert "comes after it" in hover[-1][-1]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(
    ("query", "array", "picture"),
    [
        ({"statistic": "kl", "lens": "logit"}, "kl.logit", "lens-table"),
        ({"statistic": "entropy", "lens": "logit"}, "entropy.logit", "lens-table"),
        ({"view": "two", "first": "logit", "second": "mean"}, "lens_js", "lens-difference"),
        (
            {"view": "two", "first": "logit", "second": "mean", "distance": "lens_kl"},
            "lens_kl",
            "lens-difference",
        ),
    ],
)
def test_what_is_not_finite_has_no_value(store, query, array, picture, value):
    write_reading(store, spoilt=(array, value))
    at = page(**query)
    hover = hovers(at, picture)
    assert "no value" in hover[0][0]
    assert "no value" not in hover[1][0]
    highest = figure(at, picture)["layout"]["coloraxis"]["colorbar"]["ticktext"]
    assert max(float(text) for text in highest) <= 1


def test_the_stride_keeps_the_last_row_and_is_in_the_address(store):
    write_reading(store)
    at = page(every="3")
    assert figure(at, "lens-table")["layout"]["yaxis"]["ticktext"] == ["L0", "L3", "output"]
    assert at.query_params["every"] in ("3", ["3"])
    assert figure(page(every="99"), "lens-table")["layout"]["yaxis"]["ticktext"][1] == "L1"


def test_the_ten_most_probable_words_are_in_the_table(store):
    run = store.get(write_reading(store))
    table = page(lens="oca").dataframe[0].value
    words = run.result.words
    best = [words[str(i)].strip() for i in run.tensors["top_ids.oca"][0, 1]]
    ten, top = (str(table[name].tolist()[1]) for name in ("ten most probable", "top word"))
    assert [part.rsplit(" ", 1)[0] for part in ten.split(" · ")] == best
    assert top.strip() == best[0]


def test_each_lens_is_explained_with_its_source(store):
    write_reading(store)
    at = page()
    for title in ("Logit lens", "Mean lens", "Tuned lens", "OCA lens", "Linear OCA lens"):
        assert f"**{title}**: " in text(at)
    assert "2303.08112" in text(at)
    assert "trained constant" in "".join(caption.value for caption in at.caption)


def test_a_lens_that_did_not_read_the_text_is_named(store):
    write_reading(store, lenses=["logit"])
    at = page(lens="oca")
    assert "OCA lens did not read this text" in at.warning[0].value
    assert figure(at, "lens-table")["data"]
    assert "Only the Logit lens" in page(view="two").info[0].value


@pytest.mark.parametrize("view", ["one", "two", "race"])
@pytest.mark.parametrize("others", [[], ["logit"]])
def test_the_name_of_a_lens_of_others_is_no_markdown(store, view, others):
    write_reading(store, lenses=[PICTURE, *others])
    at = page(view=view, lens=PICTURE, first=PICTURE, second="logit")
    said = [element.value for part in (at.caption, at.markdown, at.info, at.warning) for element in part]
    said += [option for chooser in at.segmented_control for option in chooser.options]
    assert any(plain(PICTURE) in one for one in said)
    assert not any(PICTURE in one for one in said)


@pytest.mark.parametrize("view", ["texts", "faithfulness"])
def test_without_trained_lenses_the_page_says_what_to_do(store, view):
    write_reading(store)
    said = page(view=view).info[0].value
    assert "No lenses of fake-4l are trained here" in said
    assert "press **Read**" in said


def test_lenses_of_other_weights_are_not_shown_for_this_text(store):
    trained = write_training(store, weights_hash="1" * 64)
    write_reading(store)
    said = page(view="texts").info[0].value
    assert trained in said
    assert "other weights" in said
    assert "press **Read**" in said


def test_a_reading_by_weights_that_have_changed_says_so(store):
    write_reading(store, model="explorer-4l")
    assert "have changed since" in page().warning[0].value


def test_lenses_without_a_test_of_faithfulness_say_so(store):
    write_training(store, faithful=False)
    write_reading(store)
    assert "without a test" in page(view="faithfulness").info[0].value


@pytest.mark.parametrize(("intervention", "directions"), [("projection", "aligned"), ("steering", "random")])
def test_faithfulness_is_shown_for_what_was_chosen_with_intervals(store, intervention, directions):
    write_training(store)
    write_reading(store)
    at = page(view="faithfulness", intervention=intervention, directions=directions)
    assert {"Tuned lens", "OCA lens"} == {
        trace["name"] for trace in figure(at, "lens-direction")["data"] if trace.get("name")
    }
    table = at.dataframe[0].value
    assert all(low < mean for low, mean in zip(table["magnitude low"], table["magnitude"], strict=True))
    assert "8 of them" in text(at)


@pytest.mark.parametrize("kept", [True, False])
def test_rows_of_places_that_the_lenses_have_not_are_left_out(store, kept):
    trained = write_training(store)
    write_reading(store)
    result = shelf().others[trained].result
    rows = [row for row in result.faithfulness if row.place != "1"]
    result.faithfulness = [
        row if kept and row.place == "0" else row.model_copy(update={"place": "77"}) for row in rows
    ]
    at = page(view="faithfulness")
    if kept:
        assert set(at.dataframe[0].value["layer"]) == {"L0"}
    else:
        assert "without a test" in at.info[0].value


def test_resampling_is_chosen_by_how_many_directions(store):
    write_training(store)
    write_reading(store)
    at = page(view="faithfulness", intervention="resample", resampled="20")
    assert at.segmented_control(key="lens-resampled").options == ["5", "20"]
    assert set(at.dataframe[0].value["directions"]) == {20}
    assert "directions" not in at.query_params


def test_the_form_asks_for_what_was_typed(asked):
    at = page()
    at.text_area(key="lens-new-text").set_value("The capital of France is")
    at.text_input(key="lens-new-words").set_value("Paris, Rome, ., Paris")
    at.text_input(key="lens-new-ablated").set_value("a2.h3, m1")
    at.button(key="lens-start").click().run()
    assert "put into the queue" in at.error[0].value
    (request,) = asked
    assert (request.lens.words, request.lens.ablated) == ([" Paris", " Rome", "."], ["a2.h3", "m1"])
    assert request.lens.lenses == Reading(text="x").lenses  # of any other list runs have other names


@pytest.mark.parametrize(("nodes", "ablation"), [("", "mean"), ("m1", "zero")])
def test_an_ablation_of_nothing_is_not_asked_for(asked, nodes, ablation):
    at = page()
    at.text_input(key="lens-new-ablated").set_value(nodes)
    at.selectbox(key="lens-new-ablation").set_value("zero")
    at.button(key="lens-start").click().run()
    assert asked[0].lens.ablation == ablation


def lens_of_ones_own(monkeypatch: pytest.MonkeyPatch, has_parameters: bool) -> None:
    """Register a lens "own"."""

    class Own(MeanLens):
        title = "Own lens"

    monkeypatch.setattr(Own, "has_parameters", has_parameters)
    monkeypatch.setitem(lenses._items, "own", Own())


@pytest.mark.parametrize("has_parameters", [True, False])
@pytest.mark.parametrize("trained", [True, False])
def test_a_lens_of_ones_own_reads_unless_it_came_after_the_training(
    store, asked, monkeypatch, has_parameters, trained
):
    if trained:
        write_default_training(store)
    lens_of_ones_own(monkeypatch, has_parameters)
    at = page()
    late = trained and has_parameters
    assert ("Not read by Own lens" in text(at)) == late
    at.button(key="lens-start").click().run()
    assert asked[0].lens.lenses == [*LENSES, *(() if late else ("own",))]


def test_the_text_runs_through_a_circuit_of_the_size_that_was_chosen(store, asked):
    under_counterfactual, under_mean = (
        write_fake_run(store, ablation=one) for one in ("counterfactual", "mean")
    )
    at = page()
    at.selectbox(key="lens-new-circuit").set_value(under_counterfactual).run()
    assert any("it may say little" in caption.value for caption in at.caption)
    at.selectbox(key="lens-new-circuit").set_value(under_mean).run()
    assert not any("it may say little" in caption.value for caption in at.caption)
    sizes = at.selectbox(key=f"lens-new-edges-{under_mean}")
    assert sizes.value == SIZE
    sizes.set_value(SIZES[1])
    at.button(key="lens-start").click().run()
    assert asked[0].lens.circuit == Part(run=under_mean, edges=SIZES[1])


def test_the_name_of_an_ablation_of_others_is_no_markdown(store):
    run = write_fake_run(store, ablation="![x](a.png)")
    at = page()
    at.selectbox(key="lens-new-circuit").set_value(run).run()
    said = next(one.value for one in at.caption if "it may say little" in one.value)
    assert plain("![x](a.png)") in said


def test_a_tokenizer_is_loaded_again_where_its_files_have_changed(tmp_path: Path):
    folder = shutil.copytree(shipped_models()["explorer-4l"], tmp_path / "model")
    before = tokens_of(str(folder))
    assert tokens_of(str(folder)) is before
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_positions": 48}))
    assert (before.shape.n_ctx, tokens_of(str(folder)).shape.n_ctx) == (64, 48)


def test_a_word_that_is_not_one_token_is_refused_before_the_job_is_sent(asked):
    at = page()
    at.text_input(key="lens-new-words").set_value("Paris, Constantinople").run()
    assert "Constantinople" in at.error[0].value
    assert "Paris" not in at.error[0].value
    assert any("> Paris<" in box.proto.body for box in at.get("html"))
    assert at.button(key="lens-start").disabled
    at.text_input(key="lens-new-words").set_value(", ".join("abcdefghi")).run()
    assert at.button(key="lens-start").disabled
    assert not asked


def test_a_text_that_is_too_long_is_refused_before_the_job_is_sent(asked):
    at = page()
    at.text_area(key="lens-new-text").set_value("the " * 80).run()
    assert "The space at the end is left out" in text(at)
    assert "64 at most" in at.error[0].value
    assert at.button(key="lens-start").disabled


@pytest.mark.parametrize(("there", "said"), [(False, "not on this machine"), (True, "are trained first")])
def test_looking_at_a_model_of_the_hub_asks_the_hub_for_nothing(store, monkeypatch, there, said):
    looked: list[bool] = []

    def fetch(*args: object, local_files_only: bool = False, **more: object) -> str:
        looked.append(local_files_only)
        if not there:
            raise LookupError("no such repository here")
        return str(shipped_models()["explorer-4l"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    monkeypatch.setattr("app.lens.form.choose_model", lambda key: "somebody/some-model")
    assert said in text(page())
    assert looked
    assert all(looked)


@pytest.mark.parametrize(
    ("about", "first"),
    [
        ({}, False),
        ({"dtype": "bfloat16"}, True),
        ({"bos": False}, True),
        ({"n_prompts": 100}, True),
        ({"seed": 1}, True),
        ({"weights_hash": "1" * 64}, True),
        ({"lens_training": {"length": 32, "middle": True}}, True),
        ({"lens_training": {"length": 64, "middle": False}}, True),
        ({"lens_training": {"length": 64, "middle": True, "directions": 0}}, True),
    ],
)
def test_the_form_says_whether_lenses_are_trained_first(store, about, first):
    write_default_training(store, **about)
    assert ("are trained first, once: minutes for" in text(page())) == first


def test_the_default_training_is_the_one_that_the_engine_asks_for(store):
    request = completed_lenses(TrainLenses(model="explorer-4l", lens_training=LensTraining()))
    write_default_training(store)
    assert shelf().others[request.run_id()].request == request


def test_a_text_that_is_changed_while_it_runs_is_called_so(store):
    write_reading(store, ablated=["a2.h3"])
    assert "without a2.h3 (mean)" in page().title[0].value.replace("\\", "")
