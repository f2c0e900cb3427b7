import pytest
import torch

from spikequant.errors import SpecError
from spikequant.neurons import LIF
from spikequant.numerics import levels
from spikequant.quantizers import ThresholdCentered, Uniform, ZeroCentered
from spikequant.quantizers.following import Following


@pytest.mark.parametrize("kind", [Uniform, ThresholdCentered, ZeroCentered])
@pytest.mark.parametrize("scope", ["step_batch", "sequence_batch", "sample"])
def test_every_range_that_follows_is_built_as_one(kind: type[Uniform], scope: str) -> None:
    spec = kind(bits=4, range=scope)
    quantizer = spec.build((1, 3), 1)
    assert isinstance(quantizer, Following)
    assert (spec.scope, spec.batch_dependent) == (scope, scope != "sample")
    assert not quantizer.needs_data
    assert not quantizer.state_dict().keys() - {"draws"}


def test_the_paper_takes_both_extremes_as_they_are() -> None:
    x = torch.tensor([[-1.0, 0.2, 5.0]])
    assert Uniform(bits=2, range="step_batch").build((1, 3), 1)(x).tolist() == [[-1, pytest.approx(1.0), 5]]


def test_there_is_no_grid_to_export() -> None:
    with pytest.raises(SpecError, match=r"uniform step_batch: its range follows each step_batch.* use range='frozen'"):
        Uniform(bits=2, range="step_batch").build((1, 3), 1).grid()


def test_a_range_short_of_the_threshold_is_widened_to_it() -> None:
    grid = ThresholdCentered(bits=2, range="frozen").over(torch.tensor(-1.0), torch.tensor(0.5))
    assert levels(grid).tolist() == pytest.approx([-1, 0.8, 0.98, 0.998], abs=2e-3)


def test_equal_values_are_kept() -> None:
    assert Uniform(bits=2, range="step_batch").build((1, 3), 1)(torch.full((2, 3), 0.7)).tolist() == [[pytest.approx(0.7)] * 3] * 2


def test_a_neuron_hands_the_way_to_its_scan() -> None:
    current = torch.rand(4, 6, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 1, 1, 7, 7, 7]).reshape(1, 6, 1)
    for scope in ("step_batch", "sequence_batch", "sample"):
        lif = LIF(decay=0.9, state=Uniform(bits=3, range=scope).build((1, 5), 1))
        whole, half = lif(current), lif(current[:, :3])
        assert torch.equal(whole[:, :3], half) == (scope == "sample")
