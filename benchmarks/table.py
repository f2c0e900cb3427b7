"""Write benchmarks/README.md: one row for every comparison in benchmarks/results, and on what it was measured."""

import json
from pathlib import Path
from typing import Any

from spikequant.files import write

FOLDER = Path(__file__).parent
HEAD = """# Figures

`make bench BENCH=--save` runs every script and keeps its document in `results/`; `python benchmarks/table.py` writes this page from them.
A ratio is the peer's time over ours within a round: the median, and the worst and best round. Loads well above 0 mean that the
machine was shared, so that times, and ratios less so, are too large. `docs/decisions/0010` to `0012`, `0039`, `0054`
and `0076` to `0079` explain what was missed.
"""
COLUMNS = ("work", "ours", "peer", "ratio", "worst to best", "rounds", "aim", "ours ms", "peer ms", "ours MB", "peer MB", "note")


def section(document: dict[str, Any]) -> str:
    """One script's results."""
    found = document["environment"]
    cores = f"{found['threads']} of {found['cores']} cores, load {found['load']}"
    processor = f"{found['cpu']}, {found['tier']}, {cores}"
    where = f"{found['gpu']}, beside {processor}" if "gpu" in found else processor
    tree = f"commit {found['commit'][:10]}{' with uncommitted changes' if found['changed'] else ''}"
    copy = None if "gpu" in found else document["copy_gb_per_second"]  # a GPU's own copy has rows
    lines = [f"## {document['benchmark']}", "", f"{where}, torch {found['versions']['torch']}, kernels {found['kernels']}, {tree}."]
    lines += [f"Copy: {copy['median']:.1f} GB/s in the median."] if copy else []
    lines += ["", row(COLUMNS), row(["---"] * len(COLUMNS)), *(row(cells(each)) for each in document["rows"])]
    return "\n".join([*lines, *(f"\nAbsent: {name} ({why})." for name, why in document["absent"].items())])


def cells(measured: dict[str, Any]) -> list[str]:
    """The cells of one comparison."""
    span = f"{measured['worst']:.3g} to {measured['best']:.3g}"
    times = [f"{measured[key]:.3g}" for key in ("ours_ms", "peer_ms")]
    memory = ["" if measured.get(key) is None else f"{measured[key]:.0f}" for key in ("ours_mb", "peer_mb")]
    names = [measured["work"], measured["ours"], measured["peer"]]
    return [*names, f"**{measured['ratio']:.3g}**", span, str(measured["rounds"]), measured["aim"], *times, *memory, measured["note"]]


def row(texts: list[str] | tuple[str, ...]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"


def page(folder: Path) -> str:
    """The whole page."""
    return "\n\n".join([HEAD.strip(), *(section(json.loads(path.read_text())) for path in sorted(folder.glob("*.json")))]) + "\n"


if __name__ == "__main__":
    write(FOLDER / "README.md", page(FOLDER / "results"))
