import json
from collections.abc import Callable
from typing import Any

from spikequant.views.examination import findings, health

LAYER = {"layer": "lif1", "spec": "uniform 2 bits", "threshold": 1.0, "decay": 0.9, "advice": ["widen it"]}
GRID = {
    "low": -1.0,
    "high": 1.0,
    "codes": 4,
    "zero": False,
    "rest": 0.3,
    "on_threshold": True,
    "fires_from": 1.0,
    "stalled": 2,
    "fires_at": 0.67,
}
USE = {"low": -2.0, "high": 5.0, "below": 0.25, "above": 0.5, "unused": 1}


def test_findings_are_drawn_with_what_to_change() -> None:
    text = findings({"model": "m", "data": "digits", "samples": 16, "layers": [{**LAYER, "grid": GRID, "use": USE}]})
    for part in ("state of m on 16 training samples of digits", "-2 to 5", "25", "50", "1 of 4", "no", "yes", "lif1: widen it"):
        assert part in text


def test_unused_codes_are_named() -> None:
    """Four runs of them, then how many more."""
    for taken, told in [({3}, "4 of 5: 0-2, 4"), ({1, 3, 5, 7, 8, 10}, "6 of 12: 0, 2, 4, 6, and 2 runs more"), (set(range(4)), "0 of 4")]:
        codes = max(taken) + 2 if len(taken) != 4 else 4
        layer = {**LAYER, "grid": {**GRID, "codes": codes}, "use": {**USE, "unused": codes - len(taken)}}
        layer["occupancy"] = [[0.5, float(code in taken), False] for code in range(codes)]
        assert health([layer]).rows[0][-1] == told


def test_without_grid_and_use_cells_stay_empty() -> None:
    text = findings({"model": "m", "data": None, "samples": 0, "layers": [{**LAYER, "grid": None, "use": None, "advice": []}]})
    assert "give --data" in text
    assert text.endswith("nothing to change")


def test_without_grid_nobody_counts_its_codes() -> None:
    text = findings({"model": "m", "data": "digits", "samples": 16, "layers": [{**LAYER, "grid": None, "use": USE}]})
    assert "-2 to 5" in text


def test_the_command(run: Callable[..., Any]) -> None:
    code, out, _ = run("doctor", "digits", "--json")
    assert code == 0
    assert [layer["layer"] for layer in json.loads(out)["layers"]] == ["lif1", "lif2"]
    code, _, err = run("doctor", "--data", "digits")
    assert code == 2
    assert "name the network" in err
