"""What training tells while it runs, and what remains of it: frozen values. Steps and epochs count from 1."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from spikequant.quantizers import Spec
from spikequant.training.spec import Pairing, Start, Training

PerEpoch = Annotated[tuple[float, ...], Field(strict=False)]  # a list in JSON


class History(Spec):
    """A training run, epoch by epoch: mean losses, validation accuracies (none without validation), seconds of the training pass.

    Of a run that went on with validation, accuracies are those of its last epochs; of one that went on without, none are kept.
    ``seed``, ``start`` and ``pairing`` are those of its ``Training``.
    """

    version: Literal[1] = 1
    seed: int
    start: Start
    pairing: Pairing
    losses: PerEpoch = ()
    accuracies: PerEpoch = ()
    seconds: PerEpoch = ()
    steps: int = 0

    @classmethod
    def of(cls, training: Training) -> Self:
        """The history of a run that has not begun."""
        return cls(seed=training.seed, start=training.start, pairing=training.pairing)

    @property
    def epochs(self) -> int:
        """Epochs that were run."""
        return len(self.losses)

    @property
    def best_epoch(self) -> int | None:
        """The first epoch of the highest validation accuracy, from 1; None without validation.

        >>> History.of(Training(epochs=4)).model_copy(update={"losses": (1.0,) * 4, "accuracies": (0.5, 0.75, 0.75)}).best_epoch
        3
        """
        if not self.accuracies:
            return None
        return self.epochs - len(self.accuracies) + self.accuracies.index(max(self.accuracies)) + 1

    def stalled(self, patience: int | None) -> bool:
        """Whether the last ``patience`` epochs were no better than the best before them."""
        return patience is not None and self.best_epoch is not None and self.epochs - self.best_epoch >= patience

    def after(self, loss: float, accuracy: float | None, seconds: float, steps: int) -> Self:
        """This history and one more epoch; ``steps`` counts all steps so far."""
        accuracies = () if accuracy is None else (*self.accuracies, accuracy)
        more = {"losses": (*self.losses, loss), "accuracies": accuracies, "seconds": (*self.seconds, seconds), "steps": steps}
        return self.model_copy(update=more)

    def to_dict(self) -> dict[str, Any]:
        """A plain mapping for records, with ``epochs`` and ``best_epoch``."""
        return {**self.fields(), "epochs": self.epochs, "best_epoch": self.best_epoch}


@dataclass(frozen=True)
class Step:
    """One optimizer step was taken; ``total_steps`` of the whole run is None where the loader has no length."""

    loss: float
    step: int
    total_steps: int | None
    epoch: int
    examples_per_s: float


@dataclass(frozen=True)
class Epoch:
    """One epoch is done and, where asked for, its checkpoint written."""

    epoch: int
    train_loss: float
    validation_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Froze:
    """How far freezing is after an epoch, told before its checkpoint is written.

    ``shares`` and ``gradients``: the frozen share, and the norm of the last gradient, of each layer. ``accuracy`` is that of the mixed
    network on the validation samples, ``hard_accuracy`` that of the network as if all were frozen; None without validation.
    """

    epoch: int
    loss: float
    shares: dict[str, float]
    gradients: dict[str, float]
    accuracy: float | None
    hard_accuracy: float | None


@dataclass(frozen=True)
class Stopped:
    """Training stopped early, since no epoch after ``best_epoch`` was better."""

    epoch: int
    best_epoch: int


@dataclass(frozen=True)
class Finished:
    """Training is over."""

    history: History


Event = Step | Epoch | Froze | Stopped | Finished
