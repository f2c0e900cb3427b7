"""Accuracy beside drift and beside memory."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from spikequant.search import front
from spikequant.views.figures.style import COLORS, INK, SHAPES, Drawing, Figure, Row, chart, cycled
from spikequant.views.record import Record, Variant
from spikequant.views.verdict import WITHIN
from spikequant.views.wording import distance, percent, size

HEIGHT = 235
WIDTH = 380
TRAINED = ("qat", "scratch")
EMD_TICKS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
ACCURACY_TICKS = (1.0, 0.99, 0.98, 0.97, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.2, 0.0)


def tradeoff(record: Record, telling: Mapping[str, Variant]) -> Figure | None:
    """The trade-off, a mark for each variant; nothing where accuracy was not measured."""
    points = _points(record, telling)
    if not points or record.reference.accuracy is None:
        return None
    floor = max(variant.emd_floor for variant in record.variants)
    families = sorted({point["weights"] for point in points}, key=lambda weights: (weights == "float", weights))
    panels = [alt.layer(_frame(record), _floor(floor), _front(points, "emd"), *_marks(points, _emd_axis(points, floor), families))]
    if record.reference.memory_bits is not None and all(point["memory"] is not None for point in points):
        panels.append(alt.layer(_frame(record), _front(points, "memory"), *_marks(points, _memory_axis(points), families, legend=False)))
    return Figure(
        key="tradeoff",
        title="Accuracy beside drift and memory",
        caption=(
            "A mark is a variant: hollow, quantized after training; filled, trained with quantizers. Marks at one height classify alike; "
            f"farther right in the first panel they fire less alike. Left of the dashed line ({distance(floor)}) is sampling noise. "
            "Thin line: the front, which no variant beats in both. Band: within 1 point of float accuracy. "
            "Accuracy and EMD are stretched towards the float network"
            + (f", which takes {size(record.reference.memory_bits)}." if len(panels) > 1 else ".")
        ),
        alt="; ".join(f"{p['name']}: accuracy {percent(p['accuracy'])}, EMD {distance(p['emd'])}, {size(p['bits'])}" for p in points),
        drawings=tuple(panel.properties(width=WIDTH, height=HEIGHT) for panel in panels),
        live=True,
    )


def _points(record: Record, telling: Mapping[str, Variant]) -> list[dict[str, Any]]:
    marks = {id(variant): mark for mark, variant in telling.items()}
    return [
        {
            "name": variant.name,
            "weights": variant.weights or variant.name,
            "scheme": variant.scheme,
            "accuracy": variant.accuracy,
            "error": 1 - variant.accuracy,
            "emd": variant.emd,
            "bits": variant.memory_bits,
            "memory": None if variant.memory_bits is None else variant.memory_bits / 8192,
            "mark": marks.get(id(variant), ""),
            "told": {
                "variant": variant.name,
                "accuracy": percent(variant.accuracy),
                "EMD": f"{distance(variant.emd)} (floor {distance(variant.emd_floor)})",
                "memory": size(variant.memory_bits),
                **({"seeds": str(variant.seeds)} if variant.seeds else {}),
            },
        }
        for variant in record.variants
        if variant.accuracy is not None
    ]


def _accuracy_axis(record: Record) -> alt.Y:
    """Accuracy upwards, drawn as its error on a scale that is linear for the first two points and logarithmic beyond."""
    accuracies = [record.reference.accuracy, *(variant.accuracy for variant in record.variants)]
    errors = [1 - accuracy for accuracy in accuracies if accuracy is not None]
    least, most = min(errors), max(*errors, 1 - (record.reference.accuracy or 0) + WITHIN)  # the band's end lies inside
    ticks = [1 - tick for tick in ACCURACY_TICKS if least - 0.015 <= 1 - tick <= max(min(most * 1.3, most + 0.05), least + 0.03)]
    if len(ticks) < 2:
        ticks = [point / 100 for point in range(math.ceil(least * 100), math.floor(most * 100) + 1)]
    domain = [min([least, *ticks]), max([most, *ticks])]
    return alt.Y(
        "error:Q",
        title="accuracy",
        scale=alt.Scale(type="symlog", constant=0.02, reverse=True, domain=domain, nice=False, zero=False, padding=8),
        axis=alt.Axis(values=ticks, labelExpr="format(1 - datum.value, '.0%')", tickCount=len(ticks), labelOverlap="greedy"),
    )


def _emd_axis(points: Sequence[Row], floor: float) -> alt.X:
    most = max(floor, *(point["emd"] for point in points))
    ticks = [tick for tick in EMD_TICKS if tick <= most * 1.3]
    return alt.X(
        "emd:Q",
        title="EMD from the float network (firing rate)",
        scale=alt.Scale(type="symlog", constant=max(floor, 1e-4), domain=[0, most * 1.1], nice=False, padding=8),
        axis=alt.Axis(values=ticks, labelExpr="'' + datum.value"),
    )


def _memory_axis(points: Sequence[Row]) -> alt.X:
    amounts = [point["memory"] for point in points]
    least, most = min(amounts), max(amounts)
    ticks = [tick for power in range(-10, 30) for step in (1.0, 1.5) if least / 1.3 <= (tick := step * 2.0**power) <= most * 1.3]
    domain = [min([least, *ticks]), max([most, *ticks])]  # variants of one size alone would leave no tick inside
    return alt.X(
        "memory:Q",
        title="memory (KiB)",
        scale=alt.Scale(type="log", base=2, domain=domain, nice=False, padding=16),
        axis=alt.Axis(values=ticks, labelExpr="'' + datum.value"),
    )


def _frame(record: Record) -> Drawing:
    """The float network's accuracy, and the band within a point of it."""
    error = 1 - (record.reference.accuracy or 0)
    y = _accuracy_axis(record)
    row = {"error": error, "below": error + WITHIN, "label": ["float", percent(record.reference.accuracy)]}
    band = chart([row]).mark_rect(fill=INK, opacity=0.07).encode(y=y, y2="below:Q")
    line = chart([row]).mark_rule(color=INK, opacity=0.6).encode(y=y)
    label = chart([row]).mark_text(align="left", baseline="middle", dx=5, dy=-6, color=INK, fontSize=11, lineBreak="\n")
    return alt.layer(band, line, label.encode(y=y, x=alt.value("width"), text="label:N"))


def _floor(floor: float) -> Drawing:
    rule = chart([{"emd": floor}]).mark_rule(color=INK, strokeDash=[4, 3], opacity=0.8).encode(x="emd:Q")
    label = chart([{"emd": floor, "label": "sampling floor"}]).mark_text(align="left", dx=4, baseline="bottom", color=INK, fontSize=11)
    return alt.layer(rule, label.encode(x="emd:Q", y=alt.value(HEIGHT - 3), text="label:N"))


def _front(points: Sequence[Row], cost: str) -> alt.Chart:
    """The line through the variants that no other beats in both: accuracy and ``cost``."""
    kept = front([[point["error"], point[cost]] for point in points])
    rows = [{"error": points[index]["error"], cost: points[index][cost]} for index in kept]
    drawn = chart(rows).mark_line(color=INK, opacity=0.45, strokeWidth=1, interpolate="step-after")
    line: alt.Chart = drawn.encode(x=f"{cost}:Q", y="error:Q", order=f"{cost}:Q")
    return line


def _marks(points: Sequence[Row], x: alt.X, families: Sequence[str], legend: bool = True) -> list[alt.Chart]:
    key = alt.Legend(title="weights", orient="bottom", columns=3, titleOrient="left") if legend else None
    colors = alt.Scale(domain=list(families), range=[_color(index, name) for index, name in enumerate(families)])
    layers = []
    for scheme_filled in (False, True):
        rows = [point for point in points if (point["scheme"] in TRAINED) is scheme_filled]
        if rows:
            drawn = chart(rows).mark_point(size=80, strokeWidth=2, filled=scheme_filled, opacity=0.9)
            layers.append(
                drawn.encode(
                    x=x,
                    y="error:Q",
                    color=alt.Color("weights:N", scale=colors, legend=key),
                    shape=alt.Shape("weights:N", scale=cycled(families, SHAPES), legend=key),
                    tooltip=alt.Tooltip("told:N"),
                )
            )
    return [*layers, *(_letter(point, x) for point in points if point["mark"])]


def _color(index: int, weights: str) -> str:
    return INK if weights == "float" else COLORS[index % len(COLORS)]


def _letter(point: Row, x: alt.X) -> alt.Chart:
    """A telling variant's letter, beside its mark; each letter has its own side, since marks may coincide."""
    dx, dy = {"A": (-10, -10), "B": (10, -10)}.get(point["mark"], (11, 10))
    drawn = chart([point]).mark_text(dx=dx, dy=dy, fontSize=14, fontWeight="bold", color=INK)
    letter: alt.Chart = drawn.encode(x=x, y="error:Q", text="mark:N")
    return letter
