import pytest
import torch

from spikequant.numerics import soundness
from spikequant.numerics.soundness import has_nan, holds, recording


def test_a_nan_is_seen() -> None:
    assert has_nan(torch.tensor([1.0, torch.nan]))
    assert not has_nan(torch.tensor([1.0, torch.inf]))
    assert not has_nan(torch.tensor([torch.inf, -torch.inf]))  # their sum is NaN
    assert has_nan(torch.tensor([torch.inf, torch.nan]))
    assert not has_nan(torch.tensor([3e38, 3e38, -3e38, -3e38]))  # sums on the way are not finite
    assert not has_nan(torch.tensor([]))
    assert has_nan(torch.tensor([1.0, torch.nan], dtype=torch.bfloat16, requires_grad=True))


def test_nothing_is_recorded_without_a_gpu() -> None:
    assert not recording() or torch.cuda.is_available()


def test_what_is_only_recorded_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundness, "recording", lambda: True)
    assert not has_nan(torch.tensor([torch.nan]))
    assert holds(torch.tensor([False]))


def test_a_condition_holds_everywhere_or_not() -> None:
    assert holds(torch.tensor([True, True]))
    assert not holds(torch.tensor([True, False]))
