"""How often a model is right."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from spikequant.behavior.recorder import pairs
from spikequant.errors import Diverged, SpecError
from spikequant.models import Network
from spikequant.neurons.showing import from_rest, watching
from spikequant.training.assignment import voted
from spikequant.training.outputs import Loader, as_steps, refuse_targets


def evaluate(model: nn.Module, loader: Loader) -> float:
    """The share of samples whose largest logit is at the right class, in evaluation mode, without gradients.

    ``model(x)`` gives logits ``[batch, class]``, or ``[time, batch, class]``, which are summed over time. Afterwards every module is
    in the mode in which it was. A network of neurons that compete is shown its images event by event (``voted``).

    Raises:
        SpecError: the loader gave nothing.
        MismatchError: outputs or targets have the wrong shape or type, or a target is no class.
        Diverged: a logit is not finite.

    >>> evaluate(nn.Identity(), [(torch.eye(4), torch.tensor([0, 1, 2, 0]))])
    0.75
    """
    if isinstance(model, Network) and model.wiring.of_kind("competing"):
        return voted(model, loader)
    right = seen = 0
    for answers in judged(model, loader):
        right += int(answers.sum())
        seen += len(answers)
    if not seen:
        raise SpecError("the loader gave no sample to evaluate on; it must be iterable anew each time, and hold at least 1")
    return right / seen


def judged(model: nn.Module, loader: Loader) -> Iterator[Tensor]:
    """Batch by batch, which samples are classified rightly: bool ``[batch]``; else as ``evaluate``.

    >>> [answers.tolist() for answers in judged(nn.Identity(), [(torch.eye(2), torch.tensor([0, 0]))])]
    [[True, False]]
    """
    for index, (x, y) in enumerate(pairs(loader)):
        with watching(model):
            logits = as_steps(model, from_rest(model, x)).sum(0)
        targets = y.to(logits.device)
        refuse_targets(logits, targets)
        if not torch.isfinite(logits).all():
            raise Diverged(f"{type(model).__name__} gave logits that are not finite in batch {index + 1}; it has no accuracy")
        yield logits.argmax(1) == targets
