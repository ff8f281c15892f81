"""circuit-explorer trace, on the demo model and on the tiny one."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from engine.cli import main
from engine.runs.store import RunStore

PROMPT = ["--prompt", "The capital of South Korea is", "--subject", "South Korea"]


def trace(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any] | None, str]:
    """Return the exit status, the JSON object printed, and the last line of standard error."""
    status = main(["trace", *options, "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, (err.splitlines() or [""])[-1]


def test_a_prompt_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    """One number per layer and token; the clean state of the last token before the last layer is enough."""
    status, found, _ = trace(capsys, "--model", "explorer-4l", *PROMPT)
    assert status == 0
    assert found is not None
    assert "".join(found["tokens"]).endswith("The capital of South Korea is")
    assert found["answer"] == " Seoul"
    effects, (first, _) = found["effects"], found["subject"]
    assert {len(row) for row in effects} == {4}
    assert len(effects) == len(found["tokens"])
    assert not any(map(any, effects[:first]))
    assert effects[-1][3] > 0.5 * (found["clean"] - found["corrupted"]) > 0.2


def test_the_same_seed_gives_the_same_map_and_no_noise_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is there is shown again; noise 0 is another run."""
    model = ["--model", "explorer-4l", *PROMPT, "--kind", "mlp"]
    one, again, other = (trace(capsys, *model, "--seed", seed)[1] for seed in ("0", "0", "1"))
    quiet = trace(capsys, *model, "--noise", "0")[1]
    assert one is not None
    assert other is not None
    assert quiet is not None
    assert one == again
    assert one["effects"] != other["effects"]
    assert quiet["corrupted"] == pytest.approx(quiet["clean"], abs=1e-5)
    assert max(map(max, quiet["effects"])) < 1e-5


def test_classes_of_tokens_over_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    """With intervals, for the prompts whose answer the model knows."""
    options = ["--model", "explorer-4l", "--task", "facts", "--n-prompts", "30", "--holdout", "relations"]
    status, found, _ = trace(capsys, *options, "--set", "draws=2")
    assert status == 0
    assert found is not None
    last = found["classes"]["last"]
    low, high = last["effects"]["probability"][3]["ci95"]
    assert 0.3 < low < high < 1
    assert last["share"][3]["mean"] > 0.9
    assert last["concentration"]["mean"] >= 1
    assert found["clean"]["probability"]["mean"] > found["corrupted"]["probability"]["mean"] + 0.3


@pytest.mark.slow
def test_optimal_constants_are_trained_once_for_all_prompts(capsys: pytest.CaptureFixture[str]) -> None:
    """The first prompt traces the task, in a run of its own, whose constants serve every other prompt."""
    options = [
        "--model",
        "explorer-4l",
        "--corruption",
        "optimal",
        "--n-prompts",
        "20",
        "--kind",
        "attention",
    ]
    options += [x for name in ("steps=3", "prompts=60", "batch_size=8") for x in ("--set", name)]
    status, own, _ = trace(capsys, *options, *PROMPT)
    assert status == 0
    assert own is not None
    assert {len(row) for row in own["effects"]} == {4}
    runs = RunStore().user_dir
    assert len(list(runs.iterdir())) == 2
    status, of_task, _ = trace(capsys, *options)
    assert status == 0
    assert of_task is not None
    assert len(list(runs.iterdir())) == 2
    request = json.loads((Path(of_task["folder"]) / "request.json").read_text())
    assert request["trace"]["prompt"] is None
    tensors = load_file(Path(of_task["folder"]) / "tensors.safetensors")
    assert tensors["constants"].shape == (6 * 4 + 1, 256)


@pytest.mark.parametrize("corruption", ["gaussian", "optimal"])
def test_effects_are_against_the_corrupted_value_that_is_printed(
    capsys: pytest.CaptureFixture[str], corruption: str
) -> None:
    """A subject of one token that is restored before layer 0 is the clean prompt, under any constant."""
    options = ["--model", "explorer-4l", "--prompt", "The capital of France is", "--subject", "France"]
    options += ["--corruption", corruption]
    if corruption == "optimal":
        options += [x for name in ("steps=5", "prompts=60") for x in ("--set", name)] + ["--n-prompts", "5"]
    status, found, _ = trace(capsys, *options)
    assert status == 0
    assert found is not None
    first, end = found["subject"]
    assert end == first + 1
    effects, paired = found["effects"], found["paired_effects"]
    assert found["corrupted"] + effects[first][0] == pytest.approx(found["clean"], abs=1e-5)
    same = all(one == pytest.approx(other, abs=1e-6) for one, other in zip(effects, paired, strict=True))
    assert same == (corruption == "gaussian")


def test_any_model_can_be_traced_by_noise(capsys: pytest.CaptureFixture[str], tiny_folder: Path) -> None:
    """Noise needs no facts; single heads are shown layer by layer."""
    options = ["--model", str(tiny_folder), "--prompt", "w1 w2 w3 w4", "--subject", "w2 w3"]
    status, found, _ = trace(capsys, *options, "--kind", "head", "--answer", " w5 w6")
    assert status == 0
    assert found is not None
    assert found["answer"] == "w5w6"
    assert {len(row) for row in found["effects"]} == {3 * 4}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--subject", "France"], "needs its subject"),
        (["--prompt", "The capital of France is", "--subject", "Spain"], "does not stand in the prompt"),
        ([*PROMPT, "--corruption", "zero"], "unknown corruption 'zero'"),
        ([*PROMPT, "--corruption", "optimal", "--noise", "3"], "--noise is for --corruption gaussian"),
        ([*PROMPT, "--kind", "head", "--window", "3"], "heads are restored one by one"),
        ([*PROMPT, "--window", "9"], "a window of 9 layers"),
        ([*PROMPT, "--answer", "Seoul"], "start with a space"),
        (["--task", "ioi"], "name no subjects"),
    ],
)
def test_wrong_requests(capsys: pytest.CaptureFixture[str], options: list[str], says: str) -> None:
    """Status 2 and one line."""
    status, found, line = trace(capsys, "--model", "explorer-4l", *options)
    assert (status, found) == (2, None)
    assert says in line


def test_a_prompt_that_cannot_be_used_is_refused_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Training takes minutes; what was typed is looked at first."""
    options = ["--model", "explorer-4l", "--corruption", "optimal", "--prompt", "The capital of France is"]
    status, _, line = trace(capsys, *options, "--subject", "Spain")
    assert status == 2
    assert "does not stand in the prompt" in line
    runs = RunStore().user_dir
    assert not any(one.is_dir() for one in runs.iterdir())
