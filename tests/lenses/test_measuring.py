"""Measures of lenses against a loop over texts, each cut to its own length."""

from pathlib import Path

import pytest

from engine.experiments import run
from engine.lenses.base import all_places, lenses
from engine.lenses.measuring import measure
from engine.models import Model
from engine.progress import silent
from engine.runs.store import RunStore
from tests.instruments.lens.test_lens_runs import SMALL, Trained, training
from tests.lenses.conftest import random_texts


def test_measures_are_means_over_the_positions_of_each_text(tiny_model: Model):
    t, texts, places = tiny_model.transformer, random_texts(6), all_places(tiny_model.shape, False)
    # Of the text that fills its row the last position has no next token.
    assert sorted(texts.lengths.tolist()) == [1, 2, 3, 4, 5, 6]
    measured = measure(t, {"logit": (lenses.get("logit"), {})}, places, texts, silent)
    for i, n in enumerate(texts.lengths.tolist()):
        tokens = texts.tokens[i : i + 1]
        residual = t.run(tokens).residual
        p, q = (t.unembed(residual[layer][0, 1 : n + 1]).log_softmax(-1) for layer in (-1, 1))
        nexts = tokens[0, 2 : n + 2].tolist()
        cross = [-float(q[j, token]) for j, token in enumerate(nexts)]
        of_model = [-float(p[j, token]) for j, token in enumerate(nexts)]
        kl, cross_entropy, entropy = measured.lenses["logit"][i, 1].tolist()
        assert kl == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), abs=1e-4)
        assert cross_entropy == pytest.approx(sum(cross) / len(cross), abs=1e-4)
        assert entropy == pytest.approx(-float((q.exp() * q).sum(-1).mean()), abs=1e-4)
        assert float(measured.model[i, 0]) == pytest.approx(0, abs=1e-5)
        assert float(measured.model[i, 1]) == pytest.approx(sum(of_model) / len(of_model), abs=1e-4)


def test_what_is_measured_has_no_part_in_what_is_kept(tiny_folder: Path, tmp_path: Path):
    store = RunStore(tmp_path)

    def trained(**settings: int) -> Trained:
        request = training(str(tiny_folder), lens_training=SMALL | settings)
        return store.get(run(request, silent, store))

    one, other, chosen = trained(), trained(held_out=60), trained(validation=90)
    for name in ("tuned.weight", "oca.constants", "linear-oca.weight"):
        assert (one.tensors[name] == other.tensors[name]).all()
    assert one.result.n_texts < other.result.n_texts
    assert one.result.history["oca.kl"] != chosen.result.history["oca.kl"]
    assert one.tensors["kl.logit"].tolist() == chosen.tensors["kl.logit"].tolist()
