"""What becomes of accuracy, drift and firing as bits are taken away."""

from typing import Any

import altair as alt

from spikequant.views.figures.style import COLORS, DASHES, INK, SHAPES, Drawing, Figure, chart, cycled
from spikequant.views.record import Record, Variant
from spikequant.views.wording import distance, percent

MEASURES = {"accuracy": "accuracy", "emd": "EMD", "mean_rate": "mean rate", "dead": "dead channels"}
SCHEME = {"ptq": "post-training", "qat": "trained on", "scratch": "from scratch"}


def trends(record: Record) -> Figure | None:
    """Each measure over bits, a line for each method; nothing where no method was measured at two numbers of bits."""
    lines = series(record)
    if not lines:
        return None
    drawn = [name for name in MEASURES if all(getattr(v, name) is not None for line in lines.values() for _, v in line)]
    return Figure(
        key="trends",
        title="What bits buy",
        caption=(
            "A line is one method at several numbers of bits, of the weights or else of the state; the dashed rule is the float network. "
            "Upright bars are one standard deviation over seeds, where there are several."
        ),
        alt="; ".join(
            f"{name}: " + ", ".join(f"{bits} bits: accuracy {percent(v.accuracy)}, EMD {distance(v.emd)}" for bits, v in line)
            for name, line in lines.items()
        ),
        drawings=tuple(_panel(record, lines, measure, last=measure == drawn[-1]) for measure in drawn),
        live=True,
    )


def series(record: Record) -> dict[str, list[tuple[int, Variant]]]:
    """The methods that were measured at two numbers of bits or more, each from few bits to many."""
    found: dict[str, dict[int, Variant]] = {}
    for variant in record.variants:
        bits = variant.bits or variant.state_bits
        if bits is not None and (variant.bits is None or variant.state_bits is None):
            parts = [variant.weights if variant.bits else f"state {variant.state}", SCHEME.get(variant.scheme, variant.scheme)]
            found.setdefault(", ".join(filter(None, parts)), {}).setdefault(bits, variant)
    return {name: sorted(line.items()) for name, line in found.items() if len(line) > 1}


def _panel(record: Record, lines: dict[str, list[tuple[int, Variant]]], measure: str, last: bool) -> Drawing:
    rows = [_row(name, bits, variant, measure) for name, line in lines.items() for bits, variant in line]
    names = list(lines)
    key = alt.Legend(title=None, orient="bottom", columns=2) if last else None
    axis = alt.Axis(tickCount=5) if measure == "emd" else alt.Axis(format="~%", tickCount=5)
    x = alt.X("bits:Q", axis=alt.Axis(values=sorted({row["bits"] for row in rows})), scale=alt.Scale(padding=12, nice=False, zero=False))
    y = alt.Y("value:Q", title=MEASURES[measure], axis=axis, scale=alt.Scale(zero=measure != "accuracy"))
    color = alt.Color("series:N", scale=cycled(names, COLORS), legend=key)
    base = chart(rows).encode(x=x, y=y, color=color)
    drawn = [
        base.mark_line(strokeWidth=1.5).encode(strokeDash=alt.StrokeDash("series:N", scale=cycled(names, DASHES), legend=key)),
        base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            shape=alt.Shape("series:N", scale=cycled(names, SHAPES), legend=key), tooltip=alt.Tooltip("told:N")
        ),
    ]
    float_ = 0.0 if measure == "emd" else getattr(record.reference, measure)
    rule = [] if float_ is None else [chart([{"value": float_}]).mark_rule(color=INK, strokeDash=[4, 3], opacity=0.7).encode(y="value:Q")]
    return alt.layer(*rule, *drawn).properties(width=400, height=190)


def _row(name: str, bits: int, variant: Variant, measure: str) -> dict[str, Any]:
    value, spread = getattr(variant, measure), variant.deviation.get(measure, 0.0)
    told = {"method": name, "bits": str(bits), MEASURES[measure]: distance(value) if measure == "emd" else percent(value)}
    if variant.seeds:
        told |= {"±": distance(spread) if measure == "emd" else percent(spread), "seeds": str(variant.seeds)}
    return {"series": name, "bits": bits, "value": value, "low": value - spread, "high": value + spread, "told": told}
