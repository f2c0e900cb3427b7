"""Losses on the output of every time step ``[time, batch, class]`` and the right classes ``[batch]``; means over the batch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from spikequant.models import Network
from spikequant.training.spec import Training

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of the mean output over time: ``-log softmax(1/T sum_t z[t])`` at the right class.

    >>> round(float(cross_entropy_mean(torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]]), torch.tensor([0]))), 4)  # log(1 + 1/e)
    0.3133
    """
    return cross_entropy(outputs.mean(0), targets)


def cross_entropy_count(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of the spike count: ``-log softmax(sum_t z[t])`` at the right class; snnTorch's ``ce_count_loss``.

    >>> round(float(cross_entropy_count(torch.ones(2, 1, 2) * torch.tensor([1.0, 0.0]), torch.tensor([0]))), 4)  # log(1 + 1/e^2)
    0.1269
    """
    return cross_entropy(outputs.sum(0), targets)


def mse_count(outputs: Tensor, targets: Tensor, correct_rate: float = 1.0, incorrect_rate: float = 0.0) -> Tensor:
    """Mean square error of spike counts: ``1/(T M) sum_j (c_j - sum_t z_j[t])^2`` over M classes.

    The wanted count ``c_j`` is ``T correct_rate`` for the right class and ``T incorrect_rate`` for the others. As snnTorch's
    ``mse_count_loss``, which also rounds wanted counts down.

    >>> float(mse_count(torch.ones(4, 1, 2), torch.tensor([0]), correct_rate=0.75, incorrect_rate=0.25))  # (1 + 9) / 2 / 4
    1.25
    """
    wanted = len(outputs) * _rates(outputs, targets, correct_rate, incorrect_rate)
    return (wanted - outputs.sum(0)).square().mean() / len(outputs)


def squat_mse(outputs: Tensor, targets: Tensor, correct_rate: float = 1.0, incorrect_rate: float = 0.0) -> Tensor:
    """SQUAT's Eq. 7 as written, on every step: ``sum_j sum_t (c_j - z_j[t])^2``.

    The paper calls ``c_j`` a spike count, which a single step's 0 or 1 cannot reach; here it is the count wanted of one step:
    ``correct_rate`` for the right class, ``incorrect_rate`` for the others. Source: SQUAT, Eq. 7.

    >>> float(squat_mse(torch.ones(4, 1, 2), torch.tensor([0])))  # 4 (0 + 1)
    4.0
    """
    wanted = _rates(outputs, targets, correct_rate, incorrect_rate)
    return (wanted - outputs).square().sum((0, 2)).mean()


def squat_mse_count(outputs: Tensor, targets: Tensor, correct_rate: float = 1.0, incorrect_rate: float = 0.0) -> Tensor:
    """SQUAT's Eq. 7 on the final count: ``sum_j (c_j - sum_t z_j[t])^2``, wanted counts ``c_j`` as in ``mse_count``.

    Source: SQUAT, Eq. 7 with the sum over time inside the square.

    >>> float(squat_mse_count(torch.ones(4, 1, 2), torch.tensor([0])))  # 0 + 4^2
    16.0
    """
    wanted = len(outputs) * _rates(outputs, targets, correct_rate, incorrect_rate)
    return (wanted - outputs.sum(0)).square().sum(1).mean()


def squat_ce(outputs: Tensor, targets: Tensor) -> Tensor:
    """SQUAT's Eq. 8 as written, on every step: ``1/T sum_t -log softmax(z[t])`` at the right class.

    The paper's "count at time step t" is read as the spikes of that step, as snnTorch's ``ce_rate_loss`` does. Source: SQUAT, Eq. 8.

    >>> round(float(squat_ce(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([0]))), 4)  # (log(1 + 1/e) + log(1 + e)) / 2
    0.8133
    """
    return cross_entropy(outputs.flatten(0, 1), targets.repeat(len(outputs)))


def squat_ce_count(outputs: Tensor, targets: Tensor) -> Tensor:
    """SQUAT's Eq. 8 on the final count: ``-1/T log softmax(sum_t z[t])`` at the right class.

    Source: SQUAT, Eq. 8, whose ``C`` is T, with the one term of the last step.

    >>> round(float(squat_ce_count(torch.ones(2, 1, 2) * torch.tensor([1.0, 0.0]), torch.tensor([0]))), 4)  # log(1 + 1/e^2) / 2
    0.0635
    """
    return cross_entropy_count(outputs, targets) / len(outputs)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy_mean": cross_entropy_mean,
    "cross_entropy_count": cross_entropy_count,
    "mse_count": mse_count,
    "squat_mse": squat_mse,
    "squat_mse_count": squat_mse_count,
    "squat_ce": squat_ce,
    "squat_ce_count": squat_ce_count,
}


def criterion(training: Training, model: nn.Module | None = None) -> Loss:
    """The loss that a training asks for, its rates filled in; ``cross_entropy`` is that of the model's own logits.

    >>> float(criterion(Training(epochs=1, loss="squat_mse", correct_rate=0.5))(torch.zeros(4, 1, 2), torch.tensor([0])))
    1.0
    """
    if training.loss == "cross_entropy":
        return cross_entropy_count if isinstance(model, Network) and model.wiring.readout == "count" else cross_entropy_mean
    loss = LOSSES[training.loss]
    if training.aims_at_rates:
        return partial(loss, correct_rate=training.correct_rate, incorrect_rate=training.incorrect_rate)
    return loss


def _rates(outputs: Tensor, targets: Tensor, correct: float, incorrect: float) -> Tensor:
    """The wanted output of one step, ``[batch, class]``."""
    right = torch.arange(outputs.shape[-1], device=outputs.device) == targets.unsqueeze(1)
    return torch.where(right, correct, incorrect).to(outputs.dtype)
