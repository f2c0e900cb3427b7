from spikequant.views.figures.codes import DRAWN, occupancy
from spikequant.views.record import StateHealth

LAYER = StateHealth(
    layer="lif'<b>", spec="uniform 2 bits", occupancy=((-1.0, 0.25, True), (0.0, 0.5, False), (1.0, 0.25, True), (2.0, 0.0, True))
)


def test_a_bar_is_a_code_that_is_taken_and_hollow_where_the_leak_stalls() -> None:
    figure = occupancy({"A": [LAYER]})
    assert figure is not None
    assert figure.alt == "A lif'<b>: 3 of 4 codes taken, 50.0% where the leak stalls"
    rects = [part.split("</g>")[0] for part in figure.panels[0].split('class="mark-rect role-mark')[1:]]
    assert [part.count("<path") for part in rects] == [1, 2]
    assert 'fill-opacity="0"' in rects[1]


def test_names_of_layers_are_text_and_many_layers_are_cut() -> None:
    figure = occupancy({"A": [LAYER.model_copy(update={"layer": f"{LAYER.layer}{index}"}) for index in range(DRAWN + 2)]})
    assert figure is not None
    assert "<b>" not in figure.panels[0]
    assert f"&lt;b&gt;{DRAWN - 1}<" in figure.panels[0]
    assert f"&lt;b&gt;{DRAWN}<" not in figure.panels[0]
    assert f"The first {DRAWN} layers are drawn." in figure.caption


def test_without_occupancy_there_is_no_figure() -> None:
    assert occupancy({"A": [LAYER.model_copy(update={"occupancy": ()})], "B": []}) is None
