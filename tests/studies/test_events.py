from spikequant.studies.events import Progress


def test_progress_is_plain_and_frozen() -> None:
    assert hash(Progress(1, 0, 2, (("a", 1, None),), ("a", 0.5)))
