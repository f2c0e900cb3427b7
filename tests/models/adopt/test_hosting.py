"""A guest whose steps ours do; beside the real ones in ``tests/peers/test_guests.py``."""

import copy
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.models.adopt import adopt, host, observers
from spikequant.neurons import Synaptic


def current() -> Tensor:
    return torch.randint(-2, 6, (7, 2, 3), generator=torch.Generator().manual_seed(0)) / 4.0


def test_same_spikes_and_states_in_either_mode(foreign: ModuleType) -> None:
    for mode in ("s", "m"):
        guest, hosted = foreign.IFNode(step_mode=mode), foreign.IFNode(step_mode=mode)
        host("here", hosted)
        for _ in range(2):  # the second goes on from where the first stopped
            runs = [[each(x) for x in current()] if mode == "s" else [each(current())] for each in (guest, hosted)]
            assert all(a.equal(b) for a, b in zip(*runs, strict=True))
            assert hosted.v.equal(guest.v)
        hosted.reset()
        assert hosted.v == 0.0


def test_a_copy_hosts_for_itself(foreign: ModuleType) -> None:
    hosted = foreign.IFNode()
    own = host("here", hosted)
    for twin in (copy.deepcopy(hosted),):
        assert twin.forward.guest is twin
        assert twin.stand_in is not own
        twin(torch.ones(1, 1))
    assert hosted.v == 0.0


class LIFState(NamedTuple):
    v: Tensor
    i: Tensor


def test_a_step_of_norse(foreign: ModuleType) -> None:
    guest = foreign.LIFCell()
    own = host("here", guest)
    assert isinstance(own, Synaptic)
    v = i = torch.zeros(2, 3)
    state = LIFState(torch.tensor(0.0), i)  # Norse begins with a membrane of one number
    for x in current() * 4:
        spikes, state = guest(x, state)
        i = i + x
        v = v + (i - v) * 0.25
        i = i - 0.2 * i
        fired = (v > 1).float()
        v = (1 - fired) * v
        assert spikes.equal(fired)
        assert torch.allclose(state.v, v)
        assert torch.allclose(state.i, i)


def test_observers_are_shown_currents_and_where_they_start(foreign: ModuleType) -> None:
    guest = foreign.IFNode()
    host("here", guest)
    seen = []
    observers(guest).append(lambda own, sequence, start: seen.append((tuple(sequence.shape), start.sum().item())))
    guest(torch.full((1, 2), 0.5))
    guest(torch.full((1, 2), 0.5))
    assert seen == [((1, 1, 2), 0.0), ((1, 1, 2), 1.0)]


def test_refuses(foreign: ModuleType) -> None:
    with pytest.raises(SpecError, match=r"here \(store_v_seq\) .* our neuron hands out the last membrane alone"):
        host("here", foreign.IFNode(store_v_seq=True))
    hosted = foreign.IFNode()
    host("here", hosted)
    with pytest.raises(SpecError, match=r"0 \(IFNode\) .* its state is quantized already; adopt the float network"):
        adopt(nn.Sequential(hosted), (2,), time=2)
