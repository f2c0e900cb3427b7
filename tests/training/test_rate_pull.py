import pytest
import torch
from torch import nn

from spikequant.errors import SpecError
from spikequant.neurons import IF
from spikequant.training import Training, fit
from spikequant.training.rate_pull import rate_pull


def layers(*thresholds: float) -> nn.Sequential:
    return nn.Sequential(*(IF(threshold) for threshold in thresholds))


def test_the_inner_layers_are_pulled_to_a_half() -> None:
    model = layers(1.0, 1.0, 4.0, 1.0)  # rates 1, 1, 1/4, 1/4
    with rate_pull(model, 2.0) as term:
        model(torch.ones(4, 2, 3))
        assert float(term()) == pytest.approx(2 * ((1 - 0.5) ** 2 + (0.25 - 0.5) ** 2) / 2)


def test_its_gradient_lowers_a_rate_that_is_too_high() -> None:
    model, current = layers(1.0, 1.0, 1.0), torch.full((4, 2, 3), 1.2, requires_grad=True)
    with rate_pull(model, 1.0) as term:
        model(current)
        found = term()
    assert isinstance(found, torch.Tensor)
    (gradient,) = torch.autograd.grad(found, current)
    assert gradient.sum() > 0


def test_nothing_is_watched_without_a_weight() -> None:
    model = nn.Linear(1, 1)
    with rate_pull(model, 0.0) as term:
        assert term() == 0.0


def test_a_network_without_inner_layers_is_refused() -> None:
    model = layers(1.0, 1.0)
    with rate_pull(model, 1.0) as term:
        model(torch.ones(4, 2, 3))
        with pytest.raises(SpecError, match="the model has 2: it needs at least 3"):
            term()


def test_a_training_is_pulled() -> None:
    losses = []
    for weight in (0.0, 8.0):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), IF(), IF(1.0), IF(), nn.Flatten(0, 1))
        model.steps = lambda x, model=model: model(x).reshape(4, -1, 3)  # type: ignore[assignment]
        history = fit(model, [(torch.ones(4, 2, 3), torch.tensor([0, 1]))], Training(epochs=1, lr=1e-6, rate_pull=weight))
        losses.append(history.losses[0])
    assert losses[1] > losses[0]
