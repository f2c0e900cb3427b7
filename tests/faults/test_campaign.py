"""What is on record of the whole campaign is what was asked for."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from chaos.mutants import MUTANTS
from chaos.steps import FAULTS, OPERATIONS
from chaos.targets import KINDS

RECORD = Path(__file__).parents[2] / "results" / "reliability"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RECORD / name).read_text().splitlines()]


def test_kills_are_as_many_as_asked_for_and_nothing_was_lost() -> None:
    kills = Counter[str]()
    for line in lines("kills.jsonl"):
        assert line["broken"] == 0
        kills[line["scene"]] += line["kills"]
    assert kills.pop("postgresql") >= 50
    assert kills.pop("ray") >= 50
    assert kills.keys() == {"one worker", "several workers", "coordinator"}
    assert kills.total() >= 2000


def test_every_fault_met_every_step_of_writing() -> None:
    found = {line["operation"]: line for line in lines("steps.jsonl")}
    assert found.keys() == {name for name, operation in OPERATIONS.items() if operation.earlier is None}
    for line in found.values():
        assert line["broken"] == 0
        assert line["faults"] == len(FAULTS) * line["steps"] == line["killed"] + line["told"] + line.get("survived", 0)


def test_malformed_files_are_as_many_as_asked_for_and_met_documented_errors_alone() -> None:
    kinds = {target.name: kind for kind, targets in KINDS.items() for target in targets}
    inputs = Counter[str]()
    for line in lines("fuzz.jsonl"):
        assert line["failures"] == {}
        inputs[kinds[line["target"]]] += line["inputs"]
    assert inputs["tensor"] >= 1_000_000
    assert inputs["data"] >= 100_000
    assert inputs["configuration"] >= 100_000


def test_every_mutant_was_seen() -> None:
    seen = json.loads((RECORD / "mutants.json").read_text())
    assert seen.keys() == MUTANTS.keys()
    assert all(seen.values())
