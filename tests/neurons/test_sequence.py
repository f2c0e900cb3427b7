"""What every neuron makes of a current, whether it runs in a scan or step by step."""

import pytest
import torch
from torch import nn

from spikequant.errors import MismatchError
from spikequant.neurons import LIF, Alpha, Competing, ParametricLIF, Refraining, Synaptic, Traces, TrainedThreshold
from spikequant.neurons.sequence import as_given, sequence

LAYERS: dict[str, nn.Module] = {
    "lif": LIF(decay=0.5),
    "lif resting elsewhere": LIF(decay=0.5, reset="value", reset_value=-0.5),
    "synaptic": Synaptic(synapse=0.5, decay=0.5),
    "alpha": Alpha(decay=0.75, inhibitory=0.5),
    "parametric": ParametricLIF(),
    "trained": TrainedThreshold(),
    "competing": Competing(neurons=3),
    "traces": Traces(),
    "refraining": Refraining(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_no_time_and_steps_that_are_not_one_are_refused(name: str) -> None:
    with pytest.raises(MismatchError, match=r"must be .* and not empty"):
        LAYERS[name](torch.ones(0, 2, 3))
    for time, steps in ((2, 4), (1, 0)):
        with pytest.raises(MismatchError, match=f"got steps={steps} and {time} time steps"):
            LAYERS[name](torch.ones(time, 2, 3), steps)


@pytest.mark.parametrize("name", LAYERS)
def test_whole_numbers_are_read_as_float32(name: str) -> None:
    current = torch.randint(0, 3, (5, 2, 3), generator=torch.Generator().manual_seed(0))
    assert LAYERS[name](current).equal(LAYERS[name](current.float()))


def test_one_step_for_many() -> None:
    current = torch.rand(1, 2, 3).bfloat16()
    assert sequence(current, 4).equal(current.float().expand(4, 2, 3))
    assert as_given(sequence(current, 4), current).equal(current.expand(4, 2, 3))
