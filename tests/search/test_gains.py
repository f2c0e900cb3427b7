import pytest

from spikequant.search import Row, bearing, judge, paper_claims, paper_rows, with_gains
from spikequant.search.rows import words


def runs(tags: str, *accuracies: float) -> list[Row]:
    return [Row(words(tags), {"accuracy": accuracy}, seed) for seed, accuracy in enumerate(accuracies)]


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {claim.name: judge(claim, with_gains("stompp", rows)).verdict for claim in paper_claims("stompp")}


def test_a_gain_is_of_two_runs_that_differ_in_the_method_alone() -> None:
    rows = runs("stompp bnn x", 0.75, 0.5) + runs("ste bnn x", 0.5) + runs("ste bnn y", 0.25) + runs("stompp-ste bnn x", 0.625)
    assert with_gains("stompp", rows) == [*rows, Row(words("bnn x"), {"gain": 0.25}, 0)]


def test_runs_without_accuracy_and_papers_without_gains_have_none() -> None:
    lost = [Row(words("stompp x"), {"emd": 0.5}, 0), *runs("ste x", 0.5)]
    assert with_gains("stompp", lost) == lost
    rows = runs("stompp x", 0.75) + runs("ste x", 0.5)
    assert with_gains("squat", rows) == rows


def test_gains_bear_the_tags_of_the_papers() -> None:
    ours = with_gains("stompp", runs("resnet50 cifar10 bnn stompp", 0.7) + runs("resnet50 cifar10 bnn ste", 0.5))
    (printed,) = bearing(paper_rows("stompp"), "resnet50 cifar10 bnn")
    assert (printed.tags, printed.measures["gain"]) == (ours[-1].tags, 0.18)


@pytest.mark.parametrize(
    ("shallow", "deep", "kind", "grows"),
    [
        ("resnet18", "resnet50", "gain-grows-with-depth", "supported"),
        ("resnet8", "resnet20", "gain-grows-from-resnet8-to-resnet20", "supported"),
        ("resnet8-long", "resnet20-long", "gain-grows-from-resnet8-to-resnet20-long", "supported"),
        ("resnet20", "resnet8", "gain-grows-from-resnet8-to-resnet20", "contradicted"),
    ],
)
def test_the_growth_of_gains_with_depth_is_judged_by_seeds(shallow: str, deep: str, kind: str, grows: str) -> None:
    rows = runs(f"{shallow} bnn ste", 0.50, 0.51, 0.49) + runs(f"{shallow} bnn stompp", 0.55, 0.561, 0.541)
    rows += runs(f"{deep} bnn ste", 0.48, 0.50, 0.49) + runs(f"{deep} bnn stompp", 0.68, 0.699, 0.691)
    found = verdicts(rows)
    assert (found["gains-over-ste-bnn"], found[kind], found["gains-over-ste-bwn"]) == ("supported", grows, "undecided")


def test_one_seed_of_the_deep_network_decides_nothing() -> None:
    rows = runs("resnet8 bnn ste", 0.50, 0.51, 0.49) + runs("resnet8 bnn stompp", 0.55, 0.561, 0.541)
    rows += runs("resnet20 bnn ste", 0.5) + runs("resnet20 bnn stompp", 0.9)
    assert verdicts(rows)["gain-grows-from-resnet8-to-resnet20"] == "undecided"
