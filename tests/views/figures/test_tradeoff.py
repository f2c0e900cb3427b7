import itertools
import re
from typing import Any

import pytest

from spikequant.views.figures.style import COLORS
from spikequant.views.figures.tradeoff import HEIGHT, WIDTH, tradeoff
from spikequant.views.record import Record, parse
from spikequant.views.verdict import verdict


def test_every_variant_is_a_mark_in_both_panels_told_apart_by_shape_and_color(record: Record) -> None:
    figure = tradeoff(record, verdict(record).telling)
    assert figure is not None
    assert len(figure.panels) == 2
    for panel in figure.panels:
        marks = re.findall(r'<g class="mark-symbol role-mark[^>]*>(.*?)</g>', panel, re.DOTALL)
        paths = [path for group in marks for path in re.findall(r"<path[^>]*>", group)]
        assert len(paths) == len(record.variants)
        colors = {next(color for color in COLORS if color in path) for path in paths}
        shapes = {re.sub(r"[\d.,-]+", "", re.findall(r' d="([^"]*)"', path)[0]) for path in paths}
        assert len(colors) == 4
        assert len(shapes) > 1


def test_trained_on_variants_are_filled_the_others_hollow(record: Record) -> None:
    figure = tradeoff(record, verdict(record).telling)
    assert figure is not None
    groups = re.findall(r'<g class="mark-symbol role-mark[^>]*>(.*?)</g>', figure.panels[0], re.DOTALL)
    assert [group.count("fill=") for group in groups] == [0, 4]
    assert [group.count("stroke=") for group in groups] == [16, 0]


def test_floor_float_and_telling_variants_are_written_into_the_drawing(record: Record) -> None:
    figure = tradeoff(record, verdict(record).telling)
    assert figure is not None
    for word in ("sampling floor", "float", "97.5%", ">A<", ">B<"):
        assert word in figure.panels[0]
    assert "0.0040" in figure.caption
    assert all(variant.name in figure.alt for variant in record.variants)


def test_without_memory_one_panel_and_without_accuracy_none(document: dict[str, Any]) -> None:
    document["variants"][0]["memory_bits"] = None
    record = parse(document)
    figure = tradeoff(record, {})
    assert figure is not None
    assert len(figure.panels) == 1
    document["float"]["accuracy"] = None
    assert tradeoff(parse(document), {}) is None


def test_perfect_and_equal_variants_can_be_drawn(document: dict[str, Any]) -> None:
    document["float"]["accuracy"] = 1.0
    for variant in document["variants"]:
        variant |= {"accuracy": 1.0, "emd": 0.0, "emd_floor": 0.0, "memory_bits": 8192.0}
    figure = tradeoff(parse(document), {})
    assert figure is not None
    assert "NaN" not in "".join(figure.panels)


def test_memory_has_ticks_also_where_variants_take_nearly_the_same(document: dict[str, Any]) -> None:
    for number, variant in enumerate(document["variants"]):
        variant["memory_bits"] = (150 + number) * 8192.0
    figure = tradeoff(parse(document), {})
    assert figure is not None
    labels = [float(place) for place in re.findall(r"translate\(([-\d.]+),[\d.]+\)[^>]*>(?:128|192)<", figure.panels[1])]
    assert len(labels) == 2
    assert all(0 <= place <= WIDTH for place in labels)


@pytest.mark.parametrize("accuracy", [0.999, 0.3], ids=["above all variants", "below all"])
def test_float_and_the_band_below_it_lie_inside_the_panel(document: dict[str, Any], accuracy: float) -> None:
    document["float"]["accuracy"] = accuracy
    for variant in document["variants"]:
        variant["accuracy"] = 0.6 + variant["accuracy"] / 10
    figure = tradeoff(parse(document), {})
    assert figure is not None
    for panel in figure.panels:
        line = re.search(r'<g class="mark-rule role-mark[^>]*><line transform="translate\([\d.]+,([-\d.]+)\)', panel)
        band = re.search(r'<g class="mark-rect role-mark[^>]*><path d="M0,([-\d.]+)h[\d.]+v([-\d.]+)h', panel)
        assert line is not None
        assert band is not None
        assert 0 <= float(line[1]) == float(band[1]) < float(band[1]) + float(band[2]) <= HEIGHT


def test_the_axis_of_weak_networks_reaches_no_farther_than_they_do(document: dict[str, Any]) -> None:
    document["float"]["accuracy"] = 0.387
    for variant, accuracy in zip(document["variants"], itertools.cycle((0.396, 0.4, 0.403)), strict=False):
        variant["accuracy"] = accuracy
    figure = tradeoff(parse(document), {})
    assert figure is not None
    assert {"40%", "39%", "38%"} <= set(re.findall(r">(\d+%)<", figure.panels[0]))
    assert "20%" not in figure.panels[0]
