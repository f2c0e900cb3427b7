"""Malformed files and configurations by the million, their outcome appended to a table as it comes."""

import json
import time
from pathlib import Path

from chaos.confined import run
from chaos.targets import KINDS, TARGETS

# Shares of each kind's inputs; the wanted sums are those of docs/reliability.md.
COUNTS = {
    "tensors": 720_000,
    "program": 260_000,
    "model": 20_000,
    "npz": 20_000,
    "npy": 20_000,
    "idx": 10_000,
    "cifar": 10_000,
    "archive": 20_000,
    "hdf5": 10_000,
    "weights": 10_000,
    "recipe": 60_000,
    "session": 20_000,
    "wiring": 12_000,
    "study": 8_000,
}
PIECE = 10_000


def campaign(results: Path, seed: int, names: list[str], share: float = 1.0) -> int:
    """Attack the named targets (all, if none is); the number of inputs that broke the rule."""
    broken = 0
    for name in names or TARGETS:
        count = max(1, int(COUNTS[name] * share))
        for start in range(0, count, PIECE):
            outcome = run(TARGETS[name], seed, start, min(PIECE, count - start))
            line = {
                "target": name,
                "seed": seed,
                "start": start,
                "inputs": min(PIECE, count - start),
                **dict(sorted(outcome.counts.items())),
                "slowest_s": round(outcome.slowest_s, 3),
                "memory_mib": round(outcome.memory / 2**20),
                "seconds": round(outcome.seconds, 1),
                "failures": {str(index): text for index, text in list(outcome.failures.items())[:5]},
                "at": time.strftime("%H:%M:%S"),
            }
            with (results / "fuzz.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            broken += len(outcome.failures)
    return broken


def summary(results: Path) -> str:
    """The table of the campaign, one row a target, from its lines."""
    lines = [json.loads(line) for line in (results / "fuzz.jsonl").read_text().splitlines()]
    rows = [
        "| kind | target | inputs | refused | read as sound | contained | broke the rule | slowest (s) | memory (MiB) |",
        "|" + " --- |" * 9,
    ]
    for kind, targets in KINDS.items():
        for target in targets:
            mine = [line for line in lines if line["target"] == target.name]
            total = {key: sum(line.get(key, 0) for line in mine) for key in ("inputs", "refused", "read", "contained")}
            broken = sum(line.get(key, 0) for line in mine for key in ("undocumented", "died", "slow"))
            worst = [max((line[key] for line in mine), default=0) for key in ("slowest_s", "memory_mib")]
            rows.append(f"| {kind} | {target.name} | {' | '.join(map(str, [*total.values(), broken, *worst]))} |")
    return "\n".join(rows) + "\n"
