"""The result of importance."""

from engine.instruments.importance.request import Importance
from engine.runs.record import Estimate, MeasuredResult


class ImportanceResult(MeasuredResult):
    """Every node ablated alone; arrays "kl", "answer", "wrong_answer" [n_nodes, n_prompts], and
    "constants.<input|heads|mlps>" if they were trained.

    Attributes:
        nodes: by node, the loss in "kl" (nats) and in the task's metric, and the direct effects on the
            logits of "answer" and "wrong_answer".
    """

    nodes: dict[str, dict[str, Estimate]]

    def misfit(self, request: Importance) -> str | None:
        """Return the first inconsistency; see the base class."""
        needed = {"kl", self.metric, "answer", "wrong_answer"}
        for node, values in self.nodes.items():
            if missing := needed - values.keys():
                return f"node '{node}' has no '{min(missing)}'"
        return None
