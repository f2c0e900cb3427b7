"""What drift is made of, layer by layer, and how many channels are dead or saturated."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from spikequant.behavior import Drift
from spikequant.views.figures.style import COLORS, INK, SHAPES, Drawing, Figure, chart, cycled
from spikequant.views.record import Record
from spikequant.views.wording import distance, percent

ROW = 19
MOST = 24


def causes(drifts: Mapping[str, Drift]) -> Figure:
    """Each layer's EMD, with the shift that all its channels share and the change of shape that remains."""
    every = [layer for drift in drifts.values() for layer in drift.layers]
    edge = 1.05 * max(max(layer.emd, layer.emd_floor, layer.emd_shape) for layer in every) or 1.0
    return Figure(
        key="causes",
        title="What the drift is made of",
        caption=(
            "A bar is a layer's EMD. The circle is the shift of the mean rate, which another threshold or gain could undo; the diamond is "
            "the EMD that remains once the means are aligned: channels moving apart. The two need not add up. The upright tick is the "
            "sampling floor: a bar that ends left of it shows no drift."
        ),
        alt="; ".join(
            f"{mark} {layer.name}: EMD {distance(layer.emd)}, shift {distance(layer.emd_mean_shift)}, shape {distance(layer.emd_shape)}"
            for mark, drift in drifts.items()
            for layer in drift.layers
        ),
        drawings=tuple(_bars(mark, drift, edge) for mark, drift in drifts.items()),
    )


def _bars(mark: str, drift: Drift, edge: float) -> Drawing:
    layers = drift.layers
    order = [layer.name for layer in layers]
    x = alt.X("emd:Q", title="EMD", scale=alt.Scale(domain=[0, edge], nice=False), axis=alt.Axis(tickCount=4))
    y = alt.Y("layer:N", sort=order, title=None, axis=alt.Axis(labelLimit=140))
    bars = chart([{"layer": layer.name, "emd": layer.emd} for layer in layers])
    floors = chart([{"layer": layer.name, "emd": layer.emd_floor} for layer in layers])
    shifts = chart([{"layer": layer.name, "emd": layer.emd_mean_shift} for layer in layers])
    shapes = chart([{"layer": layer.name, "emd": layer.emd_shape} for layer in layers])
    drawn = [
        bars.mark_bar(height=11, color=COLORS[0], fillOpacity=0.25, stroke=COLORS[0], strokeWidth=1),
        floors.mark_tick(color=INK, thickness=2, height=17),
        shifts.mark_point(shape="circle", filled=True, size=55, color=COLORS[0], opacity=1),
        shapes.mark_point(shape="diamond", filled=True, size=55, color=COLORS[1], opacity=1),
    ]
    height = max(60, ROW * len(order) + 8)
    return alt.layer(*(each.encode(x=x, y=y) for each in drawn)).properties(width=230, height=height, title=f"Variant {mark}")


def shares(record: Record) -> Figure:
    """Dead and saturated shares of every variant, a mark for each layer."""
    watched = record.watched
    ranked = [watched[index] for index in spaced(len(watched), MOST)]
    names = distinct([variant.name for variant, _ in ranked])
    rows = [row for name, (_, drift) in zip(names, ranked, strict=True) for row in _shares(name, drift)]
    layers = [layer.name for layer in ranked[0][1].layers]
    thinned = f" {len(ranked)} of {len(watched)} are drawn, evenly spaced in that order." if len(watched) > len(ranked) else ""
    measures = [name for name in ("dead", "saturated") if any(row[key] for row in rows for key in (name, f"{name}_before"))] or ["dead"]
    panels = [_strip(rows, layers, names, measure, first=measure == measures[0]) for measure in measures]
    absent = [f" No channel of any is {name}." for name in ("dead", "saturated") if name not in measures]
    return Figure(
        key="shares",
        title="Dead and saturated channels",
        caption=(
            "One mark for each layer; the upright ticks show where the same layer of the float network stands. "
            "Variants are ordered by EMD, the most faithful at the top."
            f"{thinned}{''.join(absent)}"
        ),
        alt="; ".join(f"{v.name}: dead {percent(v.dead)}, saturated {percent(v.saturated)}" for v, _ in ranked),
        drawings=(alt.hconcat(*panels, spacing=24).resolve_scale(color="shared", shape="shared"),),
    )


def distinct(names: Sequence[str]) -> list[str]:
    """Names that differ, so that each has a line of its own.

    >>> distinct(["a", "b", "a"])
    ['a', 'b', 'a (2)']
    """
    return [name if name not in names[:index] else f"{name} ({names[:index].count(name) + 1})" for index, name in enumerate(names)]


def spaced(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` places, evenly spaced, the ends among them.

    >>> spaced(3, 9), spaced(9, 3)
    ([0, 1, 2], [0, 4, 8])
    """
    return list(range(count)) if count <= most else [round(index * (count - 1) / (most - 1)) for index in range(most)]


def _shares(name: str, drift: Drift) -> list[dict[str, Any]]:
    return [
        {
            "variant": name,
            "layer": layer.name,
            "dead": layer.dead,
            "saturated": layer.saturated,
            "dead_before": layer.reference.dead,
            "saturated_before": layer.reference.saturated,
        }
        for layer in drift.layers
    ]


def _strip(rows: list[dict[str, Any]], layers: list[str], names: list[str], measure: str, first: bool) -> Drawing:
    edge = max(0.05, *(row[key] for row in rows for key in (measure, f"{measure}_before")))
    x = alt.X(
        f"{measure}:Q",
        title=f"{measure} channels",
        scale=alt.Scale(domain=[0, edge], nice=False, padding=4),
        axis=alt.Axis(format="~%", tickCount=5),
    )
    labels = alt.Axis(labelLimit=440, grid=True) if first else alt.Axis(labels=False, ticks=False, grid=True)
    y = alt.Y("variant:N", sort=names, title=None, axis=labels)
    marks = chart(rows).mark_point(filled=True, size=60, opacity=0.85)
    drawn = marks.encode(
        x=x,
        y=y,
        color=alt.Color("layer:N", scale=cycled(layers, COLORS), legend=alt.Legend(title="layer", orient="bottom")),
        shape=alt.Shape("layer:N", scale=cycled(layers, SHAPES), legend=alt.Legend(title="layer", orient="bottom")),
    )
    before = chart(rows).mark_tick(thickness=1.5, height=14, opacity=0.7)
    ticks = before.encode(x=f"{measure}_before:Q", y=y, color=alt.Color("layer:N", scale=cycled(layers, COLORS)))
    return alt.layer(ticks, drawn).properties(width=250, height=ROW * len(names))
