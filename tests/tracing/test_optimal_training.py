"""Training of the constants of optimal ablation tracing: against naive passes, and in parts."""

from dataclasses import replace

import pytest
import torch

from engine.errors import RequestError
from engine.models import Model
from engine.progress import silent
from engine.tracing import cells
from engine.tracing.base import TraceProblem, corruptions
from engine.tracing.cells import Cell, make_group, most_bases, most_passes
from engine.tracing.names import State
from engine.tracing.optimal import Constants, Settings, _Training
from engine.tracing.prompts import Traced
from engine.tracing.traces import known, traces
from tests.reference import open_hooks
from tests.tracing.test_traces import clean_states, naive_values, noise

SETTINGS = Settings.model_validate({"steps": 40, "batch_size": 4, "rate": 0.3})


def prompts(model: Model, n: int = 15) -> list[Traced]:
    """Random prompts of two lengths whose answer is the model's own."""
    generator = torch.Generator().manual_seed(1)
    drawn = []
    for i in range(n):
        length = 6 + i % 2
        tokens = torch.randint(1, 60, (length,), generator=generator).tolist()
        with torch.no_grad():
            logits = model.transformer.finish(model.transformer.embed(torch.tensor([tokens])), 0)[0]
        best = logits.topk(2).indices.tolist()
        subject = (1, 2 + i % 3)
        drawn.append(Traced(text="", tokens=tokens, subject=subject, answer=best[:1], wrong=best[1]))
    return drawn


def training(model: Model, state: State = "mlp", window: int = 1, n: int = 15) -> _Training:
    """Return a training on random prompts, whose subjects have random tokens."""
    problem = TraceProblem(model.transformer, lambda _: prompts(model, n), [3, 9, 27, 41], state, window, 0)
    return _Training(problem, SETTINGS)


def constants(model: Model, n: int) -> torch.Tensor:
    """Return random constants that change what the model says."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn((n, model.shape.d_model), generator=generator)


@pytest.mark.parametrize(("state", "window"), [("residual", 1), ("attention", 2), ("head", 1)])
def test_the_loss_is_the_mean_of_naive_passes(tiny_model: Model, state: State, window: int) -> None:
    """Of what each constant loses in every cell that has it."""
    open_hooks(tiny_model.bridge)
    own = training(tiny_model, state, window)
    some = own.training[0]
    looked_at = own._cells(some, torch.Generator().manual_seed(3))
    values = constants(tiny_model, 6 * tiny_model.shape.n_layers + 1)
    total, count = own._lost(values, some, looked_at)
    group = make_group(tiny_model.transformer, some)
    corrupter = Constants(tiny_model.transformer, values)
    streams = corrupter.streams(some, group.clean.streams[0], range(len(values)))
    clean = [clean_states(tiny_model, prompt, state) for prompt in some]
    naive: dict[int, list[float]] = {}
    for cell in map(Cell._make, looked_at.tolist()):
        first = cell.layer - window // 2
        layers = range(max(first, 0), min(first + window, tiny_model.shape.n_layers))
        stream = streams[cell.prompt, cell.version]
        prompt, states = some[cell.prompt], clean[cell.prompt]
        value = naive_values(tiny_model, prompt, states, stream, state, cell.position, layers, cell.head)[0]
        naive.setdefault(cell.version, []).append(max(0.0, float(group.values[cell.prompt, 0]) - value))
    for i, prompt in enumerate(some):
        value = naive_values(tiny_model, prompt, clean[i], streams[i, -1], state, 0, range(0), 0)[0]
        naive.setdefault(len(values) - 1, []).append(max(0.0, float(group.values[i, 0]) - value))
    assert count.tolist() == [len(naive.get(version, [])) for version in range(len(values))]
    for version, each in naive.items():
        assert float(total[version]) == pytest.approx(sum(each), abs=1e-5)
    assert float(total.max()) > 0.001


def test_parts_have_the_loss_and_the_gradients_of_a_whole(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little memory there is."""
    own = training(tiny_model)
    some = own.training[0]
    looked_at = own._cells(some, torch.Generator().manual_seed(3))
    n = 6 * tiny_model.shape.n_layers + 1
    results = []
    for bytes_ in (cells.MOST_BYTES, 1):
        monkeypatch.setattr(cells, "MOST_BYTES", bytes_)
        values = constants(tiny_model, n).requires_grad_()
        total, _ = own._lost(values, some, looked_at)
        assert values.grad is not None
        results.append((total, values.grad))
    (whole, gradient), (parts, in_parts) = results
    assert torch.allclose(whole, parts, atol=1e-6)
    assert torch.allclose(gradient, in_parts, atol=1e-6)
    # A step against the gradient of one constant lowers the loss of that one.
    worst = int(gradient.norm(dim=1).argmax())
    moved = constants(tiny_model, n)
    moved[worst] -= 0.01 * gradient[worst] / gradient[worst].norm()
    after, _ = own._lost(moved, some, looked_at)
    # Gradients are of the loss of a prompt of a batch.
    expected = float(whole[worst]) - 0.01 * SETTINGS.batch_size * float(gradient[worst].norm())
    assert float(after[worst]) == pytest.approx(expected, abs=1e-4)


def test_training_lowers_the_loss_on_prompts_held_out(tiny_model: Model) -> None:
    """And keeps what was best there, which the kept constants have when they are measured again."""
    own = training(tiny_model)
    kept, history = own.run(silent)
    assert history["step"] == [0, 20, 40, 40, 60, 80]  # nothing restored, then all
    nothing, every = history["best"][:3], history["best"][3:]
    assert nothing[-1] <= nothing[0]
    assert every[-1] < every[0]
    again = own._validate(kept.values)
    assert float(again.nanmean()) == pytest.approx(history["best"][-1], abs=1e-6)


def test_all_prompts_and_cells_count_alike(tiny_model: Model) -> None:
    """However many have the same length: the loss on prompts held out is the mean over all their cells."""
    own = training(tiny_model, n=33)
    assert len({len(some) for some in own.held_out}) > 1
    values = constants(tiny_model, 6 * tiny_model.shape.n_layers + 1)
    totals, counts = zip(
        *(own._lost(values, *look) for look in zip(own.held_out, own.looked_at, strict=True)), strict=True
    )
    expected = torch.stack(totals).sum(0) / torch.stack(counts).sum(0)
    assert torch.allclose(own._validate(values), expected, equal_nan=True)


def test_prompts_that_are_known_keep_the_order_they_were_drawn_in(tiny_model: Model) -> None:
    """So that the last of them, which judge constants, are like the others, not the longest."""
    drawn = prompts(tiny_model, 12)
    wrong = [replace(prompt, answer=[prompt.wrong]) for prompt in drawn[:3]]
    assert known(tiny_model.transformer, [*drawn[6:], *wrong, *drawn[:6]]) == [*drawn[6:], *drawn[:6]]


def test_too_few_prompts_are_refused(tiny_model: Model) -> None:
    """With what to do instead."""
    with pytest.raises(RequestError, match="take the corruption 'gaussian'"):
        training(tiny_model, n=9)


@pytest.mark.parametrize("bytes_", [1, 200_000])
@pytest.mark.parametrize("corruption", ["gaussian", "optimal"])
def test_little_memory_gives_the_same_map(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch, bytes_: int, corruption: str
) -> None:
    """One version, or one pass, at a time; constants of classes that no prompt has need none."""
    group = make_group(tiny_model.transformer, prompts(tiny_model)[::6])
    values = constants(tiny_model, 6 * tiny_model.shape.n_layers + 1)
    trained = Constants(tiny_model.transformer, values)
    corrupter = noise(tiny_model) if corruption == "gaussian" else trained
    whole = list(traces(tiny_model.transformer, group, corrupter, "attention", 2))
    monkeypatch.setattr(cells, "MOST_BYTES", bytes_)
    parts = list(traces(tiny_model.transformer, group, corrupter, "attention", 2))
    for of_whole, of_parts in zip(whole, parts, strict=True):
        assert of_parts.restored.shape == of_whole.restored.shape
        assert abs(of_parts.restored - of_whole.restored).max() < 1e-5
        assert abs(of_parts.bare - of_whole.bare).max() < 1e-5


def test_passes_at_once_shrink_with_the_square_of_a_long_prompt(tiny_model: Model) -> None:
    """Since every pass has scores of every token for every token."""
    transformer = tiny_model.transformer
    assert most_passes(transformer, 8) == cells.MOST_ROWS
    assert most_bases(transformer, 8) == cells.MOST_BASES
    long, longer = most_passes(transformer, 1000), most_passes(transformer, 2000)
    assert 1 <= longer <= long / 3
    scores = 2 * tiny_model.shape.n_heads * 1000**2 * 4  # bytes, with their pattern
    assert long * scores <= cells.MOST_BYTES
    assert most_passes(transformer, 500, gradient=True) < most_passes(transformer, 500)


def test_every_class_and_layer_of_a_prompt_has_a_cell(tiny_model: Model) -> None:
    """One each, at a token of the class."""
    own = training(tiny_model)
    some = own.training[0]
    every = [Cell._make(row) for row in own._cells(some, torch.Generator().manual_seed(0)).tolist()]
    for i, prompt in enumerate(some):
        classes = {prompt.token_class(p) for p in range(prompt.subject[0], len(prompt.tokens))}
        mine = [cell for cell in every if cell.prompt == i]
        assert len(mine) == len(classes) * tiny_model.shape.n_layers
        for cell in mine:
            of_class, layer = divmod(cell.version, tiny_model.shape.n_layers)
            assert (prompt.token_class(cell.position), cell.layer) == (of_class, layer)


def test_optimal_is_registered_as_trained() -> None:
    """So that a prompt takes what its task's run has kept."""
    assert corruptions.get("optimal").trained
