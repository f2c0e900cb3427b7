from spikequant.views.trials import trials_table


def test_main_measures_are_shown_and_every_one_on_request() -> None:
    rows = [{"name": "a", "state": "done", "key": "k", "measures": {"accuracy": 0.5, "unknown": 0.25, "count": 3}}]
    assert trials_table(rows).cells() == [["a", "done", "50.0%"]]
    assert trials_table(rows, every=True).cells() == [["a", "done", "k", "50.0%", "0.2500", "3"]]


def test_a_reading_of_a_paper_is_marked() -> None:
    rows = [{"name": "a", "state": "done", "key": "k", "uncertain": True, "measures": {"accuracy": 0.5}}]
    assert trials_table(rows).cells() == [["a ?", "done", "50.0%"]]
