"""How every figure looks. Ink is ``currentColor``: one drawing serves light, dark and paper.

Color is never the only carrier: marks differ in shape, lines in dash, and telling variants bear a letter.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

INK = "currentColor"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito, without the yellow that white swallows
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
DASHES = ((1, 0), (6, 3), (2, 2))
LINES = (COLORS[0], COLORS[1], COLORS[2])
COLUMNS = 3

Row = Mapping[str, Any]
Drawing = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.ConcatChart


@dataclass(frozen=True)
class Figure:
    """One or several drawings, what to see in them, and what they say to those who cannot see them.

    ``live``: where there is JavaScript, pointing at a mark tells what it is.
    """

    key: str
    title: str
    caption: str
    alt: str
    drawings: tuple[Drawing, ...]
    live: bool = False

    @cached_property
    def panels(self) -> tuple[Markup, ...]:
        """The drawings as SVG for embedding."""
        return tuple(svg(drawing) for drawing in self.drawings)

    @property
    def specs(self) -> list[str]:
        """The drawings as Vega-Lite, for a page that draws them itself; nothing where none is live."""
        return [json.dumps(dressed(drawing).to_dict(validate=False)) for drawing in self.drawings] if self.live else []


def chart(rows: Sequence[Row]) -> alt.Chart:
    """A chart of rows, which are embedded."""
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def cycled(domain: Sequence[str], values: Sequence[Any]) -> alt.Scale:
    """A scale that gives each name of ``domain`` its value, beginning again when they run out."""
    return alt.Scale(domain=list(domain), range=[values[index % len(values)] for index in range(len(domain))])


def dressed(drawing: Drawing) -> Drawing:
    """A drawing in the look of the report."""
    drawing = drawing.configure(aria=False, background="transparent", font="Arial", padding=4)
    drawing = drawing.configure_view(stroke=None).configure_title(color=INK, fontSize=13, anchor="start", fontWeight="bold", offset=8)
    drawing = drawing.configure_axis(
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
    ready: Drawing = drawing.configure_legend(
        labelColor=INK, titleColor=INK, labelFontSize=12, labelLimit=300, symbolSize=80, symbolStrokeWidth=2, columnPadding=24
    )
    return ready


def svg(drawing: Drawing) -> Markup:
    """A drawing as SVG for embedding: no address in it, no style of its own; Vega escapes all text."""
    drawn = io.StringIO()
    dressed(drawing).save(drawn, format="svg")
    text = drawn.getvalue()
    for address in (' xmlns="http://www.w3.org/2000/svg"', ' xmlns:xlink="http://www.w3.org/1999/xlink"'):
        text = text.replace(address, "")
    return Markup(text)


def on_paper(figure: Figure) -> tuple[str, bytes]:
    """The whole figure in black ink, as SVG and as PDF, for a paper."""
    spec = _joined(figure)
    return vl_convert.vegalite_to_svg(spec), vl_convert.vegalite_to_pdf(spec)


def svg_on_paper(figure: Figure) -> str:
    """The first of ``on_paper`` alone."""
    drawn: str = vl_convert.vegalite_to_svg(_joined(figure))
    return drawn


def _joined(figure: Figure) -> str:
    joined: Drawing = figure.drawings[0]
    if len(figure.drawings) > 1:
        joined = alt.concat(*figure.drawings, columns=2 if len(figure.drawings) == 4 else COLUMNS)
        joined = joined.resolve_scale(color="independent", shape="independent", strokeDash="independent")
    return json.dumps(dressed(joined).to_dict(validate=False)).replace(f'"{INK}"', '"black"')
