import pytest
import torch
from torch import Tensor

from spikequant.data import Batches, hold_out, load
from spikequant.errors import MismatchError, SpecError
from spikequant.models import build
from spikequant.training import Stdp, assign, evaluate, learn, voted
from spikequant.training.assignment import labels_of


def test_labels_are_of_the_highest_mean_response() -> None:
    # Class 0 was shown twice: its mean for the second neuron is 2, that of class 1 is 3.
    counts = torch.tensor([[4, 2, 0], [2, 2, 0], [1, 3, 0]])
    assert labels_of(counts, torch.tensor([0, 0, 1]), 2).tolist() == [0, 1, -1]


def test_digits_are_told_apart_without_labels() -> None:
    rest, few = hold_out(load("digits").train, 0.4, 0)
    loader, unseen = Batches(few, 100, 16.0), Batches(rest, 400, 16.0)
    model = build("stdp-net", inputs=64, neurons=60, time=100, rate_hz=250.0, inhibition=60.0)
    with pytest.raises(SpecError, match="no neuron has a class yet"):
        voted(model, unseen)
    list(learn(model, loader, Stdp(epochs=2)))
    labels = assign(model, loader)
    assert torch.equal(labels, model.vote.labels)
    found = voted(model, unseen)
    assert found > 0.5  # chance is 0.1
    assert evaluate(model, unseen) == found


def test_a_network_without_a_spike_is_right_about_nothing() -> None:
    model = build("stdp-net", inputs=4, neurons=2, classes=2, time=5)
    torch.nn.init.zeros_(model.synapses.weight)
    images = [(torch.ones(2, 1, 2, 2), torch.tensor([0, 1]))]
    assert assign(model, images).tolist() == [-1, -1]
    assert voted(model, images) == 0.0


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (torch.tensor([0, 2]), "target 2 is none of the model's 2 classes"),
        (torch.tensor([[0], [1]]), r"targets must be int64 of shape \(2,\), got torch.int64 of shape \(2, 1\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels: Tensor, told: str) -> None:
    model = build("stdp-net", inputs=4, neurons=2, classes=2, time=5)
    torch.nn.init.zeros_(model.synapses.weight)
    for judge in (assign, evaluate):
        with pytest.raises(MismatchError, match=told):
            judge(model, [(torch.ones(2, 1, 2, 2), labels)])


def test_a_network_without_a_vote_is_refused() -> None:
    for judge in (assign, voted):
        with pytest.raises(MismatchError, match="STDP trains networks like stdp-net"):
            judge(build("digits"), [])
