"""Train the demo model from nothing: `python -m engine.demo.train`.

The corpus is drawn in blocks, each seeded by its number, so that a run that was stopped goes on from its
last checkpoint with the same documents and ends with the same weights.
"""

import argparse
import time
from dataclasses import asdict, dataclass, fields
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from engine.demo.card import write_card
from engine.demo.corpus import CONTEXT, END_ID, Rows, make_rows
from engine.demo.forward import loss_of
from engine.demo.paths import BUILD, SHIPPED
from engine.demo.tokenizer import build_tokenizer
from engine.tensors import seed_globally

# Steps whose documents are drawn together; checkpoints lie between blocks.
BLOCK = 50


@dataclass(frozen=True)
class Recipe:
    """All options that determine the weights.

    The learning rate rises over `warm_up` steps, stays constant, and falls linearly to 0 over the last
    `decay` steps.
    """

    layers: int = 4
    heads: int = 8
    width: int = 256
    steps: int = 4500
    decay: int = 2500
    warm_up: int = 100
    rows: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 0


def rate_at(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step (from 0)."""
    rising = (step + 1) / recipe.warm_up
    falling = (recipe.steps - step) / max(1, recipe.decay)
    return recipe.rate * min(1.0, rising, falling)


def new_model(recipe: Recipe, vocabulary: int) -> GPT2LMHeadModel:
    """Return an untrained GPT-2 of the recipe's shape."""
    seed_globally(recipe.seed)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=CONTEXT,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=END_ID,
        eos_token_id=END_ID,
    )
    return GPT2LMHeadModel(config)


def optimizer_of(model: GPT2LMHeadModel, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW with weight decay on the matrices of the blocks only."""
    decayed = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    chosen = {id(p) for p in decayed}
    others = [p for p in model.parameters() if id(p) not in chosen]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.98))


def block_of_rows(tokenizer: Tokenizer, recipe: Recipe, block: int, device: torch.device) -> Rows:
    """Return the rows of one block of steps."""
    rows = make_rows(tokenizer, BLOCK * recipe.rows, f"corpus-{recipe.seed}-{block}")
    return rows.each(lambda tensor: tensor.to(device))


@dataclass(frozen=True)
class Trained:
    """A model and the seconds of its training, over all calls."""

    model: GPT2LMHeadModel
    seconds: float


def train(recipe: Recipe, build: Path, device: torch.device, blocks: int | None = None) -> Trained:
    """Train the model from the start, or from the checkpoint in `build`.

    Args:
        blocks: number of blocks after which this call stops, as if interrupted; None trains to the end.
    """
    tokenizer = build_tokenizer()
    model = new_model(recipe, len(tokenizer))
    nn.Module.to(model, device)
    optimizer = optimizer_of(model, recipe)
    step, seconds = _resume(build, recipe, model, optimizer, device)
    until = recipe.steps if blocks is None else min(recipe.steps, step + blocks * BLOCK)
    while step < until:
        started = time.monotonic()
        rows = block_of_rows(tokenizer.backend_tokenizer, recipe, step // BLOCK, device)
        loss = torch.zeros((), device=device)
        n_steps = min(BLOCK, recipe.steps - step)
        for index in range(n_steps):
            chosen = slice(index * recipe.rows, (index + 1) * recipe.rows)
            batch = rows.each(itemgetter(chosen))
            loss += _step(model, optimizer, recipe, batch, rate_at(recipe, step))
            step += 1
        seconds += time.monotonic() - started
        print(f"step {step} loss {float(loss) / n_steps:.4f} seconds {seconds:.0f}", flush=True)
        _save(build, recipe, model, optimizer, step, seconds)
    return Trained(model, seconds)


def _step(
    model: GPT2LMHeadModel, optimizer: torch.optim.Optimizer, recipe: Recipe, batch: Rows, rate: float
) -> torch.Tensor:
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast(batch.ids.device.type, dtype=torch.bfloat16):
        loss = loss_of(model, batch)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    return loss.detach()


def _save(
    build: Path,
    recipe: Recipe,
    model: GPT2LMHeadModel,
    optimizer: torch.optim.AdamW,
    step: int,
    seconds: float,
) -> None:
    state = {
        "recipe": asdict(recipe),
        "step": step,
        "seconds": seconds,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    build.mkdir(parents=True, exist_ok=True)
    unfinished = build / "checkpoint.part"
    torch.save(state, unfinished)
    unfinished.replace(build / "checkpoint.pt")


def _resume(
    build: Path, recipe: Recipe, model: GPT2LMHeadModel, optimizer: torch.optim.AdamW, device: torch.device
) -> tuple[int, float]:
    """Load the checkpoint, if there is one, and return its step and the seconds spent until then."""
    path = build / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location=device, weights_only=True)
    if not _goes_on_as(state["recipe"], asdict(recipe), state["step"]):
        raise SystemExit(f"{path} is of another recipe: delete it or give the same options")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["seconds"]


def _goes_on_as(old: dict[str, float], new: dict[str, float], step: int) -> bool:
    """Return whether both recipes are the same up to `step`; the decay may differ if it begins later."""
    length = ("steps", "decay")
    same = all(old[key] == new[key] for key in old if key not in length)
    begins = min(recipe["steps"] - recipe["decay"] for recipe in (old, new))
    return same and (old == new or step <= begins)


def save_model(model: GPT2LMHeadModel, folder: Path) -> None:
    """Write the model in half precision and its tokenizer in Hugging Face form."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in (nn.Module.half(model), build_tokenizer()):
        cast("Any", part).save_pretrained(folder)


def main() -> None:
    """Command line of `python -m engine.demo.train`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--build", type=Path, default=BUILD, help="where checkpoints lie")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the model goes")
    for field in fields(Recipe):
        flag = f"--{field.name.replace('_', '-')}"
        kind = cast("type[Any]", type(field.default))
        parser.add_argument(flag, type=kind, default=field.default)
    options = vars(parser.parse_args())
    device, build, out = torch.device(options.pop("device")), options.pop("build"), options.pop("out")
    recipe = Recipe(**options)
    trained = train(recipe, build, device)
    save_model(trained.model, out)
    write_card(out, asdict(recipe), trained.seconds, device.type)


if __name__ == "__main__":
    main()
