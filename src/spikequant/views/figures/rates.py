"""Firing-rate distributions, layer by layer: float against the telling variants."""

from collections.abc import Mapping, Sequence

import altair as alt

from spikequant.views.figures.style import DASHES, INK, LINES, Drawing, Figure, Row, chart, cycled, svg
from spikequant.views.record import Variant
from spikequant.views.wording import distance

STEPS = 240
WIDTH = 270
HEIGHT = 200


def distributions(telling: Mapping[str, Variant]) -> Figure:
    """For each layer, the share of channels that fire at most at a rate.

    The area between two such curves is the layer's EMD, which makes the number visible.
    """
    first = next(iter(telling.values()))
    names = [layer.name for layer in first.drift.layers]
    panels = [_panel(index, name, telling, legend=index == 0) for index, name in enumerate(names)]
    return Figure(
        key="rates",
        title="How often channels fire, layer by layer",
        caption=(
            "A curve rises by one step for each channel, at that channel's firing rate. The area between a variant's curve and the "
            "float's (broad, pale) is the layer's EMD. A curve that starts high on the left has silent channels; one that lies to the "
            "right fires more; one that still rises at the right edge has channels that fire nearly always."
        ),
        alt="; ".join(
            f"{layer.name}: EMD of {mark} {distance(layer.emd)}" for mark, variant in telling.items() for layer in variant.drift.layers
        ),
        panels=tuple(svg(panel) for panel in panels),
    )


def cumulative(rates: Sequence[float]) -> list[tuple[float, float]]:
    """The corners of the empirical distribution, thinned to what a screen can show.

    >>> cumulative([0.5, 0.0])
    [(0.0, 0.5), (0.5, 1.0)]
    """
    ranked = sorted(rates)
    every = max(1, len(ranked) // STEPS)
    kept = [index for index in range(len(ranked)) if index % every == 0 or index == len(ranked) - 1]
    return [(ranked[index], (index + 1) / len(ranked)) for index in kept]


def _panel(index: int, name: str, telling: Mapping[str, Variant], legend: bool) -> Drawing:
    layers = {mark: variant.drift.layers[index] for mark, variant in telling.items()}
    before = next(iter(layers.values())).reference.rates
    edge = min(1.0, 1.05 * max(*before, *(rate for layer in layers.values() for rate in layer.rates))) or 1.0
    series = ["float", *layers]
    key = alt.Legend(title=None, orient="bottom", symbolSize=400, symbolOpacity=1) if legend else None
    encoding = {
        "x": alt.X("rate:Q", title="firing rate", scale=alt.Scale(domain=[0, edge], nice=False), axis=alt.Axis(format="~%", tickCount=5)),
        "y": alt.Y(
            "share:Q", title="channels at or below" if legend else None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%")
        ),
        "color": alt.Color("series:N", scale=cycled(series, (INK, *LINES)), legend=key),
        "strokeDash": alt.StrokeDash("series:N", scale=cycled(series, ((1, 0), *DASHES)), legend=key),
    }
    float_ = chart(_line("float", before, edge)).mark_line(interpolate="step-after", strokeWidth=6, opacity=0.3)
    lines = [row for mark, layer in layers.items() for row in _line(mark, layer.rates, edge)]
    curves = [float_, chart(lines).mark_line(interpolate="step-after", strokeWidth=2)]
    emds = ", ".join(f"{mark} {distance(layer.emd)}" for mark, layer in layers.items())
    title = alt.Title(name, subtitle=f"EMD {emds}", subtitleColor=INK)
    return alt.layer(*(curve.encode(**encoding) for curve in curves)).properties(width=WIDTH, height=HEIGHT, title=title)


def _line(series: str, rates: Sequence[float], edge: float) -> list[Row]:
    corners = [(0.0, 0.0), *cumulative(rates), (edge, 1.0)]
    return [{"series": series, "rate": rate, "share": share} for rate, share in corners]
