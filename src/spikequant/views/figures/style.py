"""How every figure looks. Ink is ``currentColor``: one drawing serves light, dark and paper.

Color is never the only carrier: marks differ in shape, lines in dash, and telling variants bear a letter.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
from markupsafe import Markup

INK = "currentColor"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito, without the yellow that white swallows
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
DASHES = ((1, 0), (6, 3), (2, 2))
LINES = (COLORS[0], COLORS[1], COLORS[2])

Row = Mapping[str, Any]
Drawing = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart


@dataclass(frozen=True)
class Figure:
    """A drawing of one or several panels, what to see in it, and what it says to those who cannot see it."""

    key: str
    title: str
    caption: str
    alt: str
    panels: tuple[Markup, ...]


def chart(rows: Sequence[Row]) -> alt.Chart:
    """A chart of rows, which are embedded."""
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def cycled(domain: Sequence[str], values: Sequence[Any]) -> alt.Scale:
    """A scale that gives each name of ``domain`` its value, beginning again when they run out."""
    return alt.Scale(domain=list(domain), range=[values[index % len(values)] for index in range(len(domain))])


def svg(drawing: Drawing) -> Markup:
    """A chart as SVG for embedding: no address in it, no style of its own; Vega escapes all text."""
    dressed = drawing.configure(aria=False, background="transparent", font="Arial", padding=4)
    dressed = dressed.configure_view(stroke=None).configure_title(color=INK, fontSize=13, anchor="start", fontWeight="bold", offset=8)
    dressed = dressed.configure_axis(
        labelColor=INK,
        titleColor=INK,
        domainColor=INK,
        tickColor=INK,
        gridColor=INK,
        gridOpacity=0.12,
        domainOpacity=0.5,
        tickOpacity=0.5,
        labelFontSize=11,
        titleFontSize=12,
        titleFontWeight="normal",
        titlePadding=8,
    )
    dressed = dressed.configure_legend(
        labelColor=INK, titleColor=INK, labelFontSize=12, labelLimit=300, symbolSize=80, symbolStrokeWidth=2, columnPadding=24
    )
    drawn = io.StringIO()
    dressed.save(drawn, format="svg")
    text = drawn.getvalue()
    for address in (' xmlns="http://www.w3.org/2000/svg"', ' xmlns:xlink="http://www.w3.org/1999/xlink"'):
        text = text.replace(address, "")
    return Markup(text)
