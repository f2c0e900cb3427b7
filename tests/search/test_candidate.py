import pytest

from spikequant.errors import SpecError
from spikequant.search import Candidate, Shape, Verdict, asked, every


def test_every_candidate_once_and_the_finest_first() -> None:
    found = list(asked(every(Shape((3, 2), schemes=2, roundings=3)), lambda _: Verdict(True)))
    assert len(set(found)) == len(found) == Shape((3, 2), 2, 3).size == 36
    assert found[0] == Candidate(0, (0, 0), 0)


def test_nothing_is_judged_twice() -> None:
    def twice():
        yield Candidate(0, (0,), 0)
        yield Candidate(0, (0,), 0)

    judged = []
    asked(twice(), lambda candidate: judged.append(candidate) or Verdict(True))
    assert len(judged) == 1


@pytest.mark.parametrize("shape", [Shape(()), Shape((0, 3)), Shape((3,), schemes=0), Shape((3,), roundings=0)])
def test_an_empty_space_is_refused(shape: Shape) -> None:
    with pytest.raises(SpecError, match="is empty"):
        next(every(shape))
