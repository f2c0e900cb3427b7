from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from spikequant.behavior import Operations, operations
from spikequant.behavior.operations import reached
from spikequant.errors import SpecError
from spikequant.models import build


def naive(layer: nn.Conv2d, x: torch.Tensor) -> int:
    """Every kernel position of every output, one by one."""
    padded = nn.functional.pad(x, [layer.padding[0]] * 4)
    ones = nn.functional.pad(torch.ones_like(x), [layer.padding[0]] * 4)
    count, group = 0, layer.in_channels // layer.groups
    height = (padded.shape[2] - layer.kernel_size[0]) // layer.stride[0] + 1
    for out in range(layer.out_channels):
        first = out // (layer.out_channels // layer.groups) * group
        for row in range(height):
            for column in range(height):
                place = (slice(None), slice(first, first + group))
                window = (*place, slice(row * layer.stride[0], None), slice(column * layer.stride[0], None))
                k = layer.kernel_size[0]
                count += int(((padded[window][..., :k, :k] != 0) & (ones[window][..., :k, :k] != 0)).sum())
    return count


@pytest.mark.parametrize("form", [{"padding": "same"}, {"padding": (0, 2), "stride": (2, 1), "dilation": (1, 2)}, {"padding": "valid"}])
def test_synapses_are_those_that_a_convolution_of_ones_adds_up(form: dict[str, Any]) -> None:
    layer = nn.Conv2d(2, 3, (5, 3), bias=False, **form).requires_grad_(False)
    nn.init.ones_(layer.weight)
    x = -(torch.rand(3, 2, 7, 9, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    assert reached(layer, x) == float(layer(-x).sum())
    assert reached(layer, x[0]) == float(layer(-x[0]).sum())


@pytest.mark.parametrize(("stride", "padding", "groups"), [(1, 1, 1), (2, 1, 1), (1, 0, 2)])
def test_convolutions_count_every_synapse_that_an_input_reaches(stride: int, padding: int, groups: int) -> None:
    layer = nn.Conv2d(4, 6, 3, stride=stride, padding=padding, groups=groups)
    x = (torch.rand(2, 4, 5, 5, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    found = operations(nn.Sequential(layer), [(x, torch.zeros(2))])["0"]
    assert found == Operations(naive(layer, torch.ones_like(x)) / 2, naive(layer, x) / 2)


def test_a_silent_input_costs_nothing_and_a_still_image_counts_once() -> None:
    network = build("digits", width=4).eval()
    found = operations(network, [(torch.zeros(3, 1, 8, 8), torch.zeros(3))])
    assert found["conv1"].effective == 0
    assert found["conv1"].dense < 4 * 9 * 64 <= 4 * 9 * 64 * network.wiring.time
    assert list(found) == ["conv1", "conv2", "readout"]


def test_hooks_are_gone_afterwards_even_after_a_failure() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(RuntimeError):
        operations(model, [(torch.zeros(2, 5), torch.zeros(2))])
    assert not model[0]._forward_pre_hooks


def test_a_model_without_synapses_is_refused() -> None:
    with pytest.raises(SpecError, match="no convolution or linear layer"):
        operations(nn.Sequential(nn.ReLU()), [(torch.zeros(1, 1), torch.zeros(1))])


@pytest.mark.parametrize("layer", [nn.Conv1d(1, 1, 3), nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")])
def test_a_convolution_that_cannot_be_counted_is_refused(layer: nn.Module) -> None:
    with pytest.raises(SpecError, match="layer '0': operations are counted of Conv2d with padding_mode='zeros' and of Linear, got Conv"):
        operations(nn.Sequential(layer, nn.Linear(4, 3)), [(torch.ones(1, 1, 4, 4), torch.zeros(1))])


def test_no_sample_has_no_operations() -> None:
    with pytest.raises(SpecError, match="the loader gave no sample"):
        operations(nn.Linear(4, 3), [(torch.zeros(0, 4), torch.zeros(0))])


def test_guests_begin_every_batch_at_rest(foreign: ModuleType) -> None:
    """A charge of 0.6 fires only on top of that of the batch before."""
    model, batch = nn.Sequential(foreign.IFNode(step_mode="m"), nn.Linear(1, 3)), (torch.full((1, 1, 1), 0.6), torch.zeros(1))
    assert operations(model, [batch, batch])["1"] == Operations(3.0, 0.0)
