"""Shapes of the arrays of lens runs, for the check of run folders; without torch."""

from collections.abc import Iterable

TOP = 10  # predictions kept of a reading
INTEGERS = ("top_ids.", "rank.", "next_rank.")  # beginnings of names of arrays that hold whole numbers
Shapes = dict[str, tuple[int, ...]]


def shapes_of_training(lenses: Iterable[str], n_texts: int, n_places: int) -> Shapes:
    """Return the shapes of the arrays of trained lenses that pages read; parameters are checked on use."""
    return {f"kl.{name}": (n_texts, n_places) for name in lenses}


def shapes_of_reading(lenses: list[str], n_rows: int, n_tokens: int, n_raced: int) -> Shapes:
    """Return the shapes of the arrays of a text read by lenses; see `engine.lenses.reading`."""
    rows, n = (n_rows, n_tokens), len(lenses)
    each = {
        **dict.fromkeys(("kl", "entropy", "rank", "next_rank", "cross_entropy"), rows),
        **dict.fromkeys(("top_ids", "top_p"), (*rows, TOP)),
        "raced": (*rows, n_raced),
        **dict.fromkeys(("step_kl", "step_js"), (n_rows - 1, n_tokens)),
    }
    shapes = {f"{key}.{name}": shape for name in lenses for key, shape in each.items()}
    return shapes | dict.fromkeys(("lens_kl", "lens_js"), (n, n, *rows))
