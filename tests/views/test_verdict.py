from typing import Any

from spikequant.views.record import Record, parse
from spikequant.views.verdict import alike, kept, verdict


def record_of(document: dict[str, Any], *numbers: tuple[float, float]) -> Record:
    """The document with as many variants as pairs of accuracy and EMD; the float accuracy is 0.90, the floor 0.01."""
    document["float"]["accuracy"] = 0.90
    variants = document["variants"][: len(numbers)]
    for name, variant, (accuracy, emd) in zip("abcdefgh", variants, numbers, strict=False):
        variant |= {"name": name, "accuracy": accuracy, "emd": emd, "emd_floor": 0.01, "bits": 4, "state_bits": None, "scheme": "ptq"}
    return parse(document | {"variants": variants})


def test_kept_are_those_that_lose_at_most_a_point_exactly_one_included(document: dict[str, Any]) -> None:
    record = record_of(document, (0.89, 0.3), (0.8899, 0.1), (0.95, 0.2))
    assert [variant.name for variant in kept(record)] == ["c", "a"]


def test_the_pair_lies_farthest_apart_among_variants_within_a_point(document: dict[str, Any]) -> None:
    record = record_of(document, (0.90, 0.1), (0.895, 0.4), (0.92, 0.9))
    pair = alike(record.variants)
    assert pair is not None
    assert [variant.name for variant in pair] == ["a", "b"]


def test_a_pair_of_the_same_bits_goes_before_a_wider_one_of_other_bits(document: dict[str, Any]) -> None:
    record = record_of(document, (0.90, 0.02), (0.90, 0.05), (0.90, 0.9))
    odd = record.variants[2].model_copy(update={"bits": 2})
    pair = alike([*record.variants[:2], odd])
    assert pair is not None
    assert [variant.name for variant in pair] == ["a", "b"]


def test_variants_that_keep_accuracy_and_drift_are_named_with_numbers(document: dict[str, Any]) -> None:
    found = verdict(record_of(document, (0.90, 0.02), (0.895, 0.12), (0.50, 0.3)))
    assert found.sentence == (
        "2 of 3 variants keep accuracy within 1 point of float (90.0%), "
        "yet their firing drifts from it by an EMD of 0.0200 to 0.1200, where sampling alone gives 0.0100."
    )
    assert "a (90.0%, EMD 0.0200) and b (89.5%, EMD 0.1200) are 0.5 points apart in accuracy" in found.consequence
    assert "the second drifts 12 times the sampling floor (0.0100)" in found.consequence
    assert {mark: variant.name for mark, variant in found.telling.items()} == {"A": "a", "B": "b", "C": "c"}


def test_drift_below_the_floor_is_not_called_drift(document: dict[str, Any]) -> None:
    found = verdict(record_of(document, (0.90, 0.002), (0.90, 0.009)))
    assert "none of them fires measurably differently" in found.sentence
    assert "yet" not in found.sentence


def test_one_or_no_variant_that_keeps_accuracy(document: dict[str, Any]) -> None:
    one = verdict(record_of(document, (0.90, 0.02), (0.5, 0.4)))
    assert one.sentence.startswith("Only a of 2 variants keeps accuracy within 1 point of float")
    none = verdict(record_of(document, (0.5, 0.02), (0.5, 0.4)))
    assert none.sentence.startswith("None of 2 variants keeps accuracy within 1 point of float (90.0%)")
    assert {mark: variant.name for mark, variant in none.telling.items()} == {"A": "a", "B": "b"}


def test_several_variants_may_keep_accuracy_and_none_be_alike(document: dict[str, Any]) -> None:
    found = verdict(record_of(document, (0.92, 0.02), (0.895, 0.4)))
    assert found.sentence.startswith("2 of 2 variants keep accuracy within 1 point of float, no two of them alike in it; their EMD")


def test_without_accuracy_only_drift_is_told(document: dict[str, Any]) -> None:
    record = record_of(document, (0.90, 0.02), (0.5, 0.4))
    blind = record.model_copy(update={"reference": record.reference.model_copy(update={"accuracy": None})})
    assert verdict(blind).sentence == "2 variants were compared with float: their EMD from it runs from 0.0200 to 0.4000."


def test_a_single_comparison_names_the_layer_that_drifts_most(comparison: dict[str, Any]) -> None:
    found = verdict(parse(comparison))
    worst = max(comparison["layers"], key=lambda layer: layer["emd"])
    assert "Accuracy goes from 97.5% to 96.1%." in found.sentence
    assert found.consequence.startswith(f"Layer {worst['name']} drifts most")
    assert list(found.telling) == ["A"]


def test_a_single_comparison_with_itself(comparison: dict[str, Any]) -> None:
    found = verdict(parse(comparison | {"emd": 0.0, "emd_floor": 0.0}))
    assert "with a sampling floor of 0" in found.sentence
    assert found.consequence == "No layer needs attention on this evidence."
