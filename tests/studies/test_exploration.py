import pytest

from spikequant.errors import FormatError, MismatchError, SpecError
from spikequant.quantizers import LQNet
from spikequant.recipes import Space
from spikequant.studies.bench import Measures
from spikequant.studies.exploration import Evaluated, Exploration

SPACE = Space(weights=tuple(LQNet(bits=bits) for bits in (8, 4, 3, 2)))
TOLD = [(0.95, 800, 0.001), (0.95, 400, 0.004), (0.94, 300, 0.030), (0.80, 200, 0.2)]


def measures(accuracy: float, bits: int, emd: float | None) -> Measures:
    return Measures(accuracy=accuracy, samples=100, memory_bits=bits, memory_share=bits / 3200, steps=4, emd=emd)


@pytest.fixture
def found() -> Exploration:
    evaluated = tuple(
        Evaluated(
            scheme="ptq",
            levels=(level,),
            choices={"weights": f"LQ-Net {level}"},
            measures=measures(*told),
            passed=told[0] >= 0.94,
            seconds=0.1,
        )
        for level, told in enumerate(TOLD)
    )
    return Exploration(
        model="m", space=SPACE, strategy="every", objectives=("accuracy", "memory", "emd"), max_drop=0.01, seed=0,
        baseline=measures(0.95, 3200, 0.0), evaluated=evaluated,
    )  # fmt: skip


def test_best_is_the_smallest_within_the_bounds(found: Exploration) -> None:
    assert found.best().weights == LQNet(bits=3)
    assert found.best(max_drop=0.0).weights == LQNet(bits=4)
    assert found.best(max_drop=0.2).weights == LQNet(bits=2)
    assert found.best(max_emd=0.01).weights == LQNet(bits=4)
    assert found.best(max_drop=0.2, mu=0.01).weights == LQNet(bits=4)


def test_an_objective_keeps_what_accuracy_and_memory_alone_would_drop(found: Exploration) -> None:
    assert [each.levels[0] for each in found.front(("accuracy", "memory"))] == [1, 2, 3]
    assert [each.levels[0] for each in found.front()] == [0, 1, 2, 3]
    assert found.knee().levels == (1,)


def test_bounds_that_nothing_keeps_say_how_near_it_came(found: Exploration) -> None:
    near = "the nearest is weights LQ-Net 0, ptq with a drop of 0.0000 and an EMD of 0.0010"
    with pytest.raises(SpecError, match=near):
        found.best(max_emd=0.0005)
    with pytest.raises(SpecError, match="no candidate was measured to the end"):
        found.model_copy(update={"evaluated": ()}).best()


def test_where_all_were_stopped_the_most_accurate_says_how_near_it_came(found: Exploration) -> None:
    early = {"note": "hopeless", "passed": False}
    told = [measures(share, 100, None) for share in (0.3, 0.5)]
    stopped = [each.model_copy(update=early | {"measures": said}) for each, said in zip(found.evaluated[:2], told, strict=True)]
    diverged = found.evaluated[2].model_copy(update={"note": "diverged", "measures": measures(0.0, 100, None)})
    near = r"none keeps .* 0.01; the most accurate is weights LQ-Net 1, ptq, stopped at an accuracy of 0.5000 on the first 100 of 100 sam"
    with pytest.raises(SpecError, match=near):
        found.model_copy(update={"evaluated": (*stopped, diverged)}).best()
    with pytest.raises(SpecError, match=r"so none keeps a drop of at most 0.01; allow"):
        found.model_copy(update={"evaluated": (diverged,)}).best()


def test_hopeless_ones_are_on_no_front(found: Exploration) -> None:
    gone = found.evaluated[3].model_copy(update={"note": "hopeless", "measures": measures(0.99, 1, None)})
    assert gone not in found.model_copy(update={"evaluated": (*found.evaluated[:3], gone)}).front()


def test_hypervolume_never_falls(found: Exploration) -> None:
    course = found.hypervolume()
    assert course == sorted(course)
    assert 0 < course[0] < course[-1] < 1
    assert found.model_copy(update={"evaluated": ()}).hypervolume() == []


def test_hypervolumes_of_searches_share_a_box(found: Exploration) -> None:
    fewer = found.model_copy(update={"evaluated": found.evaluated[1:3]})
    two = fewer.model_copy(update={"objectives": ("accuracy", "memory")})
    wide = found.model_copy(update={"objectives": ("accuracy", "memory")})
    box = 1.01 * (1.01 - 200 / 600)  # of the first: as accurate as the best, 200 of 600 bits above the smallest
    assert two.hypervolume(beside=[wide])[0] == pytest.approx(box / 1.01**2)
    assert found.hypervolume(beside=[fewer, found]) == found.hypervolume()
    assert fewer.hypervolume(beside=[found])[-1] < found.hypervolume()[-1]
    with pytest.raises(
        MismatchError, match=r"beside: a search by \('memory',\) does not compare with one by \('accuracy', 'memory', 'emd'\)"
    ):
        found.hypervolume(beside=[found.model_copy(update={"objectives": ("memory",)})])


def test_the_record_survives_and_damage_is_named(found: Exploration) -> None:
    assert Exploration.from_dict(found.to_dict()) == found
    assert "LQ-Net 1" in str(found)
    with pytest.raises(FormatError, match="make it again with explore"):
        Exploration.from_dict(found.to_dict() | {"evaluated": [{"scheme": 3}]})
