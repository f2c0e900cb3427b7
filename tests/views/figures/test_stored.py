from spikequant.views.figures.stored import stored


def test_operations_stand_in_the_order_in_which_they_run() -> None:
    figure = stored({"norm": 2, "conv": 40, "count": 0})
    shown = [figure.panels[0].index(f">{name}<") for name in ("norm", "conv", "count")]
    assert shown == sorted(shown)
    assert figure.alt == "norm: 2 numbers; conv: 40 numbers; count: 0 numbers"
