"""Which codes of their grids membranes take, and which of them the leak cannot move."""

from collections.abc import Mapping, Sequence

import altair as alt

from spikequant.views.figures.style import COLORS, INK, Drawing, Figure, Row, chart
from spikequant.views.record import StateHealth
from spikequant.views.wording import percent

DRAWN = 10  # layers of a panel
BAND = 46


def occupancy(states: Mapping[str, Sequence[StateHealth]]) -> Figure | None:
    """A panel for each variant whose states were examined code by code, a row for each layer."""
    told = {mark: [layer for layer in layers if layer.occupancy] for mark, layers in states.items()}
    told = {mark: layers for mark, layers in told.items() if layers}
    if not told:
        return None
    most = max(map(len, told.values()))
    return Figure(
        key="occupancy",
        title="Which codes the state takes",
        caption=(
            "A row is a layer, a bar the share of membranes that are rounded to a code, from the lowest level on the left to the highest; "
            "bars of a row are to its own scale. Filled: one step's leak moves the membrane on. Hollow: the leak stalls there, rounding "
            "puts the membrane back. A code without a bar is never taken: bits that buy nothing."
            + (f" The first {DRAWN} layers are drawn." if most > DRAWN else "")
        ),
        alt="; ".join(f"{mark} {_said(layer)}" for mark, layers in told.items() for layer in layers),
        drawings=tuple(_panel(mark, layers[:DRAWN]) for mark, layers in told.items()),
        live=True,
    )


def _said(layer: StateHealth) -> str:
    codes = layer.occupancy
    stalled = sum(share for _, share, held in codes if held)
    return f"{layer.layer}: {sum(share > 0 for _, share, _ in codes)} of {len(codes)} codes taken, {percent(stalled)} where the leak stalls"


def _panel(mark: str, layers: Sequence[StateHealth]) -> Drawing:
    names = [layer.layer for layer in layers]
    rows = [row for index, layer in enumerate(layers) for row in _bars(layer, len(layers) - 1 - index)]
    codes = max(len(layer.occupancy) for layer in layers)
    x = alt.X(
        "left:Q",
        title="code",
        scale=alt.Scale(domain=[-0.5, codes - 0.5], nice=False),
        axis=alt.Axis(format="d", tickMinStep=1, grid=False),
    )
    y = alt.Y(
        "foot:Q",
        title=None,
        scale=alt.Scale(domain=[-0.05, len(names)], nice=False),
        axis=alt.Axis(values=list(range(len(names))), labels=False, ticks=False),
    )
    drawn = [
        chart(kept).mark_rect(
            color=COLORS[1] if held else COLORS[0], fillOpacity=0.0 if held else 0.8, stroke=COLORS[held], strokeWidth=1.2
        )
        for held in (False, True)
        if (kept := [row for row in rows if row["held"] is held])
    ]
    bars = [each.encode(x=x, x2="right:Q", y=y, y2="head:Q", tooltip=alt.Tooltip("told:N")) for each in drawn]
    feet = chart([{"foot": len(names) - 1 - index, "name": name} for index, name in enumerate(names)])
    rules = feet.mark_rule(color=INK, opacity=0.3).encode(y="foot:Q")
    labels = feet.mark_text(align="right", baseline="bottom", dx=-6, fontSize=11, color=INK, limit=110)
    return alt.layer(rules, labels.encode(x=alt.value(0), y="foot:Q", text="name:N"), *bars).properties(
        width=270, height=BAND * len(names) + 6, title=f"Variant {mark}"
    )


def _bars(layer: StateHealth, foot: int) -> list[Row]:
    top = max(share for _, share, _ in layer.occupancy) or 1.0
    return [
        {
            "left": code - 0.4,
            "right": code + 0.4,
            "foot": foot,
            "head": foot + 0.85 * share / top,
            "held": bool(held),
            "told": {"layer": layer.layer, "code": str(code), "level": f"{level:.4g}", "share": percent(share), "leak": _leak(held)},
        }
        for code, (level, share, held) in enumerate(layer.occupancy)
        if share > 0
    ]


def _leak(held: bool) -> str:
    return "stalls here" if held else "moves on"
