"""The wiring of the Explore page; what is drawn and clicked is tested in figures/ and browser/."""

import pytest
from streamlit.testing.v1 import AppTest

from engine.ablations.base import ablations
from engine.circuits.graph import Graph
from engine.jobs.job import Job
from engine.runs.notes import Notes, read_notes, write_notes
from engine.runs.request import Request
from tests.app.drawing import drawn, figure, open_page, text, views
from tests.app.fake_run import CLEAN, SIZE, write_fake_answer, write_fake_run


def page(**query: str) -> AppTest:
    return open_page("", **query)


def test_without_runs_the_page_says_what_to_do(store):
    at = page()
    assert "no finished run" in at.info[0].value
    assert "Discover circuit" in at.info[0].value


def test_a_run_is_shown_with_its_metrics_and_provenance(store):
    run_id = write_fake_run(store)
    at = page()
    assert at.title[0].value == "Indirect objects · counterfactual · explorer-4l"
    metrics = {metric.label: metric for metric in at.metric}
    assert set(metrics) == {"Edges", "KL to the model", "Faithfulness", "Logit difference", "Same top token"}
    assert metrics["Edges"].value.endswith("of 1,519")
    assert "95 %" in metrics["Faithfulness"].delta
    shown = text(at)
    for part in (
        run_id,
        "edge-pruning",
        "found under counterfactual",
        "200 prompts",
        "seed 0",
        "a note on this run",
    ):
        assert part in shown
    assert len(drawn(at)) == int(metrics["Edges"].value.split()[0])


def test_the_slider_shows_another_circuit_of_the_same_scores(store):
    write_fake_run(store)
    at = page()
    small = drawn(at)
    assert at.select_slider(key="edges").value == SIZE
    at.select_slider(key="edges").set_value(700).run()
    assert not at.exception
    assert drawn(at) > small
    assert at.metric[0].value.startswith(str(len(drawn(at))))


def test_a_selected_node_is_explained(store):
    write_fake_run(store)
    at = page(select="a2.h2", prompt="2", detail="Attention")
    assert "a2.h2" in [heading.value for heading in at.subheader]
    assert "Head 2 of layer 2" in text(at)
    assert set(views(at)) == {"graph", "curve", "attention"}
    assert "prompt 2" in views(at)["attention"]["alt"]
    at.session_state["detail"] = "Edges"
    at.run()
    table = at.dataframe[-1].value
    assert list(table.columns) == ["way", "other", "input", "score"]
    assert list(table["score"]) == sorted(table["score"], reverse=True)
    at.button(key="clear").click().run()
    assert "Strongest edges" in text(at)
    assert "attention" not in views(at)


def test_a_selected_edge_is_explained(store):
    write_fake_run(store)
    at = page(select="a0.h1->a2.h3<q>")
    assert "a0.h1 → a2.h3 (query)" in [heading.value for heading in at.subheader]
    assert "of 1,519" in str(at.table[0].value)
    at.button(key="go-a2.h3").click().run()
    assert "a2.h3" in [heading.value for heading in at.subheader]


def test_another_ablation_shows_its_finished_evaluation(store, monkeypatch):
    origin = write_fake_run(store)
    evaluation = write_fake_run(store, scale=2, kind="evaluate", ablation="zero", circuit=origin)
    request = store.get(evaluation).request
    monkeypatch.setattr("app.explore.evaluation.evaluation_request", lambda run_id, ablation: request)
    own = page()
    other = page(under="zero")
    assert not other.exception
    kl = [next(m for m in at.metric if m.label == "KL to the model").value for at in (own, other)]
    assert kl[0] != kl[1]
    assert "evaluated under zero" in text(other)
    assert drawn(own) == drawn(other)


def test_an_evaluation_that_cannot_be_made_says_why(store):
    write_fake_run(store, model="no-such-model")
    at = page(under="zero")
    assert "those under counterfactual" in text(at)
    next(button for button in at.button if button.label == "Evaluate under zero").click().run()
    assert "no-such-model" in at.error[0].value
    assert "evaluated under counterfactual" in text(at)


def test_a_broken_run_is_named_and_the_others_are_shown(store):
    good = write_fake_run(store)
    bad = write_fake_run(store, ablation="mean")
    (store.user_dir / bad / "result.json").write_text('{"schema": 1')
    at = page()
    assert bad in at.warning[0].value
    assert good in text(at)


def test_the_url_names_everything_that_is_seen(store):
    write_fake_run(store)
    other = write_fake_run(store, ablation="mean", seed=1)
    at = page(run=other, edges="300", select="m0", metric="faithfulness")
    assert at.selectbox(key="run").value == other
    assert at.select_slider(key="edges").value == 300
    assert at.selectbox(key="metric").value == "faithfulness"
    assert figure(at, "curve")["layout"]["uirevision"] == "Faithfulness"
    assert at.query_params == {"run": other, "edges": "300", "select": "m0", "metric": "faithfulness"}


@pytest.mark.parametrize(
    ("models", "said"), [({}, "Choose a model"), ({"no-such-model": ""}, "no-such-model")]
)
def test_a_wrong_request_is_one_clear_line(store, monkeypatch, models, said):
    monkeypatch.setattr("app.parts.request_form.shipped_models", lambda: models)
    write_fake_run(store)
    at = page()
    next(button for button in at.button if button.label == "Discover circuit").click().run()
    assert not at.exception
    assert said in at.error[0].value
    assert "\n" not in at.error[0].value.strip()


def test_another_run_opens_at_its_own_size_unless_the_slider_was_moved(store):
    write_fake_run(store)
    other = write_fake_run(store, size=300, ablation="mean", seed=1)
    at = page()
    at.selectbox(key="run").set_value(other).run()
    assert at.select_slider(key="edges").value == 300
    at.select_slider(key="edges").set_value(76).run()
    at.selectbox(key="run").set_value(at.selectbox(key="run").options[0]).run()
    assert at.select_slider(key="edges").value == 76


def test_an_error_that_nobody_foresaw_is_one_line():
    def failing() -> None:
        from app.errors import show_unforeseen

        assert show_unforeseen(ZeroDivisionError("first line\nsecond line"))

    at = AppTest.from_function(failing).run()
    assert "ZeroDivisionError: first line" in at.error[0].value.replace("\\", "")
    assert "second line" not in at.error[0].value


def test_settings_of_the_ablation_are_in_the_form(store, monkeypatch):
    asked = []
    monkeypatch.setattr("app.explore.new_run._start", asked.append)
    monkeypatch.setattr("app.parts.request_form.shipped_models", lambda: {"explorer-4l": ""})
    at = page()
    assert at.selectbox(key="new-method").value == "edge-pruning"
    at.selectbox(key="new-ablation").set_value("mean").run()
    at.selectbox(key="set-mean-conditioning").set_value("shared")
    at.number_input(key="set-edge-pruning-steps").set_value(70)
    at.number_input(key="new-percent").set_value(10.0)
    at.toggle(key="new-merged").set_value(True)
    at.button(key="discover").click().run()
    assert not at.exception
    request = asked[0]
    assert (request.ablation, request.ablation_settings) == ("mean", {"conditioning": "shared"})
    assert (request.settings, request.sparsity, request.qkv) == ({"steps": 70}, 0.9, "merged")


def lit(at: AppTest) -> int:
    """How many edges are drawn strongly."""
    lines = [t for t in figure(at, "graph")["data"] if t.get("mode") == "lines"]
    return len([t for t in lines if t.get("showlegend") is False and t["opacity"] > 0.1])


def test_paths_are_traced_up_and_down(store):
    write_fake_run(store)
    counts = [lit(page(select="a2.h2", trace=way)) for way in ("neighbours", "both")]
    assert counts[1] > counts[0] > 0
    at = page(select="a2.h2", trace="upstream")
    assert at.query_params["trace"] == "upstream"
    assert page(select="a2.h2", trace="sideways").query_params.get("trace") is None


def test_pins_and_notes_are_saved_with_the_run(store):
    run_id = write_fake_run(store)
    at = page(select="a2.h2", detail="Note")
    at.button(key="pin").click().run()
    at.text_area(key=f"note-{run_id}-a2.h2").set_value("moves <names>").run()
    assert read_notes(store, store.get(run_id)).pins == {"a2.h2": "moves <names>"}
    at = page()
    pins = next(t for t in figure(at, "graph")["data"] if t.get("name") == "pins")
    assert pins["customdata"] == ["a2.h2"]
    assert "moves &lt;names&gt;" in pins["text"][0]
    assert "moves <names>" in [line.value for line in at.text]
    at.button(key="pinned-a2.h2").click().run()
    assert "a2.h2" in [heading.value for heading in at.subheader]
    at.button(key="pin").click().run()
    assert read_notes(store, store.get(run_id)).pins == {}


@pytest.fixture
def submitted(monkeypatch) -> list[Request]:
    """Requests that reach the queue, which carries none of them out."""
    asked: list[Request] = []

    class Queue:
        def submit(self, request: Request) -> str:
            asked.append(request)
            return request.run_id()

        def jobs(self) -> list[Job]:
            return []

    monkeypatch.setattr("app.requests.queue", Queue)
    return asked


def test_effects_of_a_node_are_asked_for_and_shown(store, submitted):
    run_id = write_fake_run(store)
    at = page(select="a1.h2", detail="Effects")
    at.button(key="compute-effects").click().run()
    assert [request.kind for request in submitted] == ["importance"] * len(ablations.names())
    assert {request.ablation for request in submitted} == set(ablations.names())
    for request in submitted[:2]:
        write_fake_answer(store, request)
    at = page(select="a1.h2", detail="Effects")
    place = store.get(run_id).circuit_at().graph.sources.index("a1.h2")
    metrics = {metric.label: metric.value for metric in at.metric}
    assert metrics["Writes to the answer"] == f"+{place / 10 + 2:.3g}"
    assert metrics["To the wrong answer"] == f"+{place / 10 + 3:.3g}"
    bars = figure(at, "importance")["data"][0]
    assert bars["x"] == [pytest.approx(place / 10)] * 2
    left = len(ablations.names()) - 2
    assert at.button(key="compute-effects").label == f"Compute for {left} more ablations"
    assert "write nothing" in text(page(select="logits", detail="Effects"))


def test_removing_an_edge_is_measured_and_shown(store, submitted):
    run_id = write_fake_run(store)
    edge = next(iter(store.get(run_id).circuit["edges"]))
    at = page(select=edge)
    at.button(key="measure-edge").click().run()
    (request,) = submitted
    assert [chosen.without for chosen in request.circuits] == [[], [edge], [edge]]
    assert [len(chosen.parts) for chosen in request.circuits] == [1, 1, 0]
    write_fake_answer(store, request)
    at = page(select=edge)
    rows = list(at.table[-1].value[""])
    assert rows == [
        "this circuit",
        "this circuit without the edge",
        "the model without the edge",
        "the model",
    ]
    outside = next(name for name in Graph(4, 8).edge_names if name not in store.get(run_id).circuit["edges"])
    at = page(select=outside)
    at.button(key="measure-edge").click().run()
    assert [chosen.name for chosen in submitted[-1].circuits] == ["the model without the edge"]


OWN = {
    "prompts": "Your own pair",
    "clean": "When Mary and John went to the store, John gave a drink to",
    "corrupt": "When Anna and Paul went to the store, Tom gave a drink to",
    "answers": "Mary",
    "wrong": "John",
}


def test_an_own_pair_is_checked_and_run(store, submitted):
    write_fake_run(store)
    at = page(**OWN)
    assert not at.error, at.error[0].value
    at.button(key="run-own").click().run()
    (request,) = submitted
    assert request.pairs[0].answers == [" Mary"]
    assert request.circuits[0].parts[0].edges == SIZE
    write_fake_answer(store, request)
    at = page(**OWN)
    assert "own" in views(at)
    assert "one pair" in text(at)
    assert at.query_params["clean"] == OWN["clean"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"corrupt": "When Anna and Paul went to the shop"}, "equally long"),
        ({"answers": "Mary John"}, "not one token"),
        ({"answers": " , "}, "Fill in both prompts"),
        ({"clean": "<script>alert(1)</script>"}, "equally long"),
    ],
)
def test_a_pair_that_cannot_be_run_is_said_before_anything_runs(store, submitted, change, said):
    write_fake_run(store)
    at = page(**(OWN | change))
    assert said in at.error[0].value
    assert not any(button.key == "run-own" for button in at.button)
    assert not any("<script>" in element.proto.body for element in at.get("html"))


def test_an_imported_run_is_named_as_such(store):
    write_fake_run(store, kind="import", circuit="0" * 64)
    at = page()
    assert "Imported" in text(at)
    assert "evaluated under counterfactual" in text(at)


def test_runs_of_the_same_title_are_told_apart(store):
    first, second = write_fake_run(store), write_fake_run(store, seed=1)
    for run_id in (first, second):
        write_notes(store, store.get(run_id), Notes("For the talk"))
    at = page()
    labels = at.selectbox(key="run").options
    assert len(set(labels)) == 2
    at.selectbox(key="run").set_value(second).run()
    assert f"run {second}" in text(at).replace("\\", "")


def test_nodes_and_edges_together_select_the_nodes(store):
    write_fake_run(store)
    at = page(select="a0.h1,input->m0,m0")
    assert "2 nodes" in [heading.value for heading in at.subheader]
    at = page(select="input->m0,m0->logits")
    assert "input → m0" in [heading.value for heading in at.subheader]


def test_an_own_pair_that_nobody_typed_is_the_runs_own_example(store):
    write_fake_run(store)
    at = page(prompts="Your own pair")
    assert at.text_area(key="clean").value == CLEAN
    at.text_area(key="clean").set_value("typed").run()
    at.selectbox(key="run").set_value(at.selectbox(key="run").options[0]).run()
    assert at.text_area(key="clean").value == "typed"
