import json

import pytest

from spikequant.training.events import History
from spikequant.training.spec import Training

NEW = History.of(Training(epochs=9, seed=3, start="float", pairing="independent"))


def of(*accuracies: float | None) -> History:
    history = NEW
    for step, accuracy in enumerate(accuracies, start=1):
        history = history.after(loss=1.0 / step, accuracy=accuracy, seconds=0.5, steps=10 * step)
    return history


def test_a_history_grows_by_epochs_and_says_how_the_run_began():
    history = of(0.25, 0.5)
    assert (history.losses, history.accuracies, history.seconds, history.steps) == ((1.0, 0.5), (0.25, 0.5), (0.5, 0.5), 20)
    assert (history.seed, history.start, history.pairing, history.epochs) == (3, "float", "independent", 2)
    assert NEW.epochs == 0


def test_the_best_epoch_is_the_first_of_the_highest_accuracy():
    assert of(0.2, 0.6, 0.4, 0.6).best_epoch == 2
    assert of(None, None).best_epoch is None
    assert of(None, None, 0.2, 0.6).best_epoch == 4  # a run that went on with validation
    assert of(0.6, None, 0.2).best_epoch == 3


@pytest.mark.parametrize(
    ("accuracies", "patience", "stalled"),
    [
        ((0.5, 0.4), 2, False),
        ((0.5, 0.4, 0.3), 2, True),
        ((0.5, 0.4, 0.5), 2, True),  # as good is not better
        ((0.5, 0.4, 0.6), 2, False),
        ((0.5, 0.4, 0.3), None, False),
        ((None, None, None), 2, False),
    ],
)
def test_a_run_stalls_when_its_last_epochs_are_no_better(accuracies, patience, stalled):
    assert of(*accuracies).stalled(patience) is stalled


def test_a_history_is_plain_data():
    plain = of(0.25, 0.5).to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["best_epoch"], plain["epochs"], plain["pairing"]) == (2, 2, "independent")
    assert of(None).to_dict()["best_epoch"] is None


def test_a_history_is_read_back_equal():
    assert History.read(of(0.1, 1 / 3).fields()) == of(0.1, 1 / 3)
