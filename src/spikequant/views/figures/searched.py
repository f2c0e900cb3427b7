"""What a search found: every candidate's accuracy beside its memory, and the front."""

from typing import TYPE_CHECKING

import altair as alt

from spikequant.search import front
from spikequant.views.figures.style import COLORS, INK, SHAPES, Figure, chart, cycled
from spikequant.views.wording import percent, size

if TYPE_CHECKING:
    from spikequant.studies import Exploration

KINDS = ("within the bounds", "outside")


def searched(found: "Exploration") -> Figure:
    """The candidates that were measured to the end, and the line through those that no other beats in accuracy and memory."""
    rows = [
        {"accuracy": each.measures.accuracy, "memory": each.measures.memory_bits / 8192, "kind": KINDS[not each.passed]}
        for each in found.finished
    ]
    kept = front([[1 - each.measures.accuracy, each.measures.memory_bits] for each in found.finished])
    x = alt.X("memory:Q", title="memory (KiB)", scale=alt.Scale(zero=False))
    y = alt.Y("accuracy:Q", axis=alt.Axis(format="~%"), scale=alt.Scale(zero=False))
    line = chart([rows[index] for index in kept]).mark_line(color=INK, opacity=0.45, strokeWidth=1, interpolate="step-after")
    marks = chart(rows).mark_point(size=70, strokeWidth=2)
    color = alt.Color("kind:N", scale=cycled(KINDS, COLORS), legend=alt.Legend(title=None, orient="bottom"))
    shape = alt.Shape("kind:N", scale=cycled(KINDS, SHAPES), legend=alt.Legend(title=None, orient="bottom"))
    drawn = [line.encode(x=x, y=y, order="memory:Q"), marks.encode(x=x, y=y, color=color, shape=shape)]
    base = found.baseline
    return Figure(
        key="searched",
        title="What the search found",
        caption=f"A mark is a candidate; the float network has {percent(base.accuracy)} in {size(base.memory_bits)}.",
        alt="; ".join(f"{e.label}: accuracy {percent(e.measures.accuracy)}, {size(e.measures.memory_bits)}" for e in found.finished),
        drawings=(alt.layer(*drawn).properties(width=360, height=220),),
    )
