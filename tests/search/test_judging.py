import math
from typing import Any

import pytest

from spikequant.search import Claim, Finding, Noise, Row, judge, paper_claims, paper_noise, paper_rows
from spikequant.search.rows import words


def claim(**fields: Any) -> Claim:
    return Claim(**{"name": "x", "says": "-", "source": "-", "measure": "emd", "of": "a", "least": 0.0, **fields})


def runs(tags: str, *values: float) -> list[Row]:
    return [Row(words(tags), {"emd": value}, seed) for seed, value in enumerate(values)]


UP = runs("a x", 1.0, 1.1, 1.2) + runs("b x", 0.0, 0.1, 0.1)
DOWN = runs("a y", 0.0, 0.1, 0.1) + runs("b y", 1.0, 1.1, 1.2)
EVEN = runs("a z", 0.0, 0.1, 0.3) + runs("b z", 0.1, 0.0, 0.2)


@pytest.mark.parametrize(
    ("rows", "verdict", "outside"),
    [(UP, "supported", 0), (DOWN, "contradicted", 1), (EVEN, "undecided", 0), (UP + DOWN, "contradicted", 1), (UP + EVEN, "undecided", 0)],
)
def test_every_case_decides(rows: list[Row], verdict: str, outside: int) -> None:
    finding = judge(claim(against="b"), rows)
    assert (finding.verdict, finding.outside) == (verdict, outside)


def test_bounds_are_on_both_sides() -> None:
    assert judge(claim(against="b", least=0.8, most=1.3), UP).verdict == "supported"
    assert judge(claim(against="b", least=None, most=0.5), UP).verdict == "contradicted"
    assert judge(claim(against="b", least=None, most=1.0), UP).verdict == "undecided"


def test_the_mean_of_cases_may_hold_where_not_every_case_does() -> None:
    rows = UP + runs("a y", 0.1, 0.1, 0.2) + runs("b y", 0.3, 0.31, 0.39)
    assert judge(claim(against="b"), rows).verdict == "contradicted"
    assert judge(claim(against="b", holds="mean"), rows).verdict == "supported"


def test_intervals_hold_together() -> None:
    # One case alone clears zero; beside 19 like it, the same numbers must be surer.
    def many(count: int) -> list[Row]:
        return [row for case in range(count) for row in runs(f"a {case}", 1.0, 1.3, 1.9) + runs(f"b {case}", 0.0, 0.0, 0.0)]

    assert judge(claim(against="b"), many(1)).verdict == "supported"
    assert judge(claim(against="b"), many(20)).verdict == "undecided"


def test_one_seed_decides_nothing_without_noise() -> None:
    rows = [*runs("a", 9.0), *runs("b", 0.0)]
    lone = judge(claim(against="b"), rows)
    assert (lone.verdict, lone.cases[0].low, lone.cases[0].high) == ("undecided", -math.inf, math.inf)
    assert judge(claim(against="b"), rows, lambda measure, scale: Noise(0.1, 16)).verdict == "supported"


def test_a_silent_network_has_no_ratio_and_leaves_its_claim_open() -> None:
    finding = judge(claim(against="b", compare="ratio", least=1.0), [*UP, *runs("a y", 0.0, 0.0), *runs("b y", 1.0, 1.0)])
    assert finding[1:] == ("undecided", "a ratio needs values above 0, got 0.0; compare by difference", 0, ())


def test_fewer_seeds_than_asked_for_decide_nothing() -> None:
    finding = judge(claim(against="b", seeds=5), UP)
    assert (finding.verdict, finding.reason) == ("undecided", "3 seeds in 'a x', the claim asks for 5")


def test_no_row_is_undecided() -> None:
    assert judge(claim(of="c"), UP)[1:3] == ("undecided", "no row that it speaks of")


def test_a_ratio_is_shown_as_one_and_never_overflows() -> None:
    rows = runs("a", 4.0, 4.0) + runs("b", 2.0, 1.9)
    (case,) = judge(claim(against="b", compare="ratio", least=1.5, seeds=2), rows).cases
    assert case.value == pytest.approx(math.sqrt(2.0 * 4 / 1.9))
    wild = runs("a", 1e-300, 1e300) + runs("b", 1.0, 1.0)
    assert judge(claim(against="b", compare="ratio", least=1.0), wild).verdict == "undecided"


def test_a_tampered_table_changes_the_verdict() -> None:
    rows = list(paper_rows("beyond-accuracy"))
    asked = next(each for each in paper_claims("beyond-accuracy") if each.name == "unsigned-2-bits-more-accurate")
    assert paper_judged(asked, rows).verdict == "supported"
    swapped = [
        row._replace(tags=row.tags ^ words("signed unsigned")) if row.tags & words("signed unsigned") and "cifar100" in row.tags else row
        for row in rows
    ]
    assert paper_judged(asked, swapped).verdict == "contradicted"


def paper_judged(asked: Claim, rows: list[Row]) -> Finding:
    return judge(asked, rows, lambda measure, scale: paper_noise("beyond-accuracy", measure, scale))


PAPER = {each.name: paper_judged(each, list(paper_rows("beyond-accuracy"))) for each in paper_claims("beyond-accuracy")}


@pytest.mark.parametrize(
    ("name", "outside", "worst"),
    [
        ("wide-2-bits-raises-dead", 2, "-0.227 "),  # CIFAR-10, ResNet-8: 46.6 beside 69.3; ResNet-18: 51.7 beside 71.4
        ("membrane-emd-falls-with-bits", 9, "0.0076 "),  # CIFAR-100, ResNet-18, signed: .0075 at 4 bits, .0151 at 6
        ("membrane-2-bits-costs-4-to-8-points", 5, "-0.016 "),  # CIFAR-100, ResNet-8, unsigned: 70.7 beside 72.3
        ("membrane-4-bits-within-a-point", 1, "-0.019 "),  # CIFAR-100, ResNet-18, unsigned: 73.3 beside 75.2
        ("wide-at-6-bits-costs-little-accuracy", 1, "-0.028 "),  # CIFAR-100, ResNet-8: 69.7 beside 72.5
        ("emd-is-more-than-mean-rate", 3, "0.9917 "),
        ("signed-2-bits-raises-dead", 4, "-0.069 "),  # CIFAR-10, ResNet-18: 86.6 beside unsigned 93.5
    ],
)
def test_what_the_papers_own_cells_contradict(name: str, outside: int, worst: str) -> None:
    finding = PAPER[name]
    assert (finding.verdict, finding.outside) == ("contradicted", outside)
    assert worst in finding.reason


def test_what_the_papers_own_cells_support() -> None:
    assert {name for name, finding in PAPER.items() if finding.verdict == "supported"} == {
        "wide-at-6-bits-accuracy-r18-cifar10",
        "wide-at-2-bits-collapses",
        "wide-fires-more",
        "lqnet-moves-firing-less-on-the-whole",
        "lqnet-competitive-at-2-bits",
        "unsigned-2-bits-more-accurate",
        "signed-4-bits-more-accurate-r18-cifar100",
    }


def test_what_the_paper_prints_no_row_of() -> None:
    assert {name for name, finding in PAPER.items() if not finding.cases} == {
        "wide-fires-more-in-most-layers",
        "uniform-drifts-where-accuracy-is-kept",
        "lqnet-fires-like-float",
        "membrane-2-bits-fires-less-in-most-layers",
        "membrane-errors-compound",
        "emd-foretells-recovery",
        "dead-foretells-recovery",
        "membrane-2-bits-fires-less-than-float",
        "wide-2-bits-raises-dead-beside-float",
        "signed-2-bits-raises-dead-beside-float",
        "membrane-lqnet-collapses",
        "emd-foretells-operations",
        "emd-foretells-noise",
        "dead-foretells-operations",
        "dead-foretells-noise",
    }
