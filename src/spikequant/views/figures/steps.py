"""When spikes differ: the share that does at every time step, layer by layer."""

from collections.abc import Mapping, Sequence

import altair as alt

from spikequant.behavior import Drift, LayerDrift
from spikequant.views.figures.style import COLORS, DASHES, SHAPES, Drawing, Figure, chart, cycled
from spikequant.views.wording import percent

DRAWN = 6  # layers of a panel: more lines than that cannot be told apart


def disagreement(drifts: Mapping[str, Drift]) -> Figure | None:
    """A panel for each telling variant; nothing where spikes could not be compared one by one, or there is but one step."""
    chosen = {mark: most(drift.layers) for mark, drift in drifts.items()}
    chosen = {mark: layers for mark, layers in chosen.items() if layers}
    if not chosen:
        return None
    several = max(len(drift.layers) for drift in drifts.values())
    thinned = f" Of {several} layers the {DRAWN} that disagree most are drawn." if several > DRAWN else ""
    edge = 1.05 * max(share for layers in chosen.values() for layer in layers for share in layer.disagreement) or 1.0
    return Figure(
        key="disagreement",
        title="When spikes differ",
        caption=(
            "The share of a layer's spikes that are not those of the float network on the same input, step by step. A line that climbs "
            f"says that errors gather in the state; one that stays level, that each step errs anew.{thinned}"
        ),
        alt="; ".join(
            f"{mark} {layer.name}: " + ", ".join(map(percent, layer.disagreement)) for mark, layers in chosen.items() for layer in layers
        ),
        drawings=tuple(_panel(mark, layers, edge) for mark, layers in chosen.items()),
        live=True,
    )


def most(layers: Sequence[LayerDrift]) -> list[LayerDrift]:
    """The layers whose spikes disagree most, in the order of the network."""
    known = [layer for layer in layers if len(layer.disagreement) > 1]
    kept = sorted(known, key=lambda layer: -sum(layer.disagreement) / len(layer.disagreement))[:DRAWN]
    return [layer for layer in known if layer in kept]


def _panel(mark: str, layers: Sequence[LayerDrift], edge: float) -> Drawing:
    names = [layer.name for layer in layers]
    rows = [
        {"layer": layer.name, "step": step, "share": share, "told": {"layer": layer.name, "step": str(step), "differ": percent(share)}}
        for layer in layers
        for step, share in enumerate(layer.disagreement)
    ]
    key = alt.Legend(title=None, orient="bottom", columns=2)
    steps = len(layers[0].disagreement)
    base = chart(rows).encode(
        x=alt.X(
            "step:Q", title="time step", axis=alt.Axis(format="d", tickMinStep=1, tickCount=min(steps, 8)), scale=alt.Scale(nice=False)
        ),
        y=alt.Y(
            "share:Q", title="spikes that differ", axis=alt.Axis(format="~%", tickCount=5), scale=alt.Scale(domain=[0, edge], nice=False)
        ),
        color=alt.Color("layer:N", scale=cycled(names, COLORS), legend=key),
    )
    lines = base.mark_line(strokeWidth=1.5).encode(strokeDash=alt.StrokeDash("layer:N", scale=cycled(names, DASHES), legend=key))
    points = base.mark_point(filled=True, size=45, opacity=1).encode(
        shape=alt.Shape("layer:N", scale=cycled(names, SHAPES), legend=key), tooltip=alt.Tooltip("told:N")
    )
    return alt.layer(lines, points).properties(width=270, height=170, title=f"Variant {mark}")
