"""Trials that were compared with no reference: accuracy beside memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from spikequant.search import front
from spikequant.views.figures.style import COLORS, INK, SHAPES, Figure, chart, cycled
from spikequant.views.wording import percent, size

WIDTH, HEIGHT = 560, 280


def outcomes(trials: Sequence[Mapping[str, Any]]) -> Figure | None:
    """A mark for each trial, by what its name begins with (a candidate's: ends with); nothing where fewer than two have both measures."""
    rows = [row for trial in trials if (row := _row(trial))]
    if len(rows) < 2:
        return None
    groups = sorted({row["group"] for row in rows})
    kept = front([[1 - row["accuracy"], row["memory"]] for row in rows])
    key = alt.Legend(title=None, orient="bottom", columns=4)
    x = alt.X("memory:Q", title="memory (KiB)", scale=alt.Scale(zero=False, padding=12))
    y = alt.Y("accuracy:Q", axis=alt.Axis(format="~%", tickCount=6), scale=alt.Scale(zero=False, nice=False, padding=8))
    line = chart([rows[index] for index in kept]).mark_line(color=INK, opacity=0.45, strokeWidth=1, interpolate="step-after")
    marks = (
        chart(rows)
        .mark_point(size=70, strokeWidth=2)
        .encode(
            x=x,
            y=y,
            color=alt.Color("group:N", scale=cycled(groups, COLORS), legend=key),
            shape=alt.Shape("group:N", scale=cycled(groups, SHAPES), legend=key),
            tooltip=alt.Tooltip("told:N"),
        )
    )
    return Figure(
        key="outcomes",
        title="Accuracy beside memory",
        caption="A mark is a trial or candidate; the thin line is the front, which none beats in both.",
        alt="; ".join(f"{row['told']['trial']}: accuracy {row['told']['accuracy']}, {row['told']['memory']}" for row in rows),
        drawings=(alt.layer(line.encode(x=x, y=y, order="memory:Q"), marks).properties(width=WIDTH, height=HEIGHT),),
        live=True,
    )


def _row(trial: Mapping[str, Any]) -> dict[str, Any] | None:
    accuracy, bits = (trial["measures"].get(name) for name in ("accuracy", "memory_bits"))
    if accuracy is None or bits is None:
        return None
    name = str(trial["name"])
    told = {"trial": name, "accuracy": percent(accuracy), "memory": size(bits)}
    group = name.split("/")[0] if "/" in name else name.rsplit(", ", 1)[-1]
    return {"group": group, "accuracy": accuracy, "memory": bits / 8192, "told": told}
