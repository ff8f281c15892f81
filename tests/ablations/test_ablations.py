"""Every ablation against its definition, computed by TransformerLens hooks on each prompt apart."""

import pytest
import torch
from torch import Tensor

from engine.ablations.base import Ablated, Reference, ablations
from engine.errors import RequestError
from engine.forward.masked import Replacement
from engine.models import Model
from engine.settings import parse_settings
from tests.tiny import N_WORDS

GENERATOR = torch.Generator().manual_seed(7)
LENGTHS = (5, 7)
CLEAN = [torch.randint(1, N_WORDS, (4, n), generator=GENERATOR) for n in LENGTHS]
CORRUPT = [tokens.clone() for tokens in CLEAN]
for tokens in CORRUPT:
    tokens[:, 2] = torch.randint(1, N_WORDS, (4,), generator=GENERATOR)
REFERENCE = Reference(CLEAN, CORRUPT)


def ablate(
    model: Model, name: str, group: int = 1, reference: Reference = REFERENCE, **settings: str
) -> Ablated:
    ablation = ablations.get(name)
    chosen = parse_settings(ablation.Settings, settings)
    return ablation.prepare(model.transformer, reference, chosen, seed=0)(CLEAN[group], CORRUPT[group])


def full(model: Model, tokens: Tensor) -> Replacement:
    return Replacement.from_run(model.transformer.run(tokens))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.expand_as(expected), expected, atol=1e-5, rtol=1e-5)


def test_all_names_are_there() -> None:
    constants, runs = ["counterfactual-mean", "mean", "optimal", "zero"], ["counterfactual", "resample"]
    assert ablations.names() == sorted([*constants, *runs, "gaussian"])


def test_counterfactual_is_the_corrupt_run_from_the_first_difference_on(tiny_model: Model) -> None:
    found = ablate(tiny_model, "counterfactual")
    assert found.start == 2
    expected = full(tiny_model, CORRUPT[1])
    close(found.replacement.input, expected.input[:, 2:])
    close(found.replacement.heads, expected.heads[:, :, :, 2:])
    close(found.replacement.mlps, expected.mlps[:, :, 2:])


def test_resample_takes_another_clean_prompt_of_the_same_length(tiny_model: Model) -> None:
    found = ablate(tiny_model, "resample")
    pool = full(tiny_model, CLEAN[1]).mlps[0, :, found.start :]
    for row, value in enumerate(found.replacement.mlps[0]):
        donors = [i for i in range(4) if torch.allclose(value, pool[i], atol=1e-5)]
        assert donors
        assert row not in donors
    again = ablate(tiny_model, "resample")
    close(again.replacement.mlps, found.replacement.mlps)


def test_resample_without_a_second_prompt_takes_the_corrupt_one_and_says_so(tiny_model: Model) -> None:
    """As the counterfactual does, for a prompt whose length no other has."""
    alone = Reference([CLEAN[1][:1]], [CORRUPT[1][:1]])
    resample, counterfactual = (
        ablations.get(name).prepare(
            tiny_model.transformer, alone, parse_settings(ablations.get(name).Settings, {}), 0
        )(CLEAN[1][:1], CORRUPT[1][:1])
        for name in ("resample", "counterfactual")
    )
    assert resample.start == counterfactual.start
    assert torch.equal(resample.replacement.heads, counterfactual.replacement.heads)
    assert torch.equal(resample.replacement.mlps, counterfactual.replacement.mlps)
    notes = ablations.get("resample").notes(alone, [CLEAN[0], CLEAN[1][:1]])
    assert notes == [
        f"1 of {len(CLEAN[0]) + 1} prompts have a length that no other prompt has: instead of another prompt "
        "their own corrupt one stands in for them"
    ]
    assert ablations.get("resample").notes(alone, [CLEAN[0], CLEAN[1]]) == []
    assert ablations.get("mean").notes(alone, [CLEAN[1][:1]]) == []


@pytest.mark.parametrize(("name", "groups"), [("mean", CLEAN), ("counterfactual-mean", CORRUPT)])
def test_means_per_position_over_the_prompts_that_reach_it(
    tiny_model: Model, name: str, groups: list[Tensor]
) -> None:
    found = ablate(tiny_model, name)
    assert found.start == 1
    values = [full(tiny_model, tokens) for tokens in groups]
    for position in range(1, LENGTHS[1]):
        reach = [v for v, n in zip(values, LENGTHS, strict=True) if position < n]
        expected = torch.cat([v.heads[:, :, :, position] for v in reach], 2).mean(2)
        close(found.replacement.heads[:, :, 0, position - 1], expected)
        close(
            found.replacement.input[0, position - 1], torch.cat([v.input[:, position] for v in reach]).mean(0)
        )


def test_shared_means_are_over_all_positions_but_the_first(tiny_model: Model) -> None:
    found = ablate(tiny_model, "mean", conditioning="shared")
    assert found.replacement.mlps.shape[1:3] == (1, 1)
    values = [full(tiny_model, tokens).mlps[:, :, 1:].flatten(1, 2) for tokens in CLEAN]
    close(found.replacement.mlps[:, 0, 0], torch.cat(values, 1).mean(1))


def test_a_longer_prompt_takes_the_mean_over_all_positions(tiny_model: Model) -> None:
    short = Reference(CLEAN[:1], CORRUPT[:1])
    found = ablate(tiny_model, "mean", reference=short).replacement.mlps
    shared = ablate(tiny_model, "mean", reference=short, conditioning="shared").replacement.mlps
    close(found[:, :, -1:], shared)
    assert (found[:, :, :1] - shared).abs().max() > 0.1


def test_zero_is_zero(tiny_model: Model) -> None:
    found = ablate(tiny_model, "zero").replacement
    assert all(not value.any() for value in (found.input, found.heads, found.mlps))


def test_gaussian_adds_noise_of_the_spread_asked_for_to_the_clean_run(tiny_model: Model) -> None:
    found = ablate(tiny_model, "gaussian", noise="2")
    assert found.start == 1
    clean = full(tiny_model, CLEAN[1])
    values = [full(tiny_model, tokens).heads[:, :, :, 1:].flatten(2, 3) for tokens in CLEAN]
    spread = torch.cat(values, 2).std(2, unbiased=False)
    standard = (found.replacement.heads - clean.heads[:, :, :, 1:]) / spread[:, :, None, None]
    assert float(standard.mean()) == pytest.approx(0, abs=0.1)
    assert float(standard.std()) == pytest.approx(2, rel=0.05)


def test_gaussian_noise_is_decided_by_prompt_and_seed(tiny_model: Model) -> None:
    replace = [
        ablations.get("gaussian").prepare(
            tiny_model.transformer, REFERENCE, parse_settings(ablations.get("gaussian").Settings, {}), seed
        )
        for seed in (0, 0, 1)
    ]
    one, same, other = (each(CLEAN[1], CORRUPT[1]).replacement.mlps for each in replace)
    close(same, one)
    assert (other - one).abs().max() > 0.1
    close(replace[0](CLEAN[1][2:3], CORRUPT[1][2:3]).replacement.mlps, one[:, 2:3])
    nothing = ablate(tiny_model, "gaussian", noise="0").replacement.mlps
    close(nothing, full(tiny_model, CLEAN[1]).mlps[:, :, 1:])


@pytest.mark.parametrize("name", ["zero", "mean", "counterfactual-mean", "optimal"])
def test_constants_leave_the_first_position_alone(tiny_model: Model, name: str) -> None:
    assert ablate(tiny_model, name).start == 1


def test_conditioning_is_told() -> None:
    def told(name: str, **settings: str) -> str:
        ablation = ablations.get(name)
        return ablation.conditioning(parse_settings(ablation.Settings, settings))

    assert told("counterfactual") == told("resample") == "none"
    assert told("mean") == "per position"
    assert told("mean", conditioning="shared") == told("zero") == "shared"


def test_an_unknown_ablation_names_the_nearest() -> None:
    with pytest.raises(
        RequestError, match=r"unknown ablation 'counterfctual': did you mean 'counterfactual'\?"
    ):
        ablations.get("counterfctual")


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"unknown setting 'condition': did you mean 'conditioning'\?"):
        parse_settings(ablations.get("mean").Settings, {"condition": "shared"})
