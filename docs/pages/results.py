"""A page for each folder under results/: what is written about it, and its records as tables."""

import csv
import functools
import json
from collections.abc import Mapping
from pathlib import Path

from spikequant.search import cells, paper_rows, papers, with_gains
from spikequant.studies import study_rows
from spikequant.views.claims import configurations
from spikequant.views.figures import Figure
from spikequant.views.figures.style import svg_on_paper
from spikequant.views.record import parse
from spikequant.views.report import section
from spikequant.views.study import study_documents
from spikequant.views.tables import markdown

RESULTS = Path(__file__).parents[2] / "results"
SAID = "Mean and standard deviation (±) over seeds; `?` marks our reading of a paper that says too little."
ALT = 2000  # characters
RECORD = "[0-9a-f]" * 16 + ".json"
MEASURES = ("accuracy", "gain", "emd", "emd_floor", "mean_rate", "dead", "memory_bits")


def pages() -> dict[str, str]:
    """A page for each folder that says what it is, and the list of them."""
    folders = sorted(path.parent for path in RESULTS.glob("*/README.md"))
    listed = "\n".join(folder.name for folder in folders)
    index = (
        "# Results\n\nEvery number below is read from a record that is committed under `results/`; nothing is typed by hand. "
        f"What they say to each paper's claims: [papers](../papers.md).\n\n```{{toctree}}\n\n{listed}\n```\n"
    )
    figures = {f"results/{path.parent.name}/{path.name}": path.read_text(encoding="utf-8") for path in RESULTS.glob("*/*.svg")}
    drawn = {folder: of_report(folder) for folder in folders if has_records(folder)}
    for folder, shown in drawn.items():
        figures |= {f"results/{folder.name}/{name}.svg": drawing for name, (_, drawing) in shown.items()}
    return {f"results/{folder.name}.md": page(folder, drawn.get(folder, {})) for folder in folders} | figures | {"results/index.md": index}


Shown = Mapping[str, tuple[Figure, str]]
"""The figures of a report by the names of their files, each with its drawing."""


def has_records(folder: Path) -> bool:
    """Whether a folder holds the finished trials of a study."""
    return any(folder.glob(RECORD)) and not any(folder.glob("*.py"))


@functools.cache
def of_report(folder: Path) -> Shown:
    """The figures that the study's report draws from its text records, in ink for light and dark pages."""
    sections = [section(parse(document), number) for number, document in enumerate(study_documents(folder))]
    found = {f"{name}{each['suffix']}": figure for each in sections for name, figure in each["figures"].items()}
    return {name: (figure, svg_on_paper(figure)) for name, figure in found.items()}


def page(folder: Path, shown: Shown | None = None) -> str:
    """The words of the folder with its figures, then those of its report, then its tables."""
    words = (folder / "README.md").read_text(encoding="utf-8").strip()
    for figure in sorted(folder.glob("*.svg")):
        words = words.replace(f"]({figure.name})", f"]({folder.name}/{figure.name})")
    parts = [words]
    if shown:
        parts += ["## What the report shows", f"`spikequant report results/{folder.name}` draws it, to be pointed at, sorted and filtered."]
        parts += [_figure(folder, name, figure) for name, (figure, _) in shown.items()]
    if has_records(folder):
        parts += ["## All configurations", SAID, of_records(folder)]
    for path in sorted(folder.glob("*.csv")):
        parts += [f"## {path.name}", of_csv(path)]
    for path in sorted(folder.glob("*.jsonl")):
        parts += [f"## {path.name}", of_lines(path)]
    return "\n\n".join(parts) + "\n"


def of_records(folder: Path) -> str:
    """The configurations of a study's records, beside the paper's where all tags are the same."""
    paper = next((name for name in papers() if folder.name.startswith(name)), None)
    rows = study_rows(folder)
    found = cells(with_gains(paper, rows) if paper else rows, MEASURES, paper_rows(paper) if paper else ())
    return wide(markdown(configurations([cell for cell in found if cell.mean is not None], MEASURES)))


def of_csv(path: Path) -> str:
    """A CSV as it is."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    return _sheet(head, rows)


def of_lines(path: Path) -> str:
    """Lines of JSON, each with its own fields: a column for each field that some line has."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    head = list(dict.fromkeys(name for line in lines for name in line))
    return _sheet(head, [[str(line.get(name, "")) for name in head] for line in lines])


def _sheet(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_short(cell) for cell in row] for row in rows)]
    return wide("\n".join("| " + " | ".join(line) + " |" for line in lines))


def _figure(folder: Path, name: str, figure: Figure) -> str:
    """A figure on the paper that it is drawn for, its text alternative cut to what a screen reader bears."""
    told = figure.alt if len(figure.alt) < ALT else f"{figure.alt[:ALT]}…"
    told = told.replace("\n", " ")
    return f"```{{figure}} {folder.name}/{name}.svg\n:class: paper\n:alt: {figure.title}. {told}\n\n{figure.title}. {figure.caption}\n```"


def wide(table: str) -> str:
    """A table that scrolls by itself, so that the page does not."""
    return f"````{{container}} wide\n\n{table}\n\n````"


def _short(cell: str) -> str:
    try:
        return cell if len(cell) < 9 else f"{float(cell):.5g}"
    except ValueError:
        return cell.replace("|", "\\|")
