"""The trials of a study or the candidates of a search as a table."""

from collections.abc import Iterable, Mapping
from typing import Any

from spikequant.views.tables import Column, Table, Value
from spikequant.views.wording import distance, percent, size

SHOWN = {
    "accuracy": percent,
    "mean_rate": percent,
    "dead": percent,
    "silent": percent,
    "saturated": percent,
    "agreement": percent,
    "memory_bits": size,
    "weight_bits": size,
    "state_bits": size,
    "qspinn_bits": size,
}
UNCERTAIN = " ?"  # our reading of a paper that says too little
MAIN = ("accuracy", "emd", "emd_floor", "training_floor", "mean_rate", "dead", "saturated", "memory_bits")


def trials_table(trials: Iterable[Mapping[str, Any]], every: bool = False) -> Table:
    """The trials as a table: the main measures, or every one; ``?`` marks our readings of papers that say too little."""
    rows = list(trials)
    measured = dict.fromkeys(name for trial in rows for name in trial["measures"])
    names = [*measured] if every else [name for name in MAIN if name in measured] or [*measured]
    columns = [Column("name", "trial", number=False), Column("state", "state", number=False)]
    columns += [Column("key", "key", number=False)] if every else []
    columns += [Column(name, name.replace("_bits", "").replace("_", " "), SHOWN.get(name, _number)) for name in names]
    cells: list[list[Value]] = []
    for trial in rows:
        name = trial["name"] + (UNCERTAIN if trial.get("uncertain") else "")
        cells.append([name, trial["state"], *([trial["key"]] if every else []), *(trial["measures"].get(name) for name in names)])
    return Table(columns, cells)


def _number(value: float | None) -> str:
    return str(value) if isinstance(value, int) else distance(value)
