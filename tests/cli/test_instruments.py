"""The command line of importance and of sweeps."""

import numpy as np
import pytest

from engine.cli import main
from engine.runs.store import RunStore
from tests.cli.test_cli import refused, run_json


@pytest.mark.parametrize(("ablation", "conditioning"), [("mean", "shared"), ("optimal", "shared")])
def test_importance(capfd, model, task, tmp_path, ablation, conditioning):
    words = ["importance", "--model", model, "--task", task, "--ablation", ablation]
    words += ["--set", f"conditioning={conditioning}", "--runs-dir", str(tmp_path)]
    if ablation == "optimal":
        words += ["--set", "steps=4"]
    found = run_json(capfd, words)
    assert found["conditioning"] == conditioning
    run = RunStore(tmp_path).get(found["run_id"])
    assert found["nodes"] == run.result.model_dump()["nodes"]
    assert np.allclose(run.tensors["kl"].mean(1), [node["kl"]["mean"] for node in found["nodes"].values()])
    assert ("constants.heads" in run.tensors) == (ablation == "optimal")
    assert main(words) == 0
    lines = capfd.readouterr().out.splitlines()
    losses = [float(line.split()[1]) for line in lines[2:]]
    assert len(losses) == len(found["nodes"])
    assert losses == sorted(losses, reverse=True)


@pytest.mark.slow
def test_sweep_on_two_workers(capfd, model, task, tmp_path):
    words = ["sweep", "--model", model, "--tasks", task, "--methods", "eap,random", "--seeds", "0,1"]
    words += ["--ablations", "zero,counterfactual", "--sizes", "20,100", "--set", "eap.batch_size=7"]
    words += ["--runs-dir", str(tmp_path), "--workers", "2"]
    rows = run_json(capfd, words)["rows"]
    assert [(row["ablation"], row["method"], row["seed"]) for row in rows] == [
        (ablation, method, seed)
        for ablation in ("zero", "counterfactual")
        for method in ("eap", "random")
        for seed in (0, 1, 2)[: 3 if method == "random" else 2]
    ]
    store = RunStore(tmp_path)
    assert store.get(rows[0]["run"]).request.settings["batch_size"] == 7
    made = {run.run_id: run.result.created for run in store.list() if not run.shipped}
    assert len(made) == len(rows) + 1
    assert main(words) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == len(rows) + 2
    again = {run.run_id: run.result.created for run in store.list() if not run.shipped}
    assert again == made, "nothing is computed again"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--methods", "eap,eep"], ["unknown method 'eep': did you mean 'eap'?"]),
        (["--seeds", "0,a"], ["--seeds '0,a'", "whole numbers"]),
        (["--set", "steps=3"], ["METHOD.KEY=VALUE"]),
        (["--methods", ","], ["--methods ','", "names separated by commas"]),
    ],
)
def test_a_wrong_sweep_is_refused_in_one_line(capfd, model, task, arguments, parts):
    words = ["sweep", "--model", model, "--tasks", task, "--ablations", "zero", "--methods", "eap"]
    refused(capfd, [*words, *arguments], *parts)
