import json
from pathlib import Path

from spikequant.studies.dynamics import FILE, kept, schedule
from spikequant.training import Epoch, Froze


def froze(epoch: int, share: float) -> Froze:
    return Froze(epoch, 0.5, {"conv1": share}, {"conv1": 0.1}, 0.9, 0.4)


def test_every_epoch_is_written_before_it_is_done_and_once(tmp_path: Path) -> None:
    events = [froze(1, 0.1), Epoch(1, 0.5, 0.9, 1.0), froze(2, 0.4)]
    seen = []
    for event in kept(events, tmp_path):
        seen.append(event)
        if isinstance(event, Epoch):
            assert list(json.loads((tmp_path / FILE).read_text())) == ["1"]
    assert seen == events
    again = list(kept([froze(2, 0.4), froze(3, 1.0)], tmp_path))
    assert len(again) == 2
    assert [epoch["shares"]["conv1"] for epoch in json.loads((tmp_path / FILE).read_text()).values()] == [0.1, 0.4, 1.0]


def test_ordinary_training_leaves_no_file(tmp_path: Path) -> None:
    assert list(kept([Epoch(1, 0.5, None, 1.0)], tmp_path)) == [Epoch(1, 0.5, None, 1.0)]
    assert not (tmp_path / FILE).exists()


def test_a_schedule_is_told_in_full() -> None:
    found = schedule({"training": {"epochs": 3, "freezing": {"tail": 0.2}}})
    assert (found["order"], found["tail"], found["refresh"]) == ("forward", 0.2, 100)
