import pytest
import torch
from torch import nn

from spikequant.models import build
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.training.divergence import culprit, diverged, finite

X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_one_bad_value_among_many_is_seen(bad):
    sound = [torch.full((100,), -3e38), torch.tensor(1e-45), torch.zeros(2, 3)]
    assert finite(sound)
    assert not finite([*sound, torch.tensor([0.0, bad])])
    assert finite([])


def test_the_input_is_named_first():
    assert culprit(build("digits"), torch.full_like(X, torch.nan), "float32") == "the input batch"


def test_the_first_broken_parameter_is_named():
    model = build("digits")
    model.readout.weight.data[0, 0] = torch.nan
    model.conv2.weight.data[0, 0, 0, 0] = torch.inf
    assert culprit(model, X, "float32") == "the parameter 'weight' of layer 'conv2'"


def test_a_quantized_weight_is_named_by_its_layer():
    model = quantize(build("digits"), Recipe(weights=Uniform(bits=4, low=-1.0, high=1.0)))
    model.conv2.parametrizations.weight.original.data[0, 0, 0, 0] = torch.inf
    assert culprit(model, X, "float32") == "the parameter 'weight' of layer 'conv2'"


class Exploding(nn.Module):
    def forward(self, x):
        return x / 0


def test_the_layer_that_runs_first_is_named_and_not_the_container():
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 3), Exploding()), nn.Linear(3, 2))
    assert culprit(model, X, "float32") == "the output of layer '1.1'"


def test_looking_leaves_buffers_and_hooks_as_they_were():
    model = build("digits").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert culprit(model, X, "float32") is None
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_gradient_nearest_to_the_loss_is_named():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Linear(3, 2))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    model[1].weight.grad[0, 0] = torch.nan
    model[2].weight.grad[0, 0] = torch.nan
    assert culprit(model, X, "float32") == "the gradient of 'weight' of layer '2'"


def test_a_neuron_that_refuses_nan_does_not_hide_the_layer_before_it():
    model = build("digits")
    model.norm1.running_var.fill_(torch.nan)
    model.eval()
    assert culprit(model, X, "float32") == "the output of layer 'norm1'"


def test_the_error_names_what_and_where():
    told = "training diverged at step 7 in epoch 2: the output of layer 'conv1' is not finite; lower lr, or set grad_clip"
    assert str(diverged("the output of layer 'conv1'", "step 7 in epoch 2")) == told


def test_broken_data_are_not_cured_by_a_lower_rate():
    assert str(diverged("the input batch", "step 1 in epoch 1")).endswith("not finite; leave out the samples that hold NaN or infinity")
