"""`circuit-explorer list runs` with runs that have no circuit to sum up."""

import json

import pytest

from engine.cli import main
from engine.runs.store import RunStore
from tests.app.fake_composite import write_fake_stability, write_fake_sweep
from tests.app.fake_run import write_fake_run


def test_sweeps_and_stability_are_listed_by_how_many_discoveries(
    own_runs_dir, capfd: pytest.CaptureFixture[str]
):
    store = RunStore(own_runs_dir)
    sweep, stability = (
        write_fake_sweep(store, seeds=(0,), runs=False),
        write_fake_stability(store, write_fake_run(store)),
    )
    assert main(["list", "runs", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)["runs"]}
    assert rows[sweep]["description"].startswith("6 discoveries, ")
    assert rows[stability]["description"].startswith("5 repeats, ")
    assert (rows[sweep]["kind"], rows[stability]["kind"]) == ("sweep", "stability")
