"""What becomes of accuracy, drift and firing as bits are taken away."""

from typing import Any

import altair as alt

from spikequant.views.figures.style import COLORS, DASHES, INK, SHAPES, Drawing, Figure, chart, cycled
from spikequant.views.record import Record, Variant
from spikequant.views.trials import UNCERTAIN
from spikequant.views.wording import distance, percent

MEASURES = {"accuracy": "accuracy", "emd": "EMD", "mean_rate": "mean rate", "dead": "dead channels"}
SCHEME = {"ptq": "post-training", "qat": "trained on", "scratch": "from scratch"}
Lines = dict[tuple[str, str], list[tuple[int, Variant]]]
"""By method and how it was made, each number of bits with what it gave, from few to many."""


def trends(record: Record) -> Figure | None:
    """Each measure over bits, a line for each method and way of training; nothing where none was measured at two numbers of bits."""
    lines = series(record)
    if not lines:
        return None
    drawn = [name for name in MEASURES if all(getattr(v, name) is not None for line in lines.values() for _, v in line)]
    keyed = dict(zip(reversed(drawn), ("method", "how"), strict=False))  # the last two panels have room for a key below
    return Figure(
        key="trends",
        title="What bits buy",
        caption=(
            "A line is one method at several numbers of bits: of the weights, of the state, or the same for both. The dashed rule is the "
            "float network. Upright bars are one standard deviation over seeds, where there are several."
        ),
        alt="; ".join(
            f"{method}, {how}: " + ", ".join(f"{bits} bits: accuracy {percent(v.accuracy)}, EMD {distance(v.emd)}" for bits, v in line)
            for (method, how), line in lines.items()
        ),
        drawings=tuple(_panel(record, lines, measure, keyed.get(measure)) for measure in drawn),
        live=True,
    )


def series(record: Record) -> Lines:
    """The methods that were measured at two numbers of bits or more, and how they were made; each from few bits to many."""
    found: dict[tuple[str, str], list[tuple[int, Variant]]] = {}
    for variant in record.variants:
        widths = {bits for bits in (variant.bits, variant.state_bits) if bits is not None}
        if len(widths) == 1:
            parts = [variant.weights if variant.bits else "", f"state {variant.state}" if variant.state_bits else ""]
            method = " and ".join(filter(None, parts)), SCHEME.get(variant.scheme, variant.scheme)
            found.setdefault(method, []).append((widths.pop(), variant))
    lines = dict[tuple[str, str], list[tuple[int, Variant]]]()
    for (name, how), measured in found.items():
        lines |= {(f"{name}{rest}", how): line for rest, line in _told_apart(measured).items()}
    distinct = {key: line for key, line in lines.items() if len({bits for bits, _ in line}) == len(line) > 1}
    return {key: sorted(line, key=lambda point: point[0]) for key, line in distinct.items()}


def _told_apart(line: list[tuple[int, Variant]]) -> dict[str, list[tuple[int, Variant]]]:
    """Variants of one method that differ in more than bits, as by a correction, are lines of their own, named by what their names add."""
    if len({bits for bits, _ in line}) == len(line):
        return {"": line}
    parts = [[part for part in variant.name.removesuffix(UNCERTAIN).split("/") if not part.endswith("bits")] for _, variant in line]
    shared = set(parts[0]).intersection(*parts)
    found: dict[str, list[tuple[int, Variant]]] = {}
    for point, names in zip(line, parts, strict=True):
        found.setdefault("".join(f", {name}" for name in names if name not in shared), []).append(point)
    return found


def _panel(record: Record, lines: Lines, measure: str, keyed: str | None) -> Drawing:
    rows = [_row(method, bits, variant, measure) for method, line in lines.items() for bits, variant in line]
    methods, ways = (list(dict.fromkeys(parts)) for parts in zip(*lines, strict=True))
    legend = alt.Legend(title=None, orient="bottom", columns=1, labelLimit=0, symbolSize=600 if keyed == "how" else 80)  # a dash needs room
    key, dashes = (legend if keyed == name else None for name in ("method", "how"))
    axis = alt.Axis(tickCount=5) if measure == "emd" else alt.Axis(format="~%", tickCount=5)
    x = alt.X(
        "bits:Q",
        axis=alt.Axis(values=sorted({row["bits"] for row in rows}), format="d"),
        scale=alt.Scale(padding=12, nice=False, zero=False),
    )
    y = alt.Y("value:Q", title=MEASURES[measure], axis=axis, scale=alt.Scale(zero=measure != "accuracy"))
    base = chart(rows).encode(x=x, y=y, color=alt.Color("method:N", scale=cycled(methods, COLORS), legend=key), detail="how:N")
    drawn = [
        base.mark_line(strokeWidth=1.5).encode(strokeDash=alt.StrokeDash("how:N", scale=cycled(ways, DASHES), legend=dashes)),
        base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            shape=alt.Shape("method:N", scale=cycled(methods, SHAPES), legend=key), tooltip=alt.Tooltip("told:N")
        ),
    ]
    float_ = 0.0 if measure == "emd" else getattr(record.reference, measure)
    rule = [] if float_ is None else [chart([{"value": float_}]).mark_rule(color=INK, strokeDash=[4, 3], opacity=0.7).encode(y="value:Q")]
    return alt.layer(*rule, *drawn).properties(width=400, height=190)


def _row(method: tuple[str, str], bits: int, variant: Variant, measure: str) -> dict[str, Any]:
    value, spread = getattr(variant, measure), variant.deviation.get(measure, 0.0)
    told = {"method": ", ".join(method), "bits": str(bits), MEASURES[measure]: distance(value) if measure == "emd" else percent(value)}
    if variant.seeds:
        told |= {"±": distance(spread) if measure == "emd" else percent(spread), "seeds": str(variant.seeds)}
    at = {"method": method[0], "how": method[1], "bits": bits}
    return at | {"value": value, "low": value - spread, "high": value + spread, "told": told}
