"""How a network froze: its accuracy, the frozen share and the gradient of every layer, epoch by epoch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from spikequant.views.figures.style import COLORS, DASHES, INK, Figure, Row, chart, cycled
from spikequant.views.wording import percent

WIDTH, HEIGHT = 340, 180
MIXED, HARD = "as it trains", "as if all were frozen"


def freezing(epochs: Sequence[Mapping[str, Any]]) -> Figure:
    """The figure of a training that froze, from its record: one mapping for each epoch, as ``dynamics.json`` holds them."""
    layers = list(epochs[0]["shares"])
    first, last = epochs[0], epochs[-1]
    accuracies = [panel for panel in (_lines(_accuracies(epochs), "accuracy", [MIXED, HARD], ".0%"),) if first["accuracy"] is not None]
    panels = [
        *accuracies,
        _lines(_by_layer(epochs, "shares"), "frozen share", layers, ".0%"),
        _lines(_by_layer(epochs, "gradients"), "norm of the gradient", layers, "~g"),
    ]
    return Figure(
        key="freezing",
        title="How the network froze",
        caption=(
            "Layer after layer, free values become hard ones. Accuracy dips where a layer begins to freeze in earnest, and "
            "recovers as the others adapt; its two curves meet once all is frozen. Behind a layer whose answers are all frozen "
            "no gradient arrives: its norm is zero (the blockade)."
        ),
        alt=f"{len(epochs)} epochs; accuracy {percent(first['accuracy'])} to {percent(last['accuracy'])}, as if frozen "
        f"{percent(first['hard_accuracy'])} to {percent(last['hard_accuracy'])}; layers {', '.join(layers)}",
        drawings=tuple(panels),
    )


def _accuracies(epochs: Iterable[Mapping[str, Any]]) -> list[Row]:
    curves = ((MIXED, "accuracy"), (HARD, "hard_accuracy"))
    return [{"epoch": epoch["epoch"], "series": name, "value": epoch[key]} for epoch in epochs for name, key in curves]


def _by_layer(epochs: Iterable[Mapping[str, Any]], key: str) -> list[Row]:
    return [{"epoch": epoch["epoch"], "series": layer, "value": value} for epoch in epochs for layer, value in epoch[key].items()]


def _lines(rows: Sequence[Row], title: str, series: Sequence[str], form: str) -> alt.Chart:
    legend = alt.Legend(title=None, orient="bottom", columns=3, symbolSize=200)
    drawn: alt.Chart = (
        chart(rows)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(format="d", tickMinStep=1)),
            y=alt.Y("value:Q", title=title, axis=alt.Axis(format=form), scale=alt.Scale(zero=True)),
            color=alt.Color("series:N", scale=cycled(series, (INK, *COLORS)), legend=legend),
            strokeDash=alt.StrokeDash("series:N", scale=cycled(series, DASHES), legend=legend),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
    return drawn
