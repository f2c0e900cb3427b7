import pytest
import torch
from torch import nn

from spikequant.errors import MismatchError
from spikequant.models import build
from spikequant.training.outputs import device_of, refuse_targets, step_outputs


class Stepped(nn.Module):
    """Gives other values from ``steps`` than when called."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.saw: torch.dtype | None = None

    def forward(self, x):
        return self.linear(x)

    def steps(self, x):
        y = self.linear(x)
        self.saw = y.dtype
        return torch.stack([y, y + 1])


def test_steps_are_preferred_to_a_call():
    model, x = Stepped(), torch.ones(4, 2)
    outputs = step_outputs(model, x)
    assert torch.equal(outputs[0], model(x))
    assert torch.equal(outputs[1], model(x) + 1)


def test_a_number_of_steps_is_no_method():
    model, x = nn.Linear(2, 3), torch.ones(4, 2)
    model.steps = 8
    assert torch.equal(step_outputs(model, x)[0], model(x))


def test_a_network_gives_every_step():
    model, x = build("digits").eval(), torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    outputs = step_outputs(model, x)
    assert outputs.shape == (4, 5, 10)
    assert torch.equal(outputs.mean(0), model(x))


def test_a_plain_output_is_one_step_and_a_sequence_is_itself():
    assert torch.equal(step_outputs(nn.Identity(), torch.eye(3)), torch.eye(3).unsqueeze(0))
    assert torch.equal(step_outputs(nn.Identity(), torch.ones(4, 3, 2)), torch.ones(4, 3, 2))


def test_bfloat16_computes_layers_so_and_gives_float32():
    model, x = Stepped(), torch.rand(4, 2)
    exact = step_outputs(model, x)
    assert model.saw == torch.float32
    coarse = step_outputs(model, x, "bfloat16")
    assert model.saw == torch.bfloat16
    assert coarse.dtype == torch.float32
    assert not torch.equal(coarse, exact)
    assert torch.allclose(coarse, exact, atol=0.05)
    assert model.linear.weight.dtype == torch.float32


def test_any_other_output_is_refused():
    with pytest.raises(MismatchError, match=r"Identity must give \[batch, class\] or \[time, batch, class\], got \(3,\)"):
        step_outputs(nn.Identity(), torch.zeros(3))
    with pytest.raises(MismatchError, match=r"GRU must give .* got tuple"):
        step_outputs(nn.GRU(2, 2), torch.zeros(1, 1, 2))


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (torch.tensor([0, 3]), "target 3 is none of the model's 3 classes, 0 to 2"),
        (torch.tensor([-1, 0]), "target -1 is none"),
        (torch.tensor([0]), r"int64 of shape \(2,\), got torch.int64 of shape \(1,\)"),
        (torch.tensor([0.0, 1.0]), "got torch.float32"),
        (torch.eye(2, dtype=torch.int64), r"of shape \(2, 2\)"),
    ],
)
def test_targets_that_are_no_classes_are_refused(targets, told):
    with pytest.raises(MismatchError, match=told):
        refuse_targets(torch.zeros(4, 2, 3), targets)


def test_targets_that_fit_are_let_through():
    refuse_targets(torch.zeros(4, 2, 3), torch.tensor([0, 2]))
    refuse_targets(torch.zeros(2, 3), torch.tensor([0, 2]))


def test_the_device_is_that_of_the_first_tensor():
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
    assert device_of(nn.Identity()) == torch.device("cpu")
