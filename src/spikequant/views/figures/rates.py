"""Firing-rate distributions, layer by layer: float against the telling variants."""

from collections.abc import Mapping, Sequence

import altair as alt

from spikequant.behavior import Drift
from spikequant.views.figures.style import DASHES, INK, LINES, SHAPES, Drawing, Figure, Row, chart, cycled
from spikequant.views.wording import distance, percent

STEPS = 240
WIDTH = 270
HEIGHT = 200


def distributions(drifts: Mapping[str, Drift]) -> Figure:
    """For each layer, the share of channels that fire at most at a rate.

    The area between two such curves is the layer's EMD, which makes the number visible.
    """
    first = next(iter(drifts.values()))
    names = [layer.name for layer in first.layers]
    panels = [_panel(index, name, drifts, legend=index == 0) for index, name in enumerate(names)]
    return Figure(
        key="rates",
        title="How often channels fire, layer by layer",
        caption=(
            "A curve rises by one step for each channel, at that channel's firing rate. The area between a variant's curve and the "
            "float's (broad, pale) is the layer's EMD. A curve that starts high on the left has silent channels; one that lies to the "
            "right fires more; one that still rises at the right edge has channels that fire nearly always."
        ),
        alt="; ".join(f"{layer.name}: EMD of {mark} {distance(layer.emd)}" for mark, drift in drifts.items() for layer in drift.layers),
        drawings=tuple(panels),
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


def _panel(index: int, name: str, drifts: Mapping[str, Drift], legend: bool) -> Drawing:
    layers = {mark: drift.layers[index] for mark, drift in drifts.items()}
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


def across(drifts: Mapping[str, Drift]) -> Figure:
    """The mean firing rate of every layer, from the first to the last: the reference and the telling variants."""
    first = next(iter(drifts.values()))
    order = [layer.name for layer in first.layers]
    lines = {"float": [layer.reference.mean_rate for layer in first.layers]}
    lines |= {mark: [layer.mean_rate for layer in drift.layers] for mark, drift in drifts.items()}
    told = {series: ", ".join(map("{} {}".format, order, map(percent, line))) for series, line in lines.items()}
    return Figure(
        key="across",
        title="Mean firing rate across the layers",
        caption="Where a variant leaves the float network's line, that layer and often those after it fire more or less as a whole.",
        alt="; ".join(f"{series}: {rates}" for series, rates in told.items()),
        drawings=(_across(order, lines),),
    )


def _across(order: list[str], lines: Mapping[str, list[float]]) -> Drawing:
    names = list(lines)
    rows = [{"series": name, "layer": layer, "rate": rate} for name, line in lines.items() for layer, rate in zip(order, line, strict=True)]
    key = alt.Legend(title=None, orient="bottom", symbolSize=200, symbolOpacity=1)
    base = chart(rows).encode(
        x=alt.X("layer:N", sort=order, title="layer, from input to output", axis=alt.Axis(labelAngle=-40, labelLimit=120)),
        y=alt.Y("rate:Q", title="mean firing rate", axis=alt.Axis(format="~%", tickCount=5)),
        color=alt.Color("series:N", scale=cycled(names, (INK, *LINES)), legend=key),
    )
    dashes = alt.StrokeDash("series:N", scale=cycled(names, ((1, 0), *DASHES)), legend=key)
    shapes = alt.Shape("series:N", scale=cycled(names, SHAPES), legend=key)
    drawn = [
        base.mark_line(strokeWidth=1.5).encode(strokeDash=dashes),
        base.mark_point(filled=True, size=70, opacity=1).encode(shape=shapes),
    ]
    return alt.layer(*drawn).properties(width=max(320, min(900, 46 * len(order))), height=HEIGHT)


def _line(series: str, rates: Sequence[float], edge: float) -> list[Row]:
    corners = [(0.0, 0.0), *cumulative(rates), (edge, 1.0)]
    return [{"series": series, "rate": rate, "share": share} for rate, share in corners]
