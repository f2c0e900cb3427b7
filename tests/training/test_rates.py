import pytest
import torch
from torch import nn

from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import LIF
from spikequant.training import Rates, Training, fit, recorded
from spikequant.training.rates import near_rates, rate_distance

LOADER = [(torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 6)]


def net(scale: float = 1.0) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(6, 6, bias=False), LIF(decay=0.5))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(6) * scale)
    return model


def test_the_distance_of_sorted_rates_by_hand_and_its_gradient() -> None:
    rates = torch.tensor([0.0, 0.1, 0.2, 0.3], requires_grad=True)
    distance = rate_distance(rates, torch.tensor([0.6, 0.0, 0.2, 0.0]))
    distance.backward()
    assert distance.item() == pytest.approx(0.1)
    assert rates.grad is not None
    assert rates.grad.tolist() == [0.0, 0.25, 0.0, -0.25]


def test_the_distribution_sees_what_the_mean_does_not() -> None:
    spread, narrow = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.5])
    assert rate_distance(spread, narrow).item() == 0.5
    assert rate_distance(spread, narrow, "mean").item() == 0.0


def test_a_network_asked_for_its_own_rates_pays_nothing_and_another_pays_its_weight() -> None:
    def term(weight: float, model: nn.Module) -> float:
        with near_rates(model, recorded(Rates(weight=weight), net(2.0), LOADER)) as found:
            model(LOADER[0][0])
        return float(torch.as_tensor(found()).detach())

    assert term(1.0, net(2.0)) == pytest.approx(0, abs=1e-7)
    assert term(4.0, net(0.7)) == pytest.approx(4 * term(1.0, net(0.7)))
    assert term(1.0, net(0.7)) > 0.1


def test_training_with_a_large_weight_ends_nearer_to_the_rates() -> None:
    distances = []
    for weight in (None, 10.0):
        model = net(0.7)
        wish = recorded(Rates(weight=weight or 1.0), net(2.0), LOADER)
        fit(model, LOADER, Training(epochs=30, lr=0.05, rates=wish if weight else None))
        with near_rates(model, wish.model_copy(update={"weight": 1.0})) as found:
            model(LOADER[0][0])
        distances.append(float(torch.as_tensor(found()).detach()))
    assert distances[1] < distances[0] / 2


def test_rates_that_are_absent_or_of_others_are_refused() -> None:
    with pytest.raises(SpecError, match="holds no rates yet"):
        fit(net(), LOADER, Training(epochs=1, rates=Rates(weight=1.0)))
    with pytest.raises(MismatchError, match="rates are wanted of other, the model has 1"):
        fit(net(), LOADER, Training(epochs=1, rates=Rates(weight=1.0, wanted={"other": (0.5,)})))
    with pytest.raises(MismatchError, match=r"layer '1' has . channels, rates are wanted of 1; record them anew"):
        fit(net(), LOADER, Training(epochs=1, rates=Rates(weight=1.0, wanted={"1": (0.5,)})))
