"""The lines of a chart of methods, in numbers."""

import numpy as np
import pytest

from app.figures.style import LIGHT
from app.runs import shelf
from app.sweep.lines import curves_of, lines_of, split_key, tidy
from app.sweep.panel import sweeps
from app.sweep.paper import published, published_curves
from app.sweep.table import frame
from engine.runs.record import Share
from tests.app.fake_composite import GRAPH, SIZES, write_fake_sweep


def test_means_and_ranges_are_over_the_seeds(store):
    run = store.get(write_fake_sweep(store, seeds=(0, 1, 2)))
    rows = run.result.rows
    line = lines_of(rows, "ioi", GRAPH.n_edges)[0]
    values = [row.points[1].kl.mean for row in rows if row.method == "eap"][:3]
    spot = line.spots("kl")[1]
    assert spot.value == pytest.approx(sum(values) / 3)
    assert (spot.low, spot.high) == (min(values), max(values))
    assert spot.share == pytest.approx(spot.edges / GRAPH.n_edges)
    assert split_key(spot.key) == (line.key, SIZES[1])
    row = frame([line], SIZES[1]).iloc[0]
    assert (row["kl"], row["edges"]) == (pytest.approx(spot.value), spot.edges)


def test_one_seed_alone_has_the_interval_over_prompts(store):
    run = store.get(write_fake_sweep(store, seeds=(4,)))
    row = run.result.rows[0]
    spot = lines_of(run.result.rows, "ioi", GRAPH.n_edges)[0].spots("kl")[0]
    assert [spot.low, spot.high] == row.points[0].kl.ci95


def test_a_size_at_which_faithfulness_is_undefined_is_left_out(store):
    rows = store.get(write_fake_sweep(store)).result.rows
    rows[0].points[2].faithfulness = Share(mean=None, ci95=[None, None], n=200)
    line = lines_of(rows, "ioi", GRAPH.n_edges)[0]
    assert len(line.spots("kl")) == len(SIZES)
    assert [split_key(spot.key)[1] for spot in line.spots("faithfulness")] == [*SIZES[:2], SIZES[3]]


def test_the_published_points_are_all_there():
    rows = published()
    assert len(rows) == 315
    curves = published_curves("ioi", lambda row: row["ablation"] == "optimal", [], LIGHT)
    assert {curve.method for curve in curves} == {"UGS", "HCGS", "ACDC", "EAP", "by hand"}
    assert {curve.ablation for curve in curves} == {"Optimal (shared)"}
    ugs = next(curve for curve in curves if curve.method == "UGS")
    least = min(ugs.spots, key=lambda spot: spot.edges)
    assert (least.edges, round(least.value, 4)) == (8, 0.3732)
    assert least.share == pytest.approx(8 / 32_491)
    by_hand = next(curve for curve in curves if curve.method == "by hand")
    assert [spot.edges for spot in by_hand.spots] == [963]


def test_everything_is_exported_with_intervals_and_prices(store):
    run = store.get(write_fake_sweep(store, failed=[("eap", 0)]))
    found = tidy(run.result.rows, GRAPH.n_edges)
    points, path = found[found["edges_requested"].notna()], found[found["penalty"].notna()]
    failed = found[found["error"].notna()]
    assert len(points) == 10 * len(SIZES)
    assert len(path) == 2 * 2 * 2
    assert set(path["method"]) == {"ugs"}
    assert len(failed) == 2
    assert np.all(points["kl_low"] < points["kl"])
    assert set(found["edges_total"]) == {GRAPH.n_edges}


def test_baseline_is_grey_and_methods_have_colours_of_their_own(store):
    rows = store.get(write_fake_sweep(store)).result.rows
    all_lines = lines_of(rows, "ioi", GRAPH.n_edges)
    curves = curves_of(all_lines, all_lines, "kl", LIGHT)
    colours = {curve.method: curve.colour for curve in curves}
    assert colours["Random"] == LIGHT.muted
    assert len(set(colours.values())) == 3
    assert [curve.baseline for curve in curves if curve.method == "Random"] == [True, True]
    assert [len(curve.path) for curve in curves if curve.method == "UGS"] == [4, 4]


def test_sweeps_are_listed_shipped_ones_first(store):
    first, second = write_fake_sweep(store), write_fake_sweep(store, seeds=(5,))
    assert set(sweeps(shelf())) == {first, second}
