"""The firing rates of a network that accuracy and memory miss, beside those of the float network and of the network that hides it.

python results/behavior-search/picture.py SEED    # from rates-sSEED.csv beside this file; writes missed-sSEED.svg
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import altair as alt

from spikequant.views.figures.style import DASHES, INK, LINES, Drawing, Figure, chart, cycled, svg_on_paper

HERE = Path(__file__).parent
SERIES = {("", "float"): "float", ("missed", "found"): "found by accuracy and memory", ("missed", "rival"): "missed by them"}


def main(seed: str) -> None:
    """Draw one seed."""
    with (HERE / f"rates-s{seed}.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["least"], row["role"]) in SERIES]
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    panels = tuple(panel(layer, [row for row in rows if row["layer"] == layer], layer == layers[0]) for layer in layers)
    (HERE / f"missed-s{seed}.svg").write_text(svg_on_paper(Figure("missed", "", "", "", panels)))


def panel(layer: str, rows: Sequence[dict[str, str]], legend: bool) -> Drawing:
    """The share of a layer's channels that fire at most at a rate, a line for each network."""
    points = [
        {"series": SERIES[row["least"], row["role"]], "share": float(share), "rate": float(rate)}
        for row in rows
        for share, rate in row.items()
        if share not in ("least", "role", "layer")
    ]
    names = list(SERIES.values())
    key = alt.Legend(title=None, orient="bottom", direction="vertical", symbolSize=400) if legend else None
    return (
        chart(points)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("rate:Q", title="firing rate", scale=alt.Scale(zero=True), axis=alt.Axis(format="~%", tickCount=5)),
            y=alt.Y("share:Q", title="channels at or below" if legend else None, axis=alt.Axis(format=".0%")),
            order="share:Q",
            color=alt.Color("series:N", scale=cycled(names, (INK, *LINES)), legend=key),
            strokeDash=alt.StrokeDash("series:N", scale=cycled(names, ((1, 0), *DASHES[1:])), legend=key),
        )
        .properties(width=260, height=190, title=layer)
    )


if __name__ == "__main__":
    main(sys.argv[1])
