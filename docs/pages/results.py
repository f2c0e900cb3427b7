"""A page for each folder under results/: what is written about it, and its records as tables."""

import csv
from pathlib import Path

from spikequant.search import cells, paper_rows, papers
from spikequant.studies import study_rows
from spikequant.views.claims import configurations
from spikequant.views.tables import markdown

RESULTS = Path(__file__).parents[2] / "results"
SAID = "Mean and standard deviation (±) over seeds; `?` marks our reading of a paper that says too little."
MEASURES = ("accuracy", "emd", "emd_floor", "mean_rate", "dead", "memory_bits")


def pages() -> dict[str, str]:
    """A page for each folder that says what it is, and the list of them."""
    folders = sorted(path.parent for path in RESULTS.glob("*/README.md"))
    listed = "\n".join(folder.name for folder in folders)
    index = (
        "# Results\n\nEvery number below is read from a record that is committed under `results/`; nothing is typed by hand. "
        f"What they say to each paper's claims: [papers](../papers.md).\n\n```{{toctree}}\n\n{listed}\n```\n"
    )
    figures = {f"results/{path.parent.name}/{path.name}": path.read_text(encoding="utf-8") for path in RESULTS.glob("*/*.svg")}
    return {f"results/{folder.name}.md": page(folder) for folder in folders} | figures | {"results/index.md": index}


def page(folder: Path) -> str:
    """The words of the folder with its figures, then its tables."""
    words = (folder / "README.md").read_text(encoding="utf-8").strip()
    for figure in sorted(folder.glob("*.svg")):
        words = words.replace(f"]({figure.name})", f"]({folder.name}/{figure.name})")
    parts = [words]
    if any(folder.glob("*.json")) and not any(folder.glob("*.py")):
        parts += [
            "## All configurations",
            SAID,
            of_records(folder),
        ]
    for path in sorted(folder.glob("*.csv")):
        parts += [f"## {path.name}", of_csv(path)]
    return "\n\n".join(parts) + "\n"


def of_records(folder: Path) -> str:
    """The configurations of a study's records, beside the paper's where all tags are the same."""
    paper = next((name for name in papers() if folder.name.startswith(name)), None)
    found = cells(study_rows(folder), MEASURES, paper_rows(paper) if paper else ())
    return wide(markdown(configurations([cell for cell in found if cell.mean is not None], MEASURES)))


def of_csv(path: Path) -> str:
    """A CSV as it is."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    lines = [head, ["---"] * len(head), *([_short(cell) for cell in row] for row in rows)]
    return wide("\n".join("| " + " | ".join(line) + " |" for line in lines))


def wide(table: str) -> str:
    """A table that scrolls by itself, so that the page does not."""
    return f"````{{container}} wide\n\n{table}\n\n````"


def _short(cell: str) -> str:
    try:
        return cell if len(cell) < 9 else f"{float(cell):.5g}"
    except ValueError:
        return cell.replace("|", "\\|")
