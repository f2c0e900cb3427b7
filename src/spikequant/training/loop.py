"""The one training loop."""

import time
from collections.abc import Generator, Iterator, Sized
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam, Optimizer

from spikequant import files
from spikequant.behavior.recorder import pairs
from spikequant.errors import SpecError, SpikequantError
from spikequant.neurons import rest
from spikequant.training import parallel
from spikequant.training.accuracy import evaluate
from spikequant.training.checkpoint import Checkpoint
from spikequant.training.divergence import culprit, diverged, finite
from spikequant.training.events import Epoch, Event, Finished, Froze, History, Step, Stopped
from spikequant.training.freezing import Freezer
from spikequant.training.losses import criterion
from spikequant.training.outputs import Loader, device_of, refuse_targets, step_outputs
from spikequant.training.rate_pull import rate_pull
from spikequant.training.rates import near_rates
from spikequant.training.recording import Recording
from spikequant.training.schedule import advance, learning_rate
from spikequant.training.spec import Training


def fit(
    model: nn.Module, loader: Loader, training: Training, validation: Loader | None = None, checkpoint: str | Path | None = None
) -> History:
    """Train a model in place and return what happened; ``train`` with no one listening.

    >>> points = [(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))]
    >>> fit(nn.Linear(2, 2), points, Training(epochs=3, lr=0.1)).epochs
    3
    """
    return next(event.history for event in train(model, loader, training, validation, checkpoint) if isinstance(event, Finished))


def train(
    model: nn.Module, loader: Loader, training: Training, validation: Loader | None = None, checkpoint: str | Path | None = None
) -> Iterator[Event]:
    """Train a model in place, one event at a time; at the end it is in evaluation mode.

    ``loader`` gives batches ``(x, y)`` anew for every epoch; ``set_epoch(n)``, where it has that, is called with 0, 1, ... before.
    ``validation`` is a split of the training set (``spikequant.data.hold_out``), never the test set: it decides early stop and
    the best weights. ``checkpoint`` is a file, written after every epoch; where it exists, training goes on from it, bit for bit:
    every epoch reseeds torch's global generator from ``(seed, epoch)``, so all that is drawn must come from there or follow
    ``set_epoch``.

    Under ``torchrun`` (see ``parallel``) every process takes its part of each batch; the first one alone writes. A model of one's own
    that takes events ``[time, batch, ...]`` says ``takes_sequence = True``: where both are as long, nothing else tells them apart.

    Raises:
        SpecError: a field of ``training`` asks for what loader or model do not have, or the loader gave nothing.
        MismatchError: outputs and targets do not fit, what is no batch, or the checkpoint is of another run.
        FormatError: the checkpoint is damaged.
        Diverged: a loss, gradient or weight is not finite; names step, epoch and layer.
    """
    if training.patience is not None and validation is None:
        raise SpecError(f"patience={training.patience} needs validation: a split of the training set; or set patience=None")
    total_steps = _total_steps(loader, training)
    optimizer = _optimizer(model, training)
    file = None if checkpoint is None else Checkpoint(Path(checkpoint), model, optimizer, training, _length(loader))
    freezer = Freezer.of(model, training.freezing, total_steps, training.seed)
    recording = Recording(model, training.rates is None and not training.rate_pull)
    try:
        history, best = yield from _epochs(_Run(model, training, optimizer, freezer, recording, total_steps), loader, validation, file)
    finally:  # also where the listener leaves: a graded network could be saved, and not loaded
        freezer.finish()
        rest(model)
    if best:
        model.load_state_dict(best)
    model.eval()
    if history.epochs < training.epochs and history.best_epoch is not None:
        yield Stopped(history.epochs, history.best_epoch)
    yield Finished(history)


class _Run(NamedTuple):
    """What every step of a run needs."""

    model: nn.Module
    training: Training
    optimizer: Optimizer
    freezer: Freezer
    recording: Recording
    total_steps: int | None


def _epochs(
    run: _Run, loader: Loader, validation: Loader | None, file: Checkpoint | None
) -> Generator[Event, None, tuple[History, dict[str, Tensor]]]:
    """All epochs that are left; returns the history, and the best weights where they are kept."""
    model, training = run.model, run.training
    history, best = History.of(training), dict[str, Tensor]()
    if file is not None:
        files.folder(file.path.parent)
        if file.path.exists():
            history, best = file.read()
    while history.epochs < training.epochs and not history.stalled(training.patience):
        advance(model, history.epochs / training.epochs)
        run.recording.forget()
        loss, seconds, steps = yield from _one_pass(run, loader, history)
        parallel.align(model)
        accuracy = None if validation is None else evaluate(model, validation)
        history = history.after(loss, accuracy, seconds, steps)
        yield from _froze(run.freezer, model, validation, history)
        if training.patience is not None and history.best_epoch == history.epochs:
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if file is not None and parallel.writes():
            file.write(history, best)
        parallel.wait()
        yield Epoch(history.epochs, loss, accuracy, seconds)
    return history, best


def _one_pass(run: _Run, loader: Loader, history: History) -> Generator[Step, None, tuple[float, float, int]]:
    """One epoch; returns the mean loss of a sample, the seconds that it took, and the steps so far."""
    epoch, step = history.epochs + 1, history.steps
    seen, summed, began = 0, 0.0, time.perf_counter()
    _begin_epoch(loader, run.training.seed, epoch - 1)
    run.model.train()
    for x, y in pairs(loader):
        if not len(y):
            raise SpecError(f"the loader gave a batch without a sample in epoch {epoch}; leave it out")
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate(run.training, step, run.total_steps)
        step += 1
        with run.freezer.step(step):
            loss = _update(run, (x, y), f"step {step} in epoch {epoch}")
        seen, summed = seen + len(y), summed + loss * len(y)
        yield Step(loss, step, run.total_steps, epoch, seen / (time.perf_counter() - began))
    if not seen:
        raise SpecError(f"the loader gave no sample in epoch {epoch}; it must be iterable anew for every epoch, and a generator is not")
    return summed / seen, time.perf_counter() - began, step


def _froze(freezer: Freezer, model: nn.Module, validation: Loader | None, history: History) -> Iterator[Froze]:
    if freezer.layers:
        with freezer.hard():
            hard = None if validation is None else evaluate(model, validation)
        mixed = history.accuracies[-1] if history.accuracies else None
        yield Froze(history.epochs, history.losses[-1], freezer.shares(), freezer.gradients(), mixed, hard)


def _update(run: _Run, batch: tuple[Tensor, Tensor], place: str) -> float:
    """One optimizer step; returns the loss before it."""
    model, training = run.model, run.training
    device = device_of(model)
    x, y, part = parallel.share(model, *(tensor.to(device) for tensor in batch))

    def compute(x: Tensor, y: Tensor) -> Tensor:
        with rate_pull(model, training.rate_pull) as pull, near_rates(model, training.rates) as near:
            outputs = _outputs(model, x, training, place)
        refuse_targets(outputs, y)
        return criterion(training, model)(outputs, y) + pull() + near()

    loss = run.recording.loss_of(x, y, compute)
    run.freezer.fill(model)
    moved = [parameter for parameter in model.parameters() if parameter.grad is not None]
    if not moved:
        raise SpecError(f"the loss of {place} hangs on no parameter: somewhere the network detaches, or runs without gradients")
    gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
    loss = parallel.combine(gradients, loss, part)
    if not finite([loss, *gradients]):
        raise diverged(culprit(model, x, training.precision) or "the loss", place)
    if training.grad_clip is not None:
        clip_grad_norm_(moved, training.grad_clip)
    run.optimizer.step()
    if not finite(parameter.detach() for parameter in moved):
        raise diverged(culprit(model, x, training.precision) or "a parameter", place)
    return loss.item()


def _outputs(model: nn.Module, x: Tensor, training: Training, place: str) -> Tensor:
    try:
        return step_outputs(model, x, training.precision)
    except SpikequantError:  # neurons and grids refuse NaN, before a loss could show it
        broken = culprit(model, x, training.precision)
        if broken is None:
            raise
        raise diverged(broken, place) from None


def _begin_epoch(loader: Loader, seed: int, epoch: int) -> None:
    # Mixed, since neighboring seeds would let (seed, epoch + 1) repeat (seed + 1, epoch).
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0]))
    set_epoch = getattr(loader, "set_epoch", None)
    if set_epoch is not None:
        set_epoch(epoch)


def _optimizer(model: nn.Module, training: Training) -> Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise SpecError(f"{type(model).__name__} has no parameter to train; set requires_grad on those that shall move")
    if training.optimizer == "sgd":
        return SGD(parameters, lr=training.lr, momentum=training.momentum, weight_decay=training.weight_decay)
    return Adam(parameters, lr=training.lr, weight_decay=training.weight_decay)


def _length(loader: Loader) -> int | None:
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader of an iterable data set has a length that it does not know
        return None


def _total_steps(loader: Loader, training: Training) -> int | None:
    batches = _length(loader)
    if batches is None:
        if training.schedule == "cosine":
            raise SpecError("schedule='cosine' needs a loader with a length, to know its last step; nearest valid value: 'constant'")
        return None
    total = batches * training.epochs
    if training.warmup_steps >= total > 0:
        raise SpecError(
            f"warmup_steps={training.warmup_steps} must be below the {total} steps of the run; nearest valid value: {total - 1}"
        )
    return total
