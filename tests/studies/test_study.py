import pytest

from spikequant.errors import SpecError
from spikequant.studies.study import Study, grouped


def test_fields_of_trials_stand_beside_the_names_of_their_group() -> None:
    document = {"version": 1, "name": "s", "trials": [{"name": "a", "tags": ["t"], "training": {"lr": 1.0}}]}
    study = Study.read(grouped(document))
    assert study.trials[0].tags == ("t",)
    assert study.trials[0].sets == {"training": {"lr": 1.0}}


def test_what_is_no_list_of_tables_is_left_to_be_refused() -> None:
    with pytest.raises(SpecError, match="trials"):
        Study.read(grouped({"version": 1, "name": "s", "trials": 3}))


def test_all_mistakes_are_told() -> None:
    with pytest.raises(SpecError) as caught:
        Study.read({"version": 2, "name": "a b", "objectiv": "emd", "trials": []})
    told = str(caught.value)
    assert "version" in told
    assert "name" in told
    assert "did you mean 'objective'" in told
    assert "trials" in told
