"""The post-training trials of a study from one float network at hand, whatever trained it: the same procedure, the same measures.

    python results/squat-fmnist/post_training.py FLOAT squat-fmnist "ptq-states s0" "ptq-weights s0" > rows.csv

FLOAT is the folder of a saved network. Each further word is what ``spikequant run --only`` would take. Lines in ``--done rows.csv`` are not
made again. The table is one that ``spikequant claims squat --rows`` reads.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from spikequant.data import Batches
from spikequant.recipes import load
from spikequant.search.rows import read_rows
from spikequant.studies import plan
from spikequant.studies.planning import Trial
from spikequant.studies.procedure import Bench
from spikequant.studies.resolve import cached_data
from spikequant.studies.supervised import quantize_only
from spikequant.training import evaluate

NAMES = ("accuracy", "emd", "emd_low", "emd_high", "emd_floor", "mean_rate", "dead", "saturated", "memory_bits")


def measured(trial: Trial, reference: Path) -> dict[str, float | int | None]:
    """What the study's procedure measures of this trial."""
    with tempfile.TemporaryDirectory() as folder:
        work = quantize_only(trial.setup, Bench(Path(folder), reference, pairing="same"))  # type: ignore[arg-type]
        try:
            while True:
                next(work)
        except StopIteration as end:
            found: dict[str, float | int | None] = end.value
    return found


def chosen(study: str, words: list[str]) -> Iterator[Trial]:
    """The post-training trials that bear any of these groups of tags."""
    for word in words:
        yield from (trial for trial in plan(study, word).trials if trial.procedure == "post_training")


def main() -> None:
    """Write the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("float", type=Path)
    parser.add_argument("study")
    parser.add_argument("only", nargs="+")
    parser.add_argument("--done", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    done = {(row.tags, row.seed) for row in read_rows(given.done.read_text())} if given.done else set()
    out = csv.writer(sys.stdout, lineterminator="\n")
    if not done:
        out.writerow(["tags", "seed", *NAMES])
        data = cached_data("fashion-mnist")
        accuracy = evaluate(load(given.float), Batches(data.test, 256, data.scale))
        out.writerow(["float fmnist short", 0, f"{accuracy:.4f}", *[""] * (len(NAMES) - 1)])
    for trial in chosen(given.study, given.only):
        tags = tuple(tag for tag in trial.tags if tag != f"s{trial.setup.seed}")
        if (frozenset(tags), trial.setup.seed) not in done:
            found = measured(trial, given.float)
            out.writerow([" ".join(sorted(tags)), trial.setup.seed, *(_short(found.get(name)) for name in NAMES)])
            sys.stdout.flush()


def _short(value: float | int | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
