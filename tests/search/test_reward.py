"""The selections of Q-SpiNN's Table II, from its own accuracies and memory savings."""

import pytest

from spikequant.errors import SpecError
from spikequant.search import PUBLISHED_MU, Scored, bearing, paper_rows, reward, select


def candidates(network: str) -> list[Scored]:
    return [Scored(row.measures["accuracy"], 1 / row.measures["memory_saving"]) for row in bearing(paper_rows("qspinn"), network)]


UNSUPERVISED, SUPERVISED = candidates("unsupervised"), candidates("supervised")


def test_unsupervised_rewards_and_selections() -> None:
    assert [select(UNSUPERVISED, mu) for mu in (0.01, 0.2, 0.3, 0.4, 0.5, 1.0)] == [0, 2, 2, 2, 2, 2]
    assert [round(reward(each, 1.0), 3) for each in UNSUPERVISED] == [0.553, 0.609, 0.612]
    tied = [reward(each, 0.1) for each in UNSUPERVISED]
    assert abs(tied[1] - tied[2]) < 1e-5 < tied[1] - tied[0]  # the paper's b wins here or nowhere: its mu of b and c are swapped


def test_supervised_selections_agree_with_the_paper() -> None:
    assert [select(SUPERVISED, mu) for mu in PUBLISHED_MU] == [0, 1, 2, 2, 2, 2, 2]


def test_of_equals_the_smaller_memory_wins() -> None:
    assert select([Scored(0.9, 0.5), Scored(0.9, 0.25), Scored(0.9, 0.25)], mu=0.0) == 1


@pytest.mark.parametrize(
    ("scored", "mu", "complaint"),
    [
        (Scored(86.6, 0.3), 0.1, "accuracy 86.6 must be a fraction"),
        (Scored(0.8, 0.0), 0.1, "memory share 0.0 must be above 0"),
        (Scored(0.8, 0.3), -1, "mu -1 at least 0"),
    ],
)
def test_values_out_of_range_are_refused(scored: Scored, mu: float, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        reward(scored, mu)


def test_nothing_to_select_from_is_refused() -> None:
    with pytest.raises(SpecError, match="nothing met the tolerance"):
        select([], 0.1)
