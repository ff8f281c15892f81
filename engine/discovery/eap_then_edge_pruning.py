"""EAP, then Edge Pruning that starts from its ranking: two-stage discovery.

Edge Pruning (Bhaskar et al. 2024, 2406.16778) starts with all masks alike. Here their log α start in the
order of EAP's scores by magnitude (Syed et al. 2023, 2310.10348), spread over two units around the start. All
else is Edge Pruning, with its settings. Neither paper has this combination.
"""

from dataclasses import replace
from typing import ClassVar

from engine.discovery import eap, edge_pruning
from engine.discovery.base import Discovery, Method, Problem, methods
from engine.progress import Report, part_of

EAP_SHARE = 5  # per cent of the work, roughly


class Settings(edge_pruning.Settings):
    """Settings of Edge Pruning, but for the warm start, which EAP gives."""

    warm_start: ClassVar[None] = None  # pyright: ignore[reportIncompatibleVariableOverride]


@methods.register("eap-then-edge-pruning")
class EapThenEdgePruning(Method[Settings]):
    """Edge Pruning from a start that EAP ranks."""

    title = "EAP, then Edge Pruning"
    description = "Edge Pruning whose masks start in the order of EAP's scores."
    trains_constants = True

    def discover(self, problem: Problem, settings: Settings, seed: int, report: Report) -> Discovery:
        """Return the log-odds of every edge being kept; see the base class."""
        checkpoint = None if problem.checkpoint is None else problem.checkpoint / "eap"
        first = replace(problem, checkpoint=checkpoint)
        within = part_of(report, 0, EAP_SHARE, 100, "EAP: ")
        ranking = eap.attribute(first, eap.at_clean, settings.batch_size, within).abs()
        within = part_of(report, EAP_SHARE, 100, 100)
        second = replace(problem, warm_start=ranking)
        return edge_pruning.EdgePruning().discover(second, settings, seed, within)
