"""Progress of long work: the function that the work reports to, and that cancels it."""

from collections.abc import Callable

# report(done, total, message): progress goes out through it; it raises `Cancelled` to stop the work.
Report = Callable[[int, int, str], None]


def silent(done: int, total: int, message: str) -> None:
    """Report to nobody."""


def part_of(report: Report, first: int, last: int, whole: int, prefix: str = "") -> Report:
    """Return a report that fills the part from `first` to `last` of what `report` has as `whole`."""

    def part(done: int, total: int, message: str) -> None:
        share = first + (last - first) * done / max(total, 1)
        report(round(1000 * share / whole), 1000, prefix + message)

    return part
