import re

from spikequant.views.figures.trends import series, trends
from spikequant.views.record import Record


def test_a_method_at_several_bits_is_a_line_from_few_to_many(record: Record) -> None:
    found = series(record)
    assert [bits for bits, _ in found["LQ-Net", "post-training"]] == [2, 4, 8]
    assert ("LQ-Net", "trained on") not in found


def test_weights_and_state_at_the_same_bits_are_a_line_too(record: Record) -> None:
    both = tuple(v.model_copy(update={"state": "uniform", "state_bits": v.bits}) for v in record.variants if v.weights == "LQ-Net")
    found = series(record.model_copy(update={"variants": both}))
    assert [bits for bits, _ in found["LQ-Net and state uniform", "post-training"]] == [2, 4, 8]
    apart = tuple(v.model_copy(update={"state_bits": 5}) for v in both)
    assert not series(record.model_copy(update={"variants": apart}))


def test_what_differs_in_more_than_bits_is_a_line_of_its_own(record: Record) -> None:
    first, second, *_ = next(iter(series(record).values()))
    corrected = [
        variant.model_copy(update={"name": f"{variant.name}/{way}"}) for way in ("plain", "bias") for _, variant in (first, second)
    ]
    found = series(record.model_copy(update={"variants": corrected}))
    assert [method.rpartition(", ")[2] for method, _ in found] == ["plain", "bias"]
    assert all(len(line) == 2 for line in found.values())
    twice = [first[1], first[1], second[1]]
    assert series(record.model_copy(update={"variants": twice})) == {}


def test_every_measure_has_a_panel(record: Record) -> None:
    figure = trends(record)
    assert figure is not None
    assert len(figure.drawings) == len(figure.specs) == 4
    assert all(len(spec) < 50_000 for spec in figure.specs)
    keys = [re.findall(r'"labelLimit": ?0\b', spec) for spec in figure.specs]
    assert list(map(bool, keys)) == [False, False, True, True]  # how lines were made, and the methods


def test_measures_that_some_lack_are_left_out_and_one_number_of_bits_is_no_trend(record: Record) -> None:
    blind = record.model_copy(update={"variants": tuple(v.model_copy(update={"dead": None}) for v in record.variants)})
    figure = trends(blind)
    assert figure is not None
    assert len(figure.drawings) == 3
    assert trends(record.model_copy(update={"variants": record.variants[:1]})) is None


def test_deviations_over_seeds_are_drawn(record: Record) -> None:
    spread = tuple(v.model_copy(update={"deviation": {"accuracy": 0.01}, "seeds": 3}) for v in record.variants)
    figure = trends(record.model_copy(update={"variants": spread}))
    assert figure is not None
    assert '"seeds": "3"' in figure.specs[0]
