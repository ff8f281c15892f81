"""Restored passes against naive ones: TransformerLens hooks, one whole forward per cell and version."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.models import Model, load_model
from engine.planted import lookup
from engine.tracing.base import Corrupter
from engine.tracing.cells import make_group
from engine.tracing.gaussian import NoiseDraws
from engine.tracing.names import CLASSES, State
from engine.tracing.optimal import Constants
from engine.tracing.prompts import Traced
from engine.tracing.traces import Traces, traces
from tests.reference import open_hooks
from tests.tiny import FAMILIES, LENGTH, save_tiny

DRAWS = 2


@pytest.fixture(scope="module", params=["gpt2", "gpt_neox", "llama", "mistral", "qwen3"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny random model of one family."""
    folder = save_tiny(FAMILIES[request.param], tmp_path_factory.mktemp("models") / request.param)
    return load_model(str(folder), device="cpu")


def prompts(answer: Sequence[int] = (7,)) -> list[Traced]:
    """Two prompts of one length with subjects of different places."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 60, (2, LENGTH), generator=generator).tolist()
    return [
        Traced(text="", tokens=own, subject=subject, answer=list(answer), wrong=9)
        for own, subject in zip(tokens, [(1, 3), (3, 4)], strict=True)
    ]


def noise(model: Model, amount: float = 3.0) -> Corrupter:
    """Return draws of noise large enough to matter."""
    return NoiseDraws(model.transformer, amount, DRAWS, seed=0)


def traced(model: Model, state: State, window: int, corrupter: Corrupter, some: list[Traced]) -> list[Traces]:
    """Return the traces of prompts of one length."""
    group = make_group(model.transformer, some)
    return list(traces(model.transformer, group, corrupter, state, window))


HOOKS = {
    "residual": "blocks.{}.hook_resid_pre",
    "attention": "blocks.{}.hook_attn_out",
    "mlp": "blocks.{}.hook_mlp_out",
    "head": "blocks.{}.attn.hook_result",
}


def clean_states(model: Model, prompt: Traced, state: State) -> Any:
    """Return the states of the clean prompt by name of hook: the same for all cells."""
    names = [HOOKS[state].format(layer) for layer in range(model.shape.n_layers)]
    _, clean = model.bridge.run_with_cache(
        torch.tensor([prompt.tokens + prompt.answer[:-1]]), names_filter=names
    )
    return clean


def naive_values(
    model: Model,
    prompt: Traced,
    clean: Any,
    stream: Tensor,
    state: State,
    position: int,
    layers: range,
    head: int,
) -> list[float]:
    """Return probability, log-probability and logit difference of the answer in one cell, by hooks."""
    bridge = model.bridge
    tokens = torch.tensor([prompt.tokens + prompt.answer[:-1]])
    names = [HOOKS[state].format(layer) for layer in layers]

    def corrupt(x: Tensor, hook: Any) -> Tensor:
        return stream[None].to(x)

    def restore(x: Tensor, hook: Any) -> Tensor:
        x = x.clone()
        place = (0, position, head) if state == "head" else (0, position)
        x[place] = clean[hook.name][place]
        return x

    hooks: list[Any] = [("blocks.0.hook_resid_pre", corrupt), *((name, restore) for name in names)]
    with torch.no_grad():
        logits = bridge.run_with_hooks(tokens, fwd_hooks=hooks)[0].double()
    at = range(len(prompt.tokens) - 1, tokens.shape[1])
    log_p = float(sum(logits[i].log_softmax(-1)[token] for i, token in zip(at, prompt.answer, strict=True)))
    first = logits[at[0]]
    return [float(torch.tensor(log_p).exp()), log_p, float(first[prompt.answer[0]] - first[prompt.wrong])]


@pytest.mark.parametrize(
    ("state", "window"),
    [
        ("residual", 2),
        ("mlp", 3),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("residual", 1), ("attention", 1), ("head", 1)]
        ),
    ],
)
def test_every_cell_equals_a_whole_forward_with_hooks(model: Model, state: State, window: int) -> None:
    """All tokens, layers, heads and draws of two prompts, with an answer of two tokens."""
    open_hooks(model.bridge)
    corrupter, shape = noise(model), model.shape
    for trace in traced(model, state, window, corrupter, prompts(answer=(7, 21))):
        prompt = trace.prompt
        embedded = model.transformer.embed(torch.tensor([prompt.tokens + prompt.answer[:-1]]))
        streams = corrupter.streams([prompt], embedded, range(DRAWS))[0]
        clean = clean_states(model, prompt, state)
        heads = shape.n_heads if state == "head" else 1
        for position in range(len(prompt.tokens)):
            for column in range(shape.n_layers * heads):
                layer, head = divmod(column, heads)
                first = layer - window // 2
                layers = range(max(first, 0), min(first + window, shape.n_layers))
                for draw in range(DRAWS):
                    naive = naive_values(model, prompt, clean, streams[draw], state, position, layers, head)
                    ours = trace.restored[position, column, draw]
                    assert ours.tolist() == pytest.approx(naive, rel=2e-4, abs=2e-4)


def test_restoring_everything_gives_clean_values_and_nothing_corrupted_ones(
    tiny_model: Model,
) -> None:
    """A subject of one token, restored before layer 0, is the clean prompt."""
    trace = traced(tiny_model, "residual", 1, noise(tiny_model), prompts())[1]
    position = trace.prompt.subject[0]
    for draw in range(DRAWS):
        assert trace.restored[position, 0, draw].tolist() == pytest.approx(trace.clean.tolist(), abs=1e-5)
    before = trace.restored[:position]
    assert (before == trace.corrupted).all()
    assert not trace.effects[:position].any()
    assert abs(trace.clean[0] - trace.corrupted[:, 0]).max() > 1e-3


def test_noise_of_level_zero_changes_nothing(tiny_model: Model) -> None:
    """Every effect is exactly zero but for the order of additions."""
    for trace in traced(tiny_model, "attention", 1, noise(tiny_model, 0.0), prompts()):
        assert abs(trace.effects).max() < 1e-5
        assert trace.corrupted[0].tolist() == pytest.approx(trace.clean.tolist(), abs=1e-5)


def test_same_seed_same_map_and_another_seed_another(tiny_model: Model) -> None:
    """Bit for bit, and whatever other prompts are in the group."""
    some = prompts()
    first, again = (traced(tiny_model, "mlp", 1, noise(tiny_model), some)[1] for _ in range(2))
    alone = traced(tiny_model, "mlp", 1, noise(tiny_model), some[1:])[0]
    other = traced(tiny_model, "mlp", 1, NoiseDraws(tiny_model.transformer, 3.0, DRAWS, seed=1), some)[1]
    assert (first.restored == again.restored).all()
    assert alone.restored == pytest.approx(first.restored, abs=1e-5)
    assert abs(other.restored - first.restored).max() > 1e-3


def test_all_states_are_there() -> None:
    """A new state needs a hook in the naive pass."""
    assert set(HOOKS) == set(get_args(State))


class Other(Corrupter):
    """The subject, a token, replaced by another one."""

    n_versions = 1

    def __init__(self, model: Model, token: int) -> None:
        self.model, self.token = model, token

    def streams(self, prompts: Sequence[Traced], clean: Tensor, versions: Sequence[int]) -> Tensor:
        """Return the stream of the prompt with the other token."""
        (prompt,) = prompts
        tokens = list(prompt.tokens)
        tokens[prompt.subject[0]] = self.token
        return self.model.transformer.embed(torch.tensor([tokens]))[:, None]

    def versions(self, token_class: int | None, layer: int | None) -> Sequence[int]:
        """Return the one there is."""
        return [0]


def planted_fact() -> tuple[Model, Traced, int, Corrupter]:
    """Return the planted chain, its first prompt with the definition asked for as subject, the position of
    the pointer to it, and the definition of another value as its corruption."""
    planted = lookup.build()
    defined = [f"{link}={value}" for link in lookup.LINKS for value in lookup.VALUES]
    pointers = [f"{letter}>{link}" for letter in lookup.LETTERS for link in lookup.LINKS]
    names = ["<s>", *lookup.VALUES, *defined, *pointers, *(f"?{letter}" for letter in lookup.LETTERS)]
    tokens = planted.clean[0].tolist()
    prompt = [names[i] for i in tokens]
    (pointer,) = (i for i, name in enumerate(prompt) if name.startswith(f"{prompt[-1][1]}>"))
    (subject,) = (i for i, name in enumerate(prompt) if name.startswith(f"{prompt[pointer][2]}="))
    value = next(value for value in lookup.VALUES if value != prompt[subject][2])
    answer, other = [names.index(prompt[subject][2])], names.index(value)
    fact = Traced(" ".join(prompt), tokens, (subject, subject + 1), answer, other)
    return planted.model, fact, pointer, Other(planted.model, names.index(prompt[subject][:2] + value))


@pytest.mark.parametrize("state", ["residual", "attention", "mlp", "head"])
def test_a_fact_that_passes_through_known_states_shows_those_and_no_others(state: State) -> None:
    """The planted chain: a definition, brought to the pointer by a0.h2, copied to the end by a1.h0."""
    model, prompt, pointer, corrupter = planted_fact()
    subject, last = prompt.subject[0], len(prompt.tokens) - 1
    known: dict[State, set[tuple[int, int]]] = {
        "residual": {(subject, 0), (pointer, 1), (last, 2)},
        "attention": {(pointer, 0), (last, 1)},
        "mlp": set(),
        "head": {(pointer, 0 * model.shape.n_heads + 2), (last, 1 * model.shape.n_heads)},
    }
    (trace,) = traced(model, state, 1, corrupter, [prompt])
    lost = float(trace.clean[0] - trace.corrupted[0, 0])
    assert lost > 0.9
    # Heads look sharply, but not at one place alone.
    whole = np.argwhere(trace.effects[:, :, 0, 0] > 0.95 * lost)
    some = np.argwhere(abs(trace.effects[:, :, 0, 0]) > 0.02 * lost)
    assert {tuple(cell) for cell in whole.tolist()} == known[state]
    assert {tuple(cell) for cell in some.tolist()} == known[state]


def test_constants_of_their_own_show_no_effect_where_there_is_none() -> None:
    """Each class and layer has another constant, under which the answer is worth something else."""
    model, prompt, _, _ = planted_fact()
    shape = model.transformer.shape
    generator = torch.Generator().manual_seed(0)
    values = torch.randn((len(CLASSES) * shape.n_layers + 1, shape.d_model), generator=generator)
    corrupter = Constants(model.transformer, values)
    (trace,) = traced(model, "mlp", 1, corrupter, [prompt])
    assert np.ptp(trace.bare[prompt.subject[0] :, :, 0, 0]) > 0.05
    assert abs(trace.effects[..., 0]).max() < 1e-5
    (trace,) = traced(model, "residual", 1, corrupter, [prompt])
    version = corrupter.versions(prompt.token_class(prompt.subject[0]), 0)[0]
    clean = model.transformer.embed(torch.tensor([prompt.tokens]))
    stream = corrupter.streams([prompt], clean, [version])[0, 0]
    alone = model.transformer.finish(stream[None], 0).softmax(-1)[0, prompt.answer[0]]
    assert trace.bare[prompt.subject[0], 0, 0, 0] == pytest.approx(float(alone), abs=1e-5)
    assert trace.restored[prompt.subject[0], 0, 0, 0] == pytest.approx(float(trace.clean[0]), abs=1e-5)
