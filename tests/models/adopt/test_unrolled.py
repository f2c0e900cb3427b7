"""The user's loop over time, as a module."""

from types import ModuleType

import pytest
import torch
from torch import nn

from spikequant.errors import MismatchError
from spikequant.models import Unrolled


def test_from_rest_every_time(foreign: ModuleType) -> None:
    model = Unrolled(foreign.IFNode(), steps=4)
    assert [model(torch.full((1, 1), 0.75)).item() for _ in range(2)] == [3.0, 3.0]


def test_events_and_states_handed_on() -> None:
    class Adding(nn.Module):
        def forward(self, x: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
            state = x if state is None else state + x
            return state, state

    assert Unrolled(Adding())(torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1)).item() == 1 + 3 + 7


def test_refuses() -> None:
    with pytest.raises(MismatchError, match="steps must be at least 1, got 0"):
        Unrolled(nn.Identity(), steps=0)
    with pytest.raises(MismatchError, match="no time steps"):
        Unrolled(nn.Identity())(torch.zeros(0, 2))
