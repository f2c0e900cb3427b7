from spikequant.views.figures.outcomes import outcomes

TRIALS = [
    {"name": "ptq/f6/s0", "measures": {"accuracy": 0.9, "memory_bits": 8192}},
    {"name": "ptq/f4/s0", "measures": {"accuracy": 0.8, "memory_bits": 4096}},
    {"name": "itq/f4/s0", "measures": {"accuracy": 0.7, "memory_bits": 8192}},
    {"name": "float/s0", "measures": {"accuracy": 0.9}},
]


def test_every_trial_with_both_measures_is_a_mark_and_groups_differ_in_shape() -> None:
    figure = outcomes(TRIALS)
    assert figure is not None
    marks = figure.panels[0].split('class="mark-symbol role-mark')[1].split("</g>")[0]
    assert marks.count("<path") == 3
    assert all(f">{group}<" in figure.panels[0] for group in ("ptq", "itq"))
    assert "float" not in figure.alt
    assert "ptq/f4/s0: accuracy 80.0%, 512.0 B" in figure.alt
    assert '"trial": "itq/f4/s0"' in figure.specs[0]


def test_candidates_of_a_search_stand_by_their_scheme() -> None:
    named = [trial | {"name": f"weights LQ-Net {index} bits, ptq"} for index, trial in enumerate(TRIALS)]
    figure = outcomes(named)
    assert figure is not None
    assert '"group": "ptq"' in figure.specs[0]


def test_one_trial_alone_is_not_drawn() -> None:
    assert outcomes([TRIALS[0], TRIALS[3]]) is None
