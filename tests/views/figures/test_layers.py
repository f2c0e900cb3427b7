import re

from spikequant.views.figures.layers import causes, distinct, shares
from spikequant.views.record import Record
from spikequant.views.verdict import verdict


def test_each_telling_variant_has_a_panel_with_a_bar_for_each_layer(record: Record) -> None:
    telling = verdict(record).drifts
    figure = causes(telling)
    assert len(figure.panels) == len(telling)
    for panel, mark in zip(figure.panels, telling, strict=True):
        assert f"Variant {mark}" in panel
        bars = re.findall(r'<g class="mark-rect role-mark[^>]*>(.*?)</g>', panel, re.DOTALL)
        assert sum(group.count("<path") for group in bars) >= 3


def test_shares_have_a_line_for_every_variant_even_with_equal_names(record: Record) -> None:
    twins = record.model_copy(update={"variants": tuple(v.model_copy(update={"name": "same"}) for v in record.variants)})
    (panel,) = shares(twins).panels
    assert all(f">same ({number})<" in panel for number in range(2, 21))


def test_every_layer_of_every_variant_is_marked_twice(record: Record) -> None:
    (panel,) = shares(record).panels
    groups = re.findall(r'<g class="mark-symbol role-mark[^>]*>(.*?)</g>', panel, re.DOTALL)
    assert [group.count("<path") for group in groups] == [60, 60]


def test_names_are_made_distinct() -> None:
    assert distinct(["a", "a", "b", "a"]) == ["a", "a (2)", "b", "a (3)"]
