from spikequant.views.figures.rates import STEPS, cumulative, distributions
from spikequant.views.record import Record
from spikequant.views.verdict import verdict


def test_a_curve_rises_by_one_step_for_each_channel() -> None:
    assert cumulative([0.5, 0.0, 0.5, 1.0]) == [(0.0, 0.25), (0.5, 0.5), (0.5, 0.75), (1.0, 1.0)]


def test_a_long_curve_is_thinned_and_still_ends_at_one() -> None:
    corners = cumulative([index / 5000 for index in range(5000)])
    assert len(corners) <= 1.1 * STEPS
    assert corners[0] == (0.0, 1 / 5000)
    assert corners[-1] == (4999 / 5000, 1.0)


def test_every_layer_has_a_panel_with_the_float_network_and_the_telling_variants(record: Record) -> None:
    telling = verdict(record).drifts
    figure = distributions(telling)
    assert len(figure.panels) == 3
    for panel, layer in zip(figure.panels, telling["A"].layers, strict=True):
        assert f">{layer.name}</text>" in panel
        assert f"A {layer.emd:.4f}" in panel
    assert figure.panels[0].count('class="mark-line role-mark') + figure.panels[0].count('class="mark-group role-scope') >= 2
    assert "stroke-dasharray" in figure.panels[0]
