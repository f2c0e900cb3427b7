"""The verb that shows how methods stand beside each other, and lets one more in."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spikequant.views.progress import display
from spikequant.views.running import watch
from spikequant.views.tables import Column, Table, Value, text_table
from spikequant.views.trials import SHOWN, UNCERTAIN
from spikequant.views.verbs import FAILED, GOOD, INTERRUPTED, Answer, Debug, Json
from spikequant.views.wording import ABSENT, distance, size

SHOW = SHOWN | {"state_traffic_bits": size, "weight_traffic_bits": size}
MAIN = ("accuracy", "emd", "emd_excess", "timing_emd", "synaptic_operations", "state_traffic_bits", "memory_bits")


def leaderboard(  # noqa: PLR0913 - the options of the command line
    study: Annotated[str, typer.Argument(help="A study with groups 'weights' and 'state': a name, or a TOML file.")] = "baselines-digits",
    method: Annotated[str | None, typer.Option(help="Let your own spec in: package.module:Spec, imported from here.")] = None,
    part: Annotated[Literal["weights", "state"], typer.Option(help="What the method quantizes.")] = "weights",
    out: Annotated[Path, typer.Option(help="Run folder of the method's trials.")] = Path("runs/leaderboard"),
    results: Annotated[Path, typer.Option(help="Folder of text records, one folder a study.")] = Path("results"),
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at a time; one a core if not given.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Show every method on the same network, data, schedule and seeds, from records; with --method, run yours and show it among them."""
    from spikequant import studies
    from spikequant.studies.planning import read_text

    code, name = GOOD, Path(study).stem
    if method is not None:
        plan = studies.joined(study, method, part, out)
        name = plan.study.name
        options = studies.RunOptions(out, workers or os.cpu_count() or 1, methods=(method,))
        with display() as shown:
            end = watch(studies.run(plan, options), shown)
        code = INTERRUPTED if end.interrupted else FAILED if any(trial["state"] != "done" for trial in end.trials) else GOOD
    if not (results / name).is_dir():
        read_text(study)  # says where there is no such study; else its records are missed
    found = studies.standings([results / name, out / "records"], name)
    document = {"version": 1, "study": name, "methods": [_told(standing) for standing in found]}
    table = standings_table(found)
    doubt = ["? our reading of a paper that says too little"] if any(standing.uncertain for standing in found) else []
    return Answer(document, "\n".join([text_table(table), *doubt]), code)


def standings_table(found: Any) -> Table:
    """One line for each method: means, with the half width of the 95 % interval."""
    names = [name for name in MAIN if any(name in standing.values for standing in found)]
    columns = [Column("method", "method", number=False), Column("seeds", "seeds")]
    columns += [Column(name, name.replace("_bits", "").replace("_", " ")) for name in names]
    rows: list[list[Value]] = []
    for standing in found:
        method = standing.method + (UNCERTAIN if standing.uncertain else "")
        rows.append([method, standing.seeds, *(_cell(name, standing.values.get(name)) for name in names)])
    return Table(columns, rows)


def _cell(name: str, estimate: Any) -> str:
    if estimate is None:
        return ABSENT
    show = SHOW.get(name, lambda value: f"{value:.0f}" if abs(value) >= 100 else distance(value))
    if estimate.high is None or estimate.high == estimate.mean:
        return show(estimate.mean)
    return f"{show(estimate.mean)} ± {show(estimate.high - estimate.mean)}"


def _told(standing: Any) -> Mapping[str, Any]:
    values = {name: estimate._asdict() for name, estimate in standing.values.items()}
    return {"method": standing.method, "seeds": standing.seeds, "uncertain": standing.uncertain, "measures": values}
