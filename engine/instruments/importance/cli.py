"""circuit-explorer importance: what is lost when each node alone is ablated."""

from engine.instruments.base import CarryOut
from engine.instruments.command import Fields, Json, RunsDir, SettingsOption, options_of, split_settings
from engine.instruments.importance.request import Importance
from engine.instruments.terminal import print_json
from engine.runs.kinds import make_request
from engine.runs.store import RunStore


@options_of("fields", Importance, "model task ablation seed split n_prompts bos dtype")
def importance(
    carry_out: CarryOut,
    fields: Fields,
    settings: SettingsOption = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Ablate every head and MLP alone: the KL from the full model, and its direct effect on the answer."""
    of_ablation = split_settings(settings or [], methods=False)[1]
    asked = make_request("importance", **fields, ablation_settings=of_ablation)
    run = carry_out(asked, RunStore(runs_dir))
    if json:
        about = {"run_id": run.run_id, "folder": str(run.folder), "conditioning": run.result.conditioning}
        nodes = {
            node: {name: estimate.model_dump() for name, estimate in estimates.items()}
            for node, estimates in run.result.nodes.items()
        }
        print_json(about | {"nodes": nodes, "seconds": run.result.timings.seconds})
        return
    print(f"{'run':12}{run.folder}\n{'node':12}KL (nats)   95 %")
    for node, estimates in sorted(run.result.nodes.items(), key=lambda item: -item[1]["kl"].mean):
        low, high = (float("nan") if bound is None else bound for bound in estimates["kl"].ci95)
        print(f"{node:12}{estimates['kl'].mean:<12.4g}[{low:.4g}, {high:.4g}]")
