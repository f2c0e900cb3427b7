import re
from typing import Literal

import pytest

from spikequant.views.figures.freezing import HARD, MIXED, freezing
from spikequant.views.record import Epoch, Schedule


def epoch(number: int, share: float, validated: bool = True) -> Epoch:
    found = {"accuracy": 0.9, "hard_accuracy": 0.5 + number / 10} if validated else {}
    return Epoch(epoch=number, shares={"conv1": share, "conv2": 0.0}, gradients={"conv1": 1 - share, "conv2": 0.4}, **found)


def rules(panel: str) -> int:
    return sum(found.count("<line") for found in re.findall("mark-rule role-mark.*?</g>", panel))


def test_accuracy_shares_and_gradients_have_a_panel_each() -> None:
    figure = freezing("net", [epoch(1, 0.0), epoch(2, 0.5), epoch(3, 1.0)])
    accuracy, shares, gradients = figure.panels
    assert MIXED in accuracy
    assert HARD in accuracy
    assert all(f">{layer}</text>" in panel for layer in ("conv1", "conv2") for panel in (shares, gradients))
    assert "3 epochs; accuracy 90.0% to 90.0%, as if frozen 60.0% to 80.0%" in figure.alt


def test_without_validation_there_is_no_accuracy_to_draw() -> None:
    assert len(freezing("net", [epoch(1, 0.0, validated=False), epoch(2, 1.0, validated=False)]).panels) == 2


@pytest.mark.parametrize(
    ("order", "ends"), [("forward", ["1.35", "2.70"]), ("reverse", ["1.35", "2.70"]), ("global", ["2.70"])], ids=lambda each: str(each)
)
def test_a_rule_in_every_panel_ends_each_window(order: Literal["forward", "reverse", "global"], ends: list[str]) -> None:
    epochs = [epoch(1, 0.0), epoch(2, 0.5), epoch(3, 1.0)]
    figure, bare = freezing("net", epochs, Schedule(order=order, tail=0.1)), freezing("net", epochs)
    assert f"; windows end after {', '.join(ends)} epochs" in figure.alt
    assert [rules(panel) for panel in figure.panels] == [len(ends)] * 3
    assert all(">epoch</text>" in panel for panel in figure.panels)
    assert [rules(panel) for panel in bare.panels] == [0] * 3
    assert not {"rule", "windows"} & {*bare.caption.split(), *bare.alt.split()}


def test_names_of_layers_are_text() -> None:
    named = [Epoch(epoch=1, shares={"<b>": 0.1}, gradients={"<b>": 0.1})]
    assert "<b>" not in freezing("net", named).panels[0]
