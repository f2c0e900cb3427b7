from spikequant.recipes import Space
from spikequant.studies import Evaluated, Exploration
from spikequant.studies.bench import Measures
from spikequant.views.figures.searched import searched


def test_candidates_outside_the_bounds_have_another_shape() -> None:
    measures = [Measures(accuracy=a, memory_bits=b, samples=9, memory_share=0.5, steps=4, emd=0.1) for a, b in ((0.9, 800), (0.5, 400))]
    evaluated = [
        Evaluated(scheme="ptq", levels=(0,), choices={}, measures=each, passed=each.accuracy > 0.6, seconds=1.0) for each in measures
    ]
    found = Exploration(
        model="m", space=Space.from_toml("weights = ['float']"), strategy="every", objectives=("accuracy", "memory"),
        max_drop=0.1, seed=0, baseline=measures[0], evaluated=tuple(evaluated),
    )  # fmt: skip
    figure = searched(found)
    assert all(word in figure.panels[0] for word in (">within the bounds<", ">outside<"))
    assert "accuracy 50.0%" in figure.alt
