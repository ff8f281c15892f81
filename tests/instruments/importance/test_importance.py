"""What importance finds, against naive ways to the same numbers."""

import pytest
import torch

from engine import experiments
from engine.ablations.constants import FIRST_ABLATED
from engine.errors import RequestError
from engine.instruments.importance.nodes import direct_effects, direction
from engine.models import load_model
from engine.workbench.ready import prepare
from tests.instruments.asking import ask, nothing, write_task
from tests.reference import naive_logits, open_hooks, source_values
from tests.tiny import FAMILIES, save_tiny, save_ungrouped


@pytest.mark.parametrize("ablation", ["counterfactual", "zero"])
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "mistral"])
def test_importance_equals_ablating_each_node_naively(tmp_path, task, store, family, ablation):
    folder = save_tiny(FAMILIES[family], tmp_path / "model")
    request = ask(folder, task, "importance", ablation=ablation)
    run = store.get(experiments.run(request, nothing, store))
    plain = save_ungrouped(folder, tmp_path / "plain") if family == "mistral" else folder
    model, item = load_model(str(plain), device="cpu"), run.result.prompts[0]
    graph, bridge = model.shape.graph(), open_hooks(model.bridge)
    clean, corrupt = (torch.tensor([model.prompt_ids(getattr(item, name))]) for name in ("clean", "corrupt"))
    values = source_values(bridge, graph, corrupt)
    if ablation == "zero":  # constants stand from the first position that may differ on
        values = source_values(bridge, graph, clean)
        for value in values.values():
            value[:, FIRST_ABLATED:] = 0
    full = bridge(clean)[0, -1].log_softmax(-1).detach()
    assert list(run.result.nodes) == graph.sources
    for i, node in enumerate(graph.sources):
        mask = torch.tensor([not name.startswith(f"{node}->") for name in graph.edge_names]).float()
        naive = naive_logits(bridge, graph, clean, values, mask)[0].log_softmax(-1)
        expected = float((full.exp() * (full - naive.detach())).sum())
        assert run.tensors["kl"][i, 0] == pytest.approx(expected, abs=1e-4), node


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "qwen3"])
def test_direct_effects_and_biases_add_up_to_the_logits(tmp_path, family):
    folder = save_tiny(FAMILIES[family], tmp_path / "model")
    request = ask(folder, str(write_task(tmp_path / "pairs.jsonl")), "importance", weights_hash="0")
    bench = prepare(request, {})
    evaluator, transformer = bench.evaluator(request), bench.model.transformer
    for i, batch in enumerate(evaluator.batches):
        parts = direct_effects(evaluator, i).sum(0)
        stream = transformer.run(batch.clean.tokens).residual[-1][:, -1]
        scale = transformer.rms_reciprocal(stream)
        biases = torch.stack([block.out_bias for block in transformer.blocks]).sum(0)
        for row, asked in enumerate(zip(batch.answers, batch.wrong_answers, strict=True)):
            for column, tokens in enumerate(asked):
                rest = biases @ direction(transformer, tokens) * scale[row]
                if transformer.final_shift is not None:
                    rest = rest + transformer.final_shift @ transformer.unembedding[tokens].mean(0)
                logit = evaluator.model_logits[i][row, tokens].mean()
                assert parts[row, column] + float(rest) == pytest.approx(float(logit), abs=1e-3)


def test_a_model_or_task_that_has_changed_is_refused(tiny_folder, tmp_path, store):
    path = write_task(tmp_path / "pairs.jsonl")
    request = ask(tiny_folder, str(path), "importance")
    done = experiments.completed(request, store)
    assert experiments.completed(done, store) == done
    path.write_text(path.read_text() + "\n")
    with pytest.raises(RequestError, match=r"task .* has changed: discover again"):
        experiments.completed(done, store)
    other = done.model_copy(update={"weights_hash": "0" * 64, "task_hash": None})
    with pytest.raises(RequestError, match=r"model .* has changed: discover again"):
        experiments.completed(other, store)
