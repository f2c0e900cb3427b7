from spikequant.studies.table import PROCEDURES


def test_names_are_those_of_the_manual() -> None:
    assert {"post_training", "stdp", "supervised"} <= PROCEDURES.keys()
