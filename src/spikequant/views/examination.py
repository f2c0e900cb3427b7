"""The state doctor's findings, drawn."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from spikequant.views.tables import Column, Table, Value, text_table
from spikequant.views.wording import percent

FINDINGS = (
    Column("layer", "layer", number=False),
    Column("spec", "state", number=False),
    Column("zero", "zero", number=False, meaning="whether 0 is a level"),
    Column("on_threshold", "threshold", number=False, meaning="whether the threshold is a level"),
    Column("fires_at", "fires from", meaning="the least membrane that fires once it is rounded"),
    Column("stalled", "stalled", meaning="levels but zero that a step's leak does not move"),
    Column("grid", "grid", number=False, meaning="lowest and highest level"),
    Column("use", "membranes", number=False, meaning="lowest and highest before rounding"),
    Column("below", "clipped below", percent),
    Column("above", "clipped above", percent),
    Column("unused", "unused codes", number=False, meaning="how many never occur, and which, from 0, the lowest level"),
)
RUNS = 4  # of unused codes that are told

CODES = (
    Column("layer", "layer", number=False),
    Column("level", "level", lambda level: f"{level:.4g}"),
    Column("share", "membranes", percent, meaning="share of membranes that take it"),
    Column("stalls", "stalls", number=False, meaning="whether a step's leak does not move it"),
)


def findings(record: Mapping[str, Any]) -> str:
    """The table of layers, and below it what to change."""
    layers = record["layers"]
    table = text_table(health(layers))
    advice = [f"{layer['layer']}: {advice}" for layer in layers for advice in layer["advice"]]
    on = f" on {record['samples']} training samples of {record['data']}" if record["data"] else "; give --data to see how it is used"
    return "\n".join([f"state of {record['model']}{on}", table, *(advice or ["nothing to change"])])


def health(layers: Iterable[Mapping[str, Any]]) -> Table:
    """One line for each layer."""
    return Table(FINDINGS, [_row(layer) for layer in layers])


def codes(layers: Iterable[Mapping[str, Any]]) -> Table:
    """One line for each code of each layer: how many membranes take it, and whether the leak stalls there."""
    return Table(CODES, [[layer["layer"], level, share, _said(stalls)] for layer in layers for level, share, stalls in layer["occupancy"]])


def _row(layer: Mapping[str, Any]) -> list[Value]:
    grid, use = layer["grid"] or {}, layer["use"] or {}
    return [
        layer["layer"],
        layer["spec"],
        _said(grid.get("zero")),
        _said(grid.get("on_threshold")),
        None if grid.get("fires_at") is None else f"{grid['fires_at']:.3g}",
        grid.get("stalled"),
        _extent(grid),
        _extent(use),
        use.get("below"),
        use.get("above"),
        None if use.get("unused") is None or not grid else f"{use['unused']} of {grid['codes']}{_idle(layer)}",
    ]


def _idle(layer: Mapping[str, Any]) -> str:
    """Which codes never occurred, where the record tells each."""
    codes = [code for code, (_, share, _) in enumerate(layer.get("occupancy") or ()) if share == 0]
    runs = [_run([code for _, code in run]) for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    more = [f"and {len(runs) - RUNS} runs more"] if len(runs) > RUNS else []
    return f": {', '.join([*runs[:RUNS], *more])}" if runs else ""


def _run(codes: Sequence[int]) -> str:
    return str(codes[0]) if len(codes) == 1 else f"{codes[0]}-{codes[-1]}"


def _said(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _extent(part: Mapping[str, Any]) -> str | None:
    return f"{part['low']:.3g} to {part['high']:.3g}" if part else None
