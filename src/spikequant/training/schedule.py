"""What changes while a network trains: the learning rate of every step, and the gradients of grids that sharpen."""

import math

from torch import nn

from spikequant.quantizers import Quantizer
from spikequant.training.spec import Training


def learning_rate(training: Training, step: int, total_steps: int | None) -> float:
    """The learning rate of a step, the first being 0.

    Equation: ``lr (step + 1) / warmup`` in the warm-up; then ``lr``, or ``lr/2 (1 + cos(pi (step - warmup) / (total - warmup)))``,
    which is 0 after the last step. ``total_steps`` may be None for the constant schedule.

    >>> [learning_rate(Training(epochs=1, lr=1.0), step, 4) for step in (0, 2)]
    [1.0, 0.5]
    """
    warmup = training.warmup_steps
    if step < warmup:
        return training.lr * (step + 1) / warmup
    if training.schedule == "constant" or total_steps is None:
        return training.lr
    return training.lr / 2 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total_steps - warmup))))


def advance(model: nn.Module, done: float) -> None:
    """Tell every grid of a model what share of the training is done.

    >>> from spikequant.quantizers import QSNNBinary
    >>> grid = QSNNBinary().build((1, 2))
    >>> advance(grid, 0.5); grid.progress.item()
    0.5
    """
    for module in model.modules():
        if isinstance(module, Quantizer):
            module.advance(done)
