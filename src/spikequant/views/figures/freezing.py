"""How a network froze: its accuracy, the frozen share and the gradient of every layer, epoch by epoch."""

from collections.abc import Iterable, Sequence

import altair as alt

from spikequant.views.figures.style import COLORS, DASHES, INK, Drawing, Figure, Row, chart, cycled
from spikequant.views.record import Epoch, Schedule
from spikequant.views.wording import percent

WIDTH, HEIGHT = 340, 180
MIXED, HARD = "as it trains", "as if all were frozen"


def freezing(name: str, epochs: Sequence[Epoch], schedule: Schedule | None = None, number: int = 1) -> Figure:
    """The figure of a training that froze, of the ``number``-th of a record; panels stand in the order of the caption."""
    layers = list(epochs[0].shares)
    validated = [epoch for epoch in epochs if epoch.accuracy is not None and epoch.hard_accuracy is not None]
    panels = [
        *([_lines(_accuracies(validated), "accuracy", [MIXED, HARD], ".0%")] if validated else []),
        _lines(_by_layer(epochs, "shares"), "frozen share", layers, ".0%"),
        _lines(_by_layer(epochs, "gradients"), "norm of the gradient", layers, "~g"),
    ]
    ends = [] if schedule is None else _ends(epochs, schedule)
    return Figure(
        key=f"freezing{number}",
        title=f"How {name} froze",
        caption=(
            "Layer after layer, or all at once, free values become hard ones. Held-out accuracy, as the network trains and as if all were "
            "frozen: the two meet once all is. Frozen share of each layer. Norm of the gradient that reaches each layer's weights: it is "
            "zero where they are all frozen, and behind a layer whose answers are (the blockade)."
            + (" A dotted rule ends the window in which a layer, or all, froze." if ends else "")
        ),
        alt=f"{len(epochs)} epochs; {_told(validated)}layers {', '.join(layers)}{_told_ends(ends)}",
        drawings=tuple(_ruled(panel, ends) for panel in panels),
    )


def _ends(epochs: Sequence[Epoch], schedule: Schedule) -> list[float]:
    """The epochs at which windows end: layers take turns of one length, or have one together."""
    turns = 1 if schedule.order == "global" else len(epochs[0].shares)
    return [epochs[-1].epoch * (1 - schedule.tail) * (turn + 1) / turns for turn in range(turns)]


def _ruled(panel: alt.Chart, ends: Sequence[float]) -> Drawing:
    if not ends:
        return panel
    rules = chart([{"epoch": end} for end in ends]).mark_rule(color=INK, strokeDash=[2, 3], opacity=0.8)
    return alt.layer(rules.encode(x=alt.X("epoch:Q", title="epoch")), panel)


def _told_ends(ends: Sequence[float]) -> str:
    return f"; windows end after {', '.join(f'{end:.2f}' for end in ends)} epochs" if ends else ""


def _told(validated: Sequence[Epoch]) -> str:
    if not validated:
        return ""
    first, last = validated[0], validated[-1]
    as_is, hard = ([percent(getattr(epoch, key)) for epoch in (first, last)] for key in ("accuracy", "hard_accuracy"))
    return f"accuracy {' to '.join(as_is)}, as if frozen {' to '.join(hard)}; "


def _accuracies(epochs: Iterable[Epoch]) -> list[Row]:
    curves = ((MIXED, "accuracy"), (HARD, "hard_accuracy"))
    return [{"epoch": epoch.epoch, "series": name, "value": getattr(epoch, key)} for epoch in epochs for name, key in curves]


def _by_layer(epochs: Iterable[Epoch], key: str) -> list[Row]:
    return [{"epoch": epoch.epoch, "series": layer, "value": value} for epoch in epochs for layer, value in getattr(epoch, key).items()]


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
