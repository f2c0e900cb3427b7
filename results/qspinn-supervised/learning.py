"""Held-out accuracy during training (Fig. 11's second half): of a run's trials into learning.csv, and from it a table of means over seeds.

python results/qspinn-supervised/learning.py runs/qspinn-supervised   # the folder of the run; without one, the table alone
"""

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

HERE = Path(__file__).parent
EPOCHS = range(1, 11)


def main() -> None:
    """Collect, if a run is named; then print."""
    if len(sys.argv) > 1:
        collect(Path(sys.argv[1]))
    courses = defaultdict(list)
    with (HERE / "learning.csv").open() as file:
        for row in csv.DictReader(file):
            courses[row["trial"].rsplit("/", 1)[0]].append([float(row[str(epoch)]) for epoch in EPOCHS])
    print(f"| epoch | seeds | {' | '.join(map(str, EPOCHS))} |\n|---|---|{'---|' * len(EPOCHS)}")
    for name, courses_of_seeds in courses.items():
        cells = (f"{100 * mean(values):.0f}" for values in zip(*courses_of_seeds, strict=True))
        print(f"| {name} | {len(courses_of_seeds)} | {' | '.join(cells)} |")


def collect(run: Path) -> None:
    """Add the courses of a run's trials to those that are there."""
    table, rows = HERE / "learning.csv", {}
    if table.is_file():
        with table.open() as file:
            rows = {row["trial"]: row for row in csv.DictReader(file)}
    for course in run.glob("trials/*/learning.json"):
        name = course.parent.name.rpartition("-")[0].replace("_", "/")
        found = json.loads(course.read_text())
        if len(found) < len(EPOCHS):
            continue  # it is being trained
        rows[name] = {"trial": name} | {str(each["epoch"]): f"{each['validation_accuracy']:.4f}" for each in found}
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["trial", *map(str, EPOCHS)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[name] for name in sorted(rows))


if __name__ == "__main__":
    main()
