"""Notes on the prompts reach whoever asks: in the result, on standard error and on the page."""

import json
from pathlib import Path

from engine import experiments
from engine.cli import main
from tests.instruments.asking import ask, nothing, write_task


def test_how_many_prompts_the_model_answers_right_is_said_before_the_discovery(tiny_folder, task, store):
    said: list[tuple[int, str]] = []
    settings = {"steps": 3, "batch_size": 8}
    request = ask(tiny_folder, task, "discover", method="edge-pruning", settings=settings, edges=60)
    run = store.get(
        experiments.run(request, lambda done, total, message: said.append((done, message)), store)
    )
    accuracy = run.result.model.accuracy
    right = round(accuracy.mean * accuracy.n)
    line = f"the model itself answers {right} of {accuracy.n} prompts right"
    messages = [message for _, message in said]
    training = next(i for i, message in enumerate(messages) if "step" in message.lower() or "KL" in message)
    assert messages.index(line) < training
    assert right < accuracy.n / 2
    assert any(note.startswith(line) for note in run.result.notes)


def test_a_model_that_knows_the_task_gets_no_such_note(store):
    request = ask(Path("explorer-4l"), "ioi", "measure", n_prompts=16, circuits=[{"name": "model"}])
    run = store.get(experiments.run(request, nothing, store))
    assert run.result.model.accuracy.mean > 0.5
    assert run.result.notes == []


def test_notes_are_on_standard_error(tiny_folder, tmp_path, capfd):
    path = write_task(tmp_path / "pairs.jsonl", 20)
    with path.open("a") as file:
        file.write('\n{"clean": "w1", "corrupt": "w1", "answers": [" w2"], "wrong_answers": [" w3"]}')
    about = ["--model", str(tiny_folder), "--task", str(path), "--ablation", "zero", "--json"]
    assert main(["importance", *about]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)
    assert "note: 1 of 21 pairs are left out. The first: " in err
