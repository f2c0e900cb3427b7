from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikequant.neurons import IF, tap
from spikequant.numerics import Surrogate, spike
from spikequant.training import Rates, Training, fit, recorded
from spikequant.training.hearing import Heard


class Loop(nn.Module):
    """A loop of a user's own, that calls every layer once a step."""

    def __init__(self, *neurons: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2), *neurons])

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(())
        for _ in range(4):
            spikes = self.layers[0](x)
            for layer in self.layers[1:]:
                spikes = layer(spikes.unsqueeze(0))[0] if isinstance(layer, IF) else layer(spikes)
            total = total + spikes
        return total


def test_a_single_call_is_kept_as_it_is() -> None:
    heard, spikes = Heard(torch.mean), torch.rand(3, 5)
    heard("lif", spikes)
    assert heard.rates["lif"].equal(spikes.mean())


def test_all_steps_of_a_loop_count() -> None:
    model, heard = nn.Sequential(IF()), Heard(lambda spikes: spikes.mean((0, 1)))
    with tap(model, heard):
        for current in (torch.ones(1, 1, 2), torch.zeros(3, 1, 2)):
            model(current)
    assert heard.rates["0"].tolist() == [0.25, 0.25]


@pytest.mark.parametrize("guests", [False, True])
def test_rates_are_a_goal_in_a_loop_over_time(foreign: ModuleType, guests: bool) -> None:
    """A guest that runs step by step is heard when its pass has ended."""
    torch.manual_seed(0)
    neurons = [foreign.Leaky(0.5) if guests else IF(0.5) for _ in range(3)]
    for neuron in neurons if guests else []:
        neuron.spike_grad = lambda x: spike(x, ">", Surrogate())
    model, loader = Loop(*neurons), [(torch.rand(8, 2) * 2, torch.arange(8) % 2)]
    wishes: list[dict[str, Any]] = [{}, {"rate_pull": 4.0}]
    if guests:  # which are recorded in a loop, too
        wishes.append({"rates": recorded(Rates(weight=8.0), model, loader)})
    plain, *wished = [fit(model, loader, Training(epochs=1, lr=1e-9, **wish)).losses[0] for wish in wishes]
    assert wished[0] > plain
    assert wished[1:] == pytest.approx([plain] * guests, abs=1e-5)  # its own rates are what it is asked for
