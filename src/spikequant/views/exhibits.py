"""Which tables and figures of the papers a study covers, by their ids."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from spikequant.views.tables import Column, Table, text_table
from spikequant.views.verbs import Answer

if TYPE_CHECKING:
    from spikequant.studies.planning import Plan, Trial

COLUMNS = (
    Column("id", "id", number=False),
    Column("trials", "trials"),
    Column("rows", "rows of the paper", number=False),
    Column("where", "in the run folder", number=False),
    Column("what", "what it shows", number=False),
)


def exhibits() -> dict[str, dict[str, Any]]:
    """Every table and figure of the four papers that shows results, by its id.

    >>> exhibits()["beyond-accuracy/figure4"]["where"]
    'figures/trends'
    """
    text = (resources.files("spikequant.views") / "templates" / "exhibits.toml").read_text("utf-8")
    return {str(each["id"]): each for each in tomllib.loads(text)["exhibits"]}


def covered(plan: "Plan") -> Answer:
    """The exhibits of the paper by whose name the study's begins: how many trials make each, how many of the paper's rows they fill."""
    found = [_coverage(each, plan) for each in exhibits().values() if plan.study.name.startswith(each["paper"])]
    document = {"version": 1, "study": plan.study.name, "exhibits": found}
    if not found:
        return Answer(document, f"study {plan.study.name} is of no paper: the names of those that are begin with that of the paper")
    table = Table(COLUMNS, [[_told(each)[column.key] for column in COLUMNS] for each in found])
    made, printed, filled = (sum(each[name] > 0 for each in found) for name in ("trials", "printed", "filled"))
    told = f"{made} of {len(found)} can be made from this study's trials; these fill rows of the paper in {filled} of {printed}"
    return Answer(document, f"{text_table(table)}\n{told}")


def _coverage(exhibit: Mapping[str, Any], plan: "Plan") -> dict[str, Any]:
    from spikequant.search import paper_rows

    measures = set(exhibit["measures"])
    trials = [trial for trial in plan.trials if _shown(exhibit, frozenset(trial.tags)) and measures <= set(trial.setup.measures)]
    printed = [row for row in paper_rows(exhibit["paper"]) if _shown(exhibit, row.tags)]
    tags = {_unseeded(trial) for trial in trials}
    filled = sum(row.tags in tags for row in printed)
    return {**exhibit, "trials": len(trials), "printed": len(printed), "filled": filled}


def _shown(exhibit: Mapping[str, Any], tags: frozenset[str]) -> bool:
    return any(set(text.split()) <= tags for text in exhibit["tags"])


def _told(exhibit: Mapping[str, Any]) -> dict[str, Any]:
    rows = f"{exhibit['filled']} of {exhibit['printed']}" if exhibit["printed"] else None
    return {**exhibit, "rows": rows, "where": exhibit["where"] if exhibit["trials"] else None}


def _unseeded(trial: "Trial") -> frozenset[str]:
    return frozenset(trial.tags) - {f"s{trial.setup.seed}"}
