"""The wiring of the page "Causal tracing"; what is clicked is tested in browser/."""

import base64
import json

import numpy as np
import pytest
from pydantic import BaseModel
from streamlit.testing.v1 import AppTest

from app.trace.data import subject_key
from app.trace.figures.map import number_text
from engine.metrics import estimate
from engine.runs.store import RunStore
from engine.tracing.base import corruptions
from engine.tracing.cells import METRICS
from engine.tracing.names import CLASSES
from tests.app.drawing import figure, open_page, text, views
from tests.app.fake_trace import HEADS, LAYERS, PROMPTS, SUBJECT, TOKENS, write_trace

PAIR = ("optimal", "gaussian")
MAPS = ("trace-map-optimal", "trace-map-gaussian", "trace-map-difference")


def page(**query: str) -> AppTest:
    return open_page("trace", **query)


def values(at: AppTest, key: str) -> np.ndarray:
    """The numbers of a map, [layers, columns]."""
    z = figure(at, key)["data"][0]["z"]
    if isinstance(z, dict):
        flat = np.frombuffer(base64.b64decode(z["bdata"]), dtype=z["dtype"])
        return flat.reshape([int(n) for n in z["shape"].split(",")])
    return np.array(z, dtype=float)


def said(at: AppTest) -> str:
    """All captions, markdown, headings, as they are read."""
    return text(at).replace("\\", "")


def about(store: RunStore, run: str, **query: str) -> AppTest:
    """The page on what a run is about."""
    return page(subject=subject_key(store.get(run).request), **query)


def line(at: AppTest, key: str, name: str) -> dict:
    """The trace of a name in a figure; its numbers as lists."""
    found = next(trace for trace in figure(at, key)["data"] if trace.get("name") == name)
    return found | {axis: _numbers(found[axis]) for axis in ("x", "y")}


def _numbers(array: dict | list) -> list[float]:
    if isinstance(array, dict):
        return np.frombuffer(base64.b64decode(array["bdata"]), dtype=array["dtype"]).tolist()
    return array


def table(at: AppTest, alt: str):
    """The table whose description has these words."""
    return next(table.value for table in at.dataframe if alt in table.proto.alt)


def chips(at: AppTest, alt: str) -> str:
    """The line of tokens whose description has these words, as HTML."""
    lines = [part for html in at.get("html") for part in html.proto.body.split("<div")]
    return next(part for part in lines if f"aria-label='{alt}" in part)


def effects(store: RunStore, run: str, token_class: str, metric: str = "probability") -> np.ndarray:
    """The effects a run of a task has kept, [n_prompts, columns]."""
    return store.get(run).tensors["effects"][:, CLASSES.index(token_class), :, METRICS.index(metric)]


class Toy:
    """A corruption as somebody else could add one."""

    class Settings(BaseModel):
        strength: int = 1

    title, description, trained = "Toy blanks", "Blanks.", False


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    corruptions.names()  # all of ours are known before it is
    monkeypatch.setitem(corruptions._items, "toy", Toy())  # type: ignore[arg-type]


def test_without_traces_the_page_says_what_to_do(store):
    at = page()
    assert "press **Trace**" in at.info[0].value


def test_both_corruptions_stand_side_by_side_on_one_scale(store):
    runs = [write_trace(store, corruption) for corruption in ("gaussian", "optimal")]
    at = page()
    assert "South Korea" in at.title[0].value
    assert set(MAPS) <= set(views(at))
    assert all(view["alt"] for view in views(at).values())
    one, other, difference = (values(at, key) for key in MAPS)
    assert one.shape == (LAYERS, len(TOKENS))
    assert difference == pytest.approx(one - other)
    assert not one[:, : SUBJECT[0]].any()
    ends = [figure(at, key)["data"][0]["zmax"] for key in MAPS[:2]]
    assert ends[0] == ends[1] == pytest.approx(max(one.max(), other.max()))
    assert all(run in text(at) for run in runs)


def test_the_state_and_the_metric_of_the_address_are_shown(store):
    for corruption in ("gaussian", "optimal"):
        for state in ("residual", "head"):
            write_trace(store, corruption, state)
    at = page(state="head", metric="logit_difference", row="5")
    assert values(at, MAPS[0]).shape == (LAYERS, HEADS)
    assert "logit difference restored" in text(at)
    assert (at.query_params["state"], at.query_params["row"]) == ("head", "5")


def test_runs_of_other_settings_can_be_chosen(store):
    usual, loud = write_trace(store), write_trace(store, settings={"noise": 5.0})
    at = page()
    assert f", run {usual}" in text(at)
    assert f", run {loud}" not in text(at)
    at.selectbox(key="trace-gaussian").select(loud).run()
    assert f", run {loud}" in text(at)
    assert at.query_params["gaussian"] == loud
    assert "Optimal ablation is not traced here yet" in text(at)


def test_averages_over_prompts_have_profiles_peaks_and_concentration(store):
    for corruption in ("gaussian", "optimal"):
        write_trace(store, corruption, own=False)
    at = page(**{"class": "middle subject", "measure": "share"})
    assert {"trace-profiles", "trace-peaks", "trace-concentration", *MAPS} <= set(views(at))
    assert "delta method" in text(at)
    peaks = table(at, "largest effect")
    assert len(peaks) == 2 * (PROMPTS // 2)  # prompts without such a token are left out
    assert at.query_params["class"] == "middle subject"


def test_a_cell_that_is_clicked_says_what_it_is_worth(store):
    write_trace(store)
    at = page()
    at.session_state["trace-cell"] = (2, 5)
    at.run()
    effect = values(at, MAPS[1])[2, 5]
    assert f"**{effect:+.3g}** ({0.1 + effect:.3g} restored, 0.1 not)" in text(at)
    at.button(key="trace-clear").click().run()
    assert f"**{values(at, MAPS[1])[2, 5]:+.3g}**" not in text(at)


def test_the_subjects_tokens_are_shown_before_anything_runs(store):
    at = page()
    at.text_area(key="trace-new-prompt").set_value("The capital of South Korea is").run()
    assert "does not stand in the prompt" in at.error[0].value
    assert at.button(key="trace-start").disabled
    at.text_input(key="trace-new-subject").set_value("South Korea").run()
    assert not at.error
    spans = chips(at, "Tokens of the prompt").split("<span")[1:]
    strong = [part.split(">")[1].split("<")[0] for part in spans if "weight:600" in part]
    assert "".join(strong).split() == ["South", "Korea"]


def test_one_of_several_occurrences_is_chosen_and_asked_for(asked):
    at = page()
    at.text_area(key="trace-new-prompt").set_value("France borders France and ").run()
    chooser = next(box for box in at.selectbox if box.label == "Which “France”")
    assert [label.split(":")[0] for label in chooser.options] == ["1", "2"]
    chooser.set_value(chooser.options[1]).run()
    chip = next(part for part in chips(at, "Tokens of the prompt").split("<span")[1:] if "weight:600" in part)
    assert chip.split(">")[1].split("<")[0] == " France"
    assert "The space at the end is left out" in text(at)
    at.button(key="trace-start").click().run()
    assert (asked[0].trace.prompt, asked[0].trace.subject_occurrence) == ("France borders France and", 2)


def test_the_form_asks_for_every_state_and_corruption(asked):
    at = page()
    at.button(key="trace-start").click().run()
    assert "put into the queue" in at.error[0].value
    (first,) = asked
    assert (first.ablation, first.trace.prompt, first.trace.subject) == (
        "optimal",
        "The capital of France is",
        "France",
    )


def test_wrong_settings_are_told_before_anything_is_asked_for(asked):
    at = page()
    at.multiselect(key="trace-new-states").set_value([]).run()
    at.button(key="trace-start").click().run()
    assert "at least one state" in at.error[0].value
    assert not asked


def test_a_corruption_of_others_is_a_third_map_and_has_its_place_in_form_and_address(store, toy):
    for corruption in PAIR:
        write_trace(store, corruption)
    one, other = (write_trace(store, "toy", settings={"strength": i}) for i in (1, 2))
    at = page()
    maps = [key for key in views(at) if key.startswith("trace-map")]
    assert maps == ["trace-map-optimal", "trace-map-gaussian", "trace-map-toy", "trace-map-difference"]
    grids = [values(at, key) for key in maps]
    assert grids[3] == pytest.approx(grids[0] - grids[1])
    assert "0.1 (Optimal ablation), 0.1 (Gaussian noise), 0.1 (Toy blanks)" in said(at)
    assert one in text(at)
    assert "Toy blanks" in at.multiselect(key="trace-new-corruptions").options
    at = page(toy=other)
    assert other in text(at)
    assert at.query_params["toy"] == other


def test_marks_of_three_corruptions_are_apart(store, toy):
    for corruption in (*PAIR, "toy"):
        write_trace(store, corruption, own=False)
    drawn = [one for one in figure(page(), "trace-profiles")["data"] if one.get("name")]
    assert [one["name"] for one in drawn] == ["Optimal ablation", "Gaussian noise", "Toy blanks"]
    assert len({(one["line"]["color"], one["marker"]["symbol"]) for one in drawn}) == 3
    assert len({one["line"]["color"] for one in drawn}) == 3


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("name", ["from :red[elsewhere]", "cell", "difference"])
def test_a_corruption_that_is_not_known_here_is_shown_by_its_name(store, name, own):
    """Runs are imported from anywhere: not even keys of the page's own are a name it cannot have."""
    for corruption in PAIR:
        write_trace(store, corruption, own=own)
    one, other = sorted(write_trace(store, name, settings={"strength": i}, own=own) for i in (1, 2))
    at = page()
    assert f"trace-map-unknown-{name}" in views(at)
    assert name.replace(":", r"\:").replace("[", r"\[").replace("]", r"\]") in text(at)  # no markdown
    assert one in text(at)
    at.selectbox(key=f"trace-unknown-{name}").select(other).run()
    assert not at.exception
    assert not at.error
    assert other in text(at)


def test_without_one_of_the_pair_there_is_no_difference(store, toy):
    for corruption in ("gaussian", "toy"):
        write_trace(store, corruption, own=False)
    at = page()
    assert not {"trace-map-difference", "trace-difference"} & set(views(at))
    assert "Optimal ablation is not traced here yet: choose it" in said(at)


def test_the_heads_of_a_task_have_intervals_at_the_class_whose_map_is_shown(store, monkeypatch):
    monkeypatch.setattr("app.trace.heads.MOST", 3)
    runs = [write_trace(store, corruption, "head", own=False) for corruption in PAIR]
    at = page(**{"state": "head", "class": "next", "metric": "log_probability"})
    means = [effects(store, run, "next", "log_probability").mean(0) for run in runs]
    best = np.argsort(-np.maximum(*means))[:3]
    axis = figure(at, "trace-heads")["layout"]["yaxis"]
    assert axis["ticktext"] == [f"{head // HEADS}.{head % HEADS}" for head in best]
    for mean, name, key in zip(means, ("Optimal ablation", "Gaussian noise"), MAPS, strict=False):
        drawn = line(at, "trace-heads", name)
        assert drawn["x"] == pytest.approx(mean[best], abs=1e-6)
        assert all(value > 0 for value in _numbers(drawn["error_x"]["array"]))
        assert values(at, key) == pytest.approx(mean.reshape(LAYERS, HEADS), abs=1e-6)
    listed = table(at, "every head")
    assert listed[["mean", "low", "high"]].notna().to_numpy().all()
    assert len(listed) == 2 * LAYERS * HEADS
    assert at.query_params["class"] == "next"
    assert "row" not in at.query_params
    at.button_group(key="trace-class").select("last").run()
    assert values(at, MAPS[0]) == pytest.approx(
        effects(store, runs[0], "last", "log_probability").mean(0).reshape(LAYERS, HEADS), abs=1e-6
    )


def test_the_difference_of_both_is_paired_and_has_stars_where_its_interval_leaves_out_0(store):
    runs = [write_trace(store, corruption, own=False) for corruption in PAIR]
    at = page(**{"class": "last subject"})
    pairs = np.subtract(*(effects(store, run, "last subject") for run in runs)).astype(float)
    found = [estimate(column, 0) for column in pairs.T]
    clear = [one["ci95"][0] > 0 or one["ci95"][1] < 0 for one in found]
    assert {True, False} <= {star == "*" for star in table(at, "effect of restoring")["leaves out 0"]}
    drawn = line(at, "trace-difference", "Optimal less Gaussian")
    assert drawn["y"] == pytest.approx([one["mean"] for one in found])
    assert [star == "*" for star in drawn["text"]] == clear
    listed = table(at, "Optimal less Gaussian at")
    assert listed["low"].tolist() == pytest.approx([one["ci95"][0] for one in found])
    assert [star == "*" for star in listed["leaves out 0"]] == clear
    column = CLASSES.index("last subject")
    notes = figure(at, MAPS[2])["layout"]["annotations"]
    starred = {note["y"] for note in notes if note["x"] == column and note["text"].endswith("*")}
    assert starred == {layer for layer, star in enumerate(clear) if star}
    assert values(at, MAPS[2])[:, column] == pytest.approx(pairs.mean(0))


def test_the_difference_is_over_the_prompts_that_both_were_traced_on(store):
    runs = [
        write_trace(store, corruption, own=False, asked=range(first, first + PROMPTS))
        for corruption, first in zip(PAIR, (0, 3), strict=True)
    ]
    at = page()
    assert f"over the {PROMPTS - 3} prompts that both" in text(at)
    one, other = (effects(store, run, "last") for run in runs)
    paired = (one[3:] - other[:-3]).mean(0)
    assert line(at, "trace-difference", "Optimal less Gaussian")["y"] == pytest.approx(paired, abs=1e-6)
    assert values(at, MAPS[2])[:, CLASSES.index("last")] == pytest.approx(paired, abs=1e-6)


@pytest.mark.parametrize("state", ["residual", "head"])
def test_without_a_prompt_in_common_the_page_says_why_there_is_no_difference(store, state):
    for corruption, first in zip(PAIR, (0, PROMPTS), strict=True):
        write_trace(store, corruption, state, own=False, asked=range(first, first + PROMPTS))
    at = page(state=state)
    assert "on no prompt in common" in text(at)
    assert set(MAPS[:2]) <= set(views(at))
    assert not {"trace-map-difference", "trace-difference"} & set(views(at))


@pytest.mark.parametrize("unlike", [{"tokens": [*TOKENS, " the"]}, {"layers": LAYERS - 1}])
@pytest.mark.parametrize("state", ["residual", "head"])
def test_runs_of_other_tokens_or_layers_are_left_out_and_told_of(store, state, unlike):
    """Runs are imported from anywhere: nothing else says that two of one prompt have the same shape."""
    write_trace(store, "optimal", state)
    other = write_trace(store, "gaussian", state, **unlike)
    at = page()
    assert [key for key in views(at) if key.startswith("trace-map")] == [MAPS[0]]
    assert f"Left out for other tokens, layers or heads than under Optimal ablation: run {other}." in said(at)
    assert "not traced here yet" not in said(at)
    same = write_trace(store, "gaussian", state, settings={"noise": 5.0})
    at = page()
    assert set(MAPS) <= set(views(at))
    assert same in text(at)
    assert f"run {other}." in said(at)


@pytest.mark.parametrize("state", ["residual", "head"])
def test_runs_of_a_task_of_other_layers_are_left_out_and_told_of(store, state):
    write_trace(store, "optimal", state, own=False)
    other = write_trace(store, "gaussian", state, own=False, layers=LAYERS - 1)
    at = page()
    assert "trace-map-optimal" in views(at)
    assert not {*MAPS[1:], "trace-difference"} & set(views(at))
    assert f"than under Optimal ablation: run {other}." in said(at)


@pytest.mark.parametrize("state", ["residual", "head"])
def test_without_any_effect_the_page_says_so(store, state):
    for corruption in PAIR:
        run = store.get(write_trace(store, corruption, state, own=False))
        for of_class in run.result.classes.values():  # in memory alone: no such folder has to be opened
            of_class.effects = {metric: [None] * len(row) for metric, row in of_class.effects.items()}
            of_class.share, of_class.concentration = [None] * len(of_class.share), None
    at = page()
    assert "No effect was measured" in at.info[0].value
    assert not views(at)
    assert "run trace-" in said(at)


def test_a_corruption_that_loses_nothing_hides_no_other(store):
    runs = [
        write_trace(store, corruption, own=False, corrupted=corrupted)
        for corruption, corrupted in zip(PAIR, (0.9, 0.1), strict=True)
    ]
    at = page(measure="share")
    assert not at.info
    assert "Under Optimal ablation no probability was lost" in said(at)
    shares = store.get(runs[1]).result.classes["last"].share
    drawn = [one["name"] for one in figure(at, "trace-profiles")["data"] if one.get("name")]
    assert drawn == ["Gaussian noise"]
    assert line(at, "trace-profiles", drawn[0])["y"] == pytest.approx([share.mean for share in shares])
    assert {"trace-peaks", "trace-concentration", "trace-difference"} <= set(views(at))


def test_a_class_that_one_corruption_alone_has_is_shown(store):
    run = store.get(write_trace(store, "optimal", own=False))
    last = run.result.classes["last"]
    last.effects = {metric: [None] * LAYERS for metric in METRICS}
    last.share, last.concentration = [None] * LAYERS, None
    write_trace(store, "gaussian", own=False)
    at = page(**{"class": "last"})
    assert at.button_group(key="trace-class").value == "last"
    drawn = [one["name"] for one in figure(at, "trace-profiles")["data"] if one.get("name")]
    assert drawn == ["Gaussian noise"]


def test_without_any_probability_lost_the_page_says_so(store):
    for corruption in PAIR:
        write_trace(store, corruption, own=False, corrupted=0.9)
    at = page()
    assert "No probability was lost" in at.info[0].value
    assert "trace-profiles" not in views(at)


def test_a_run_that_replaces_another_has_a_difference_of_its_own(store):
    runs = [write_trace(store, corruption, own=False) for corruption in PAIR]
    at = page()
    before = line(at, "trace-difference", "Optimal less Gaussian")["y"]
    store.delete(runs[0])
    assert write_trace(store, "optimal", own=False, seed=1) == runs[0]
    at.run()
    one, other = (effects(store, run, "last").mean(0) for run in runs)
    after = line(at, "trace-difference", "Optimal less Gaussian")["y"]
    assert after == pytest.approx(one - other, abs=1e-6)
    assert after != pytest.approx(before, abs=1e-3)


def test_runs_that_differ_in_what_is_held_out_are_told_apart(store):
    write_trace(store, "gaussian")
    usual, other = (write_trace(store, "optimal", holdout=held) for held in ("random", "relations"))
    at = page()
    chooser = at.selectbox(key="trace-optimal")
    assert chooser.value == usual
    assert [option.split(", ")[0] for option in chooser.options] == [
        "ways of asking held out at random",
        "whole relations held out",
    ]
    chooser.select(other).run()
    assert "whole relations held out" in said(at)
    assert at.query_params["optimal"] == other


def test_runs_that_hold_out_the_same_have_settings_alone_in_their_chooser(store):
    for settings in ({}, {"noise": 5.0}):
        write_trace(store, settings=settings)
    assert all("held out" not in option for option in page().selectbox(key="trace-gaussian").options)


def test_the_title_has_the_whole_prompt_and_no_model(store):
    write_trace(store, prompt="Rock · Paper · South Korea is")
    assert said(page()).splitlines()[-1] == "Causal tracing: “Rock · Paper · South Korea is”"


def test_the_title_of_a_task_says_what_is_held_out(store):
    at = about(store, write_trace(store, own=False, holdout="relations"))
    assert said(at).splitlines()[-1] == "Causal tracing: Facts, all prompts · relations held out"


@pytest.mark.parametrize("own", [True, False])
def test_several_levels_of_noise_have_a_line_beside_what_is_clean(store, own):
    write_trace(store, "optimal", own=own)
    runs = [
        write_trace(store, own=own, settings={"noise": noise}, corrupted=corrupted)
        for noise, corrupted in ((5.0, 0.05), (3.0, 0.2), (1.0, 0.6))
    ]
    write_trace(store, own=own, settings={"noise": 7.0}, layers=LAYERS - 1)  # left out everywhere
    at = page()
    drawn = line(at, "trace-noise", "Gaussian noise")
    assert (drawn["x"], drawn["y"]) == ([1.0, 3.0, 5.0], [0.6, 0.2, 0.05])
    assert line(at, "trace-noise", "Clean")["y"] == [0.9] * 3
    listed = table(at, "every level of noise")
    assert listed["noise"].tolist() == [1.0, 3.0, 5.0] * 2
    assert all(run in said(at).split("With nothing restored")[1] for run in runs)


def test_one_level_of_noise_has_no_line(store):
    for state in ("residual", "mlp"):
        write_trace(store, state=state)
    assert "trace-noise" not in views(page())


def test_a_logit_difference_of_an_answer_that_was_typed_is_said_to_be_of_its_first_token(store):
    write_trace(store)
    at = page(metric="logit_difference")
    assert "Logit difference of “Seoul” to “Tokyo”" in text(at)
    assert "first token" not in text(at)
    at = about(store, write_trace(store, answer=" Seoul"), metric="logit_difference")
    assert "→ “Seoul”" in at.title[0].value
    assert "of the first token of “Seoul” to “Tokyo”" in text(at)
    assert "logit difference (first token) restored" in text(at)
    at.button_group(key="trace-metric").select("probability").run()
    assert "first token" not in text(at)


def test_a_logit_difference_over_a_task_is_said_to_be_of_first_tokens(store):
    write_trace(store, own=False)
    at = page(metric="logit_difference")
    assert "Logit difference of the answers' first tokens" in text(at)
    axis = figure(at, "trace-profiles")["layout"]["yaxis"]["title"]["text"]
    assert axis == "logit difference (first token)"


def test_the_provenance_says_what_trained_the_constants(store):
    run, whole = (write_trace(store, "optimal", own=own) for own in (True, False))
    trained = "trained on facts that the model knows, train split, ways of asking held out at random"
    assert f"constants of run {whole} {trained}), run {run}" in said(about(store, run))
    assert f"; constants {trained}), run {whole}" in said(about(store, whole))
    other = write_trace(store, "optimal", own=False, holdout="relations")
    assert "train split, whole relations held out" in said(about(store, other))
    noise = write_trace(store, "gaussian", own=False, state="mlp")
    assert "trained on" not in said(about(store, noise, state="mlp"))


def test_the_answers_that_were_typed_are_shown_token_by_token_and_asked_for(asked):
    at = page()
    assert "Tokens of the answer" not in "".join(html.proto.body for html in at.get("html"))
    at.text_input(key="trace-new-answer").set_value("Rome Paris").run()
    at.text_input(key="trace-new-wrong_answer").set_value(".").run()
    assert not at.error
    lines = (chips(at, f"Tokens of the {name}") for name in ("answer", "wrong answer"))
    assert [line.count("<span style='display") for line in lines] == [2, 1]
    at.button(key="trace-start").click().run()
    trace = asked[0].trace
    assert (trace.answer, trace.wrong_answer) == (" Rome Paris", ".")
    at.text_input(key="trace-new-wrong_answer").set_value("Rome Paris Rome").run()
    assert chips(at, "Tokens of the wrong answer").count("<span style='display") == 1  # the one that counts
    assert "begin with the same token" in text(at)


def test_a_model_that_is_not_here_is_downloaded_before_its_tokens_are_shown(store, tiny_folder, monkeypatch):
    fetched = []

    def snapshot(model: str, local_files_only: bool, **options: object) -> str:
        if model == "me/tiny" and not local_files_only:
            fetched.append(model)
        if model not in fetched:
            raise ConnectionError("no network")
        return str(tiny_folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    # An id can be typed; AppTest can only choose.
    monkeypatch.setattr(
        "app.parts.request_form.shipped_models", lambda: ["explorer-4l", "me/gone", "me/tiny"]
    )
    at = page()
    at.text_area(key="trace-new-prompt").set_value("w1 w2 w3")
    at.text_input(key="trace-new-subject").set_value("w2")
    at.selectbox(key="trace-new-model").select("me/gone").run()
    assert "me/gone is downloaded first" in text(at)
    assert not at.error
    assert at.button(key="trace-start").disabled
    at.button(key="trace-download").click().run()
    assert "did not give it (ConnectionError)" in at.error[0].value.replace("\\", "")
    assert at.button(key="trace-start").disabled
    at.selectbox(key="trace-new-model").select("me/tiny").run()
    assert not fetched
    at.button(key="trace-download").click().run()
    assert not at.error
    assert "w3" in chips(at, "Tokens of the prompt")
    assert not at.button(key="trace-start").disabled


def test_runs_knows_traces_and_opens_them(store):
    run = write_trace(store, own=False)
    at = open_page("runs")
    at.session_state["runs-selected"] = [run]
    at.run()
    assert "probability" in json.dumps([str(table.value) for table in at.table])
    assert not at.button(key="runs-open").disabled


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.004, "0"),
        (0.25, ".25"),
        (-0.07, "−.07"),
        (1.0, "1.00"),
        (10.4, "10.4"),
        (-20.37, "−20.4"),
    ],
)
def test_numbers_in_cells(value, text):
    assert number_text(value) == text
