from typing import Any

from spikequant.views.figures.steps import DRAWN, disagreement, most
from spikequant.views.record import Record, parse
from spikequant.views.verdict import verdict


def differing(document: dict[str, Any], shares: list[list[float]]) -> Record:
    for variant in document["variants"]:
        for layer, each in zip(variant["drift"]["layers"], shares, strict=False):
            layer["disagreement"] = each
    return parse(document)


def test_every_telling_variant_has_a_panel_with_a_line_for_each_layer(document: dict[str, Any]) -> None:
    record = differing(document, [[0.0, 0.1], [0.2, 0.1], [0.1, 0.4]])
    figure = disagreement(verdict(record).drifts)
    assert figure is not None
    assert len(figure.panels) == len(verdict(record).drifts)
    assert all(panel.count('class="mark-line role-mark') >= 3 for panel in figure.panels)
    assert ": 0.0%, 10.0%" in figure.alt


def test_records_without_it_and_a_single_step_have_no_figure(document: dict[str, Any]) -> None:
    assert disagreement(verdict(differing(document, [[]] * 3)).drifts) is None
    assert disagreement(verdict(differing(document, [[0.5]] * 3)).drifts) is None


def test_of_many_layers_those_that_disagree_most_are_drawn_in_order(document: dict[str, Any]) -> None:
    drift = verdict(differing(document, [[0.1, 0.2]] * 3)).drifts["A"]
    layers = [drift.layers[0].model_copy(update={"name": f"l{index}", "disagreement": (0.01 * index, 0.0)}) for index in range(9)]
    assert [layer.name for layer in most(layers)] == [f"l{index}" for index in range(3, 9)]
    assert len(most(layers)) == DRAWN
