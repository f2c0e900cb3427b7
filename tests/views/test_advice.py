from spikequant.behavior import Drift
from spikequant.views.advice import crossed, remedy, worst_layers
from spikequant.views.record import Record


def first(record: Record) -> Drift:
    return record.watched[-1][1]


def test_what_drifts_most_comes_first_and_at_most_five_are_named(record: Record) -> None:
    table = worst_layers({"A": first(record), "B": record.watched[0][1]})
    emds = [row[2] for row in table.rows]
    assert emds == sorted(emds, key=float, reverse=True)
    assert len(emds) == 5


def test_each_cause_has_its_remedy(record: Record) -> None:
    calm = first(record).layers[0].model_copy(update={"died": (), "saturated": 0.0, "emd": 0.1, "emd_floor_interval": (0.0, 0.01)})
    assert "sampling alone" in remedy(calm.model_copy(update={"emd": 0.01}))
    assert "more bits" in remedy(calm.model_copy(update={"emd_mean_shift": 0.0}))
    assert "thresholds or biases" in remedy(calm.model_copy(update={"emd_mean_shift": 0.09}))
    assert "higher threshold" in remedy(calm.model_copy(update={"saturated": 0.5}))
    assert "2 of 16 channels died" in remedy(calm.model_copy(update={"died": (1, 2), "dead": 1.0}))


def test_channels_that_died_are_named_and_a_long_list_is_cut(record: Record) -> None:
    drift = first(record)
    layer = drift.layers[0].model_copy(update={"died": tuple(range(30)), "revived": (7,)})
    (row,) = crossed({"A": drift.model_copy(update={"layers": (layer,)})}).rows
    assert str(row[3]).endswith("22, 23 and 6 more")
    assert row[4] == "7"
