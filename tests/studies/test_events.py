from spikequant.studies.events import Progress, StudyEnded


def test_progress_is_plain_and_frozen() -> None:
    assert hash(Progress(1, 0, 2, (("a", 1, None),), ("a", 0.5)))


def test_the_end_of_a_study_is_printed_as_a_table() -> None:
    done = {"key": "k", "name": "float/s0", "state": "done", "measures": {"accuracy": 0.5, "emd": None}}
    blocked = {"key": "l", "name": "ptq/s0", "state": "blocked", "measures": {}, "reason": "it needs another"}
    assert str(StudyEnded((done, blocked), interrupted=False, stopped="the disk is full")).splitlines() == [
        "accuracy     emd  state    trial",
        "  0.5000       -  done     float/s0",
        "       -       -  blocked  ptq/s0",
        "1 of 2 trials done; stopped: the disk is full",
    ]
    assert str(StudyEnded((done,), interrupted=True, stopped=None)).endswith("1 of 1 trials done; interrupted")
