"""Progress of long work: `report` functions, which may also cancel the work."""

from collections.abc import Callable

# report(done, total, message): progress goes out through it; it raises `Cancelled` to stop the work.
Report = Callable[[int, int, str], None]


def silent(done: int, total: int, message: str) -> None:
    """Ignore a report."""


def part_of(report: Report, first: int, last: int, whole: int, prefix: str = "") -> Report:
    """Return a report function that covers the part from `first` to `last`, out of `whole`, of `report`."""

    def part(done: int, total: int, message: str) -> None:
        share = first + (last - first) * done / max(total, 1)
        report(round(1000 * share / whole), 1000, prefix + message)

    return part
