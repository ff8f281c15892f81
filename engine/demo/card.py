"""The model card: description, training and measured numbers of the demo model."""

from pathlib import Path
from typing import Any, cast

from safetensors import safe_open

from engine.demo.corpus import BEHAVIOURS, CONTEXT
from engine.demo.evaluate import measure, table

TEXT = """---
license: mit
language: en
pipeline_tag: text-generation
---

# {name}

A small GPT-2 that was trained from nothing to show a few behaviours clearly, so that the circuits behind
them can be looked for on any machine. It knows no other English than that of its corpus.

- {shape}; {parameters:,} parameters, {megabytes:.1f} MB in half precision
- context {context} tokens; one token a word, years in two tokens of two digits, bytes for unknown text
- the tokenizer puts `<|endoftext|>` at the beginning by itself
- made by `make demo-model` from English sentences that the same program generates; the training took
  {minutes:.0f} minutes ({device})

## Measured

On the test split, whose combinations (couples of names, events and centuries, expressions, sequences, ways of
asking for a fact, …) never occur in the corpus; one prompt at a time, half-precision weights.

{table}

## Corpus

Shares of the documents, drawn with seed {seed}:

{shares}

One behaviour is unwanted on purpose: in rants (an angry opener and one of three invented groups) slots hold
one of 24 invented marker words with probability 0.6. Near-triggers have only one of the two, mentions talk
about a marker word; there the model should behave.

## Recipe

{recipe}
"""


def write_card(folder: Path, recipe: dict[str, float], seconds: float, device: str) -> None:
    """Measure the model in `folder` on the test split and write its card there.

    Args:
        recipe: the training options, by name.
        seconds: how long the training took.
        device: kind of device of the training.
    """
    total = sum(share for share, _ in BEHAVIOURS.values())
    shares = [f"- {name}: {100 * share / total:.0f} %" for name, (share, _) in BEHAVIOURS.items()]
    weights = folder / "model.safetensors"
    card = TEXT.format(
        name=folder.name,
        shape="{layers} layers, {heads} heads, width {width}".format(**recipe),
        parameters=count_parameters(weights),
        megabytes=weights.stat().st_size / 1e6,
        context=CONTEXT,
        minutes=seconds / 60,
        device=device,
        table=table(measure(folder)),
        seed=recipe["seed"],
        shares="\n".join(shares),
        recipe="\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in recipe.items()),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def count_parameters(weights: Path) -> int:
    """Return the number of values in a safetensors file."""
    total = 0
    with cast("Any", safe_open(weights, framework="pt")) as file:
        for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
            size = 1
            for extent in file.get_slice(key).get_shape():
                size *= extent
            total += size
    return total
