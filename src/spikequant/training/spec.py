"""How to train, as data; importable without torch."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from spikequant.quantizers import Spec

MeanSquareName = Literal["mse_count", "squat_mse", "squat_mse_count"]
LossName = Literal["cross_entropy", "cross_entropy_mean", "cross_entropy_count", "squat_ce", "squat_ce_count", MeanSquareName]
Precision = Literal["float32", "bfloat16"]
Start = Literal["scratch", "float"]
Pairing = Literal["same", "independent"]
Share = Annotated[float, Field(ge=0, le=1)]
RateKind = Literal["distribution", "mean"]


def _of_channels(rates: tuple[float, ...]) -> tuple[float, ...]:
    if not rates:  # pydantic's own bound also complains where a rate is refused
        raise ValueError("a layer has the rate of at least 1 channel, got none")
    return rates


class Freezing(Spec):
    """How binary grids are frozen while a network trains.

    ``order``: layer after layer ``forward`` from the input or in ``reverse``, or all at once (``global``). Within its window the
    share of frozen values rises as the ``power`` of time; about one value in ``refresh`` is drawn anew at each step. The last
    ``tail`` of all steps trains what cannot freeze, all else being frozen. ``straight_through``: frozen values pass a gradient
    after all (StoMPP+STE). ``spikes``: neurons freeze as well, from grades over ``window`` thresholds to spikes. ``clamp`` keeps
    latent weights in [-1, 1].

    Source: StoMPP; window length and refresh rate are not in its abstract (tail 0.05 and 100 are our reading).

    >>> Freezing().order
    'forward'
    """

    order: Literal["forward", "reverse", "global"] = "forward"
    power: Annotated[float, Field(gt=0, le=100)] = 3.0
    refresh: Annotated[int, Field(ge=1)] = 100
    tail: Annotated[float, Field(ge=0, lt=1)] = 0.05
    straight_through: bool = False
    spikes: bool = False
    window: Annotated[float, Field(gt=0)] = 1.0
    clamp: bool = False


class Rates(Spec):
    """A wish for firing rates: ``weight`` times the mean distance over layers is added to the loss (``spikequant.training.rate_distance``).

    ``kind``: the ``distribution`` of the channels' rates, or their ``mean`` alone. ``wanted``: the rates of every layer, which
    ``spikequant.training.recorded`` takes from the float network; a study leaves them out and takes those of the trial's reference.

    >>> Rates(weight=0.5).kind
    'distribution'
    """

    weight: Annotated[float, Field(gt=0)]
    kind: RateKind = "distribution"
    wanted: dict[str, Annotated[tuple[Share, ...], Field(strict=False), AfterValidator(_of_channels)]] = Field(default_factory=dict)


class Correction(Spec):
    """A correction of firing rates after quantization, without gradients (``spikequant.training.correct_rates``).

    ``part``: what is moved in every channel, the ``bias`` of the layer before a neuron or the ``threshold`` of the neuron. ``batches``: of
    training data, on which rates are compared.

    >>> Correction().part
    'bias'
    """

    part: Literal["bias", "threshold"] = "bias"
    batches: Annotated[int, Field(ge=1)] = 8


class Pruning(Spec):
    """Which channels are taken out before a training: the ``share`` of every neuron's with the lowest score over ``batches``.

    ``score``: ``rank``, of a channel's mean spikes as a matrix (QP-SNN, the authors' code; 5 batches there); ``fisher``, what
    the loss would feel without the channel (SpikeFit's Fisher spike contribution: its formula is our reading).
    Channels tied by a residual sum all stay.

    Source: QP-SNN (ICLR 2025), SVS; SpikeFit (arXiv 2510.15542), FSC, abstract.

    >>> Pruning(share=0.25, score="fisher").uncertain
    True
    """

    share: Annotated[float, Field(gt=0, lt=1)]
    score: Literal["rank", "fisher"] = "rank"
    batches: Annotated[int, Field(ge=1)] = 5

    @property
    def uncertain(self) -> bool:
        """Whether the score is our reading."""
        return self.score == "fisher"


class Training(Spec):
    """A supervised training run.

    ``schedule``: the learning rate of every step; ``cosine`` falls to 0 over all steps, ``constant`` stays; both rise linearly over
    the first ``warmup_steps``. ``momentum`` is of ``sgd`` alone. ``weight_decay`` adds to the gradient (L2). ``grad_clip`` bounds the
    norm of the whole gradient. ``precision``: ``bfloat16`` computes stateless layers so; membranes, weights and losses stay float32.
    ``loss``: a name of ``spikequant.training.LOSSES``, or ``cross_entropy`` of the model's own logits: on the count or on the mean,
    as its readout says; ``correct_rate`` and ``incorrect_rate`` are the rates to which mean square
    losses pull the output of the right class and of the others. ``patience``: epochs without a better validation accuracy after
    which training stops; with it the best weights are kept, without it the last. ``seed`` decides all that is drawn while training.

    ``rate_pull``: weight of the term that pulls the firing rates of inner layers to a half (Q-SNN, 5e-3 there).

    ``freezing``: binary grids are not trained straight through but frozen progressively (StoMPP).

    ``rates``: firing rates near the float network's are a goal beside the loss.

    ``start`` and ``pairing`` are recorded for whoever prepares the model, and change nothing here: whether a quantized network starts
    from the trained ``float`` network or from ``scratch``, and with the ``same`` initialization and data order as its baseline or
    ``independent`` ones.

    >>> Training(epochs=3).fields()["schedule"]
    'cosine'
    >>> Training(epochs=0)
    Traceback (most recent call last):
        ...
    spikequant.errors.SpecError: Training.epochs: must be greater than or equal to 1, got 0; nearest valid value: 1
    """

    version: Literal[1] = 1
    epochs: Annotated[int, Field(ge=1, le=1_000_000)]
    lr: Annotated[float, Field(gt=0, le=1000)] = 1e-3
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    loss: LossName = "cross_entropy"
    correct_rate: Share = 1.0
    incorrect_rate: Share = 0.0
    seed: Annotated[int, Field(ge=0)] = 0
    patience: Annotated[int, Field(ge=1)] | None = None
    precision: Precision = "float32"
    grad_clip: Annotated[float, Field(gt=0)] | None = None
    freezing: Freezing | None = None
    rates: Rates | None = None
    rate_pull: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    start: Start = "scratch"
    pairing: Pairing = "same"

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"momentum belongs to optimizer='sgd', got momentum={self.momentum} with {self.optimizer!r}; nearest valid value: 0.0"
            )
        if self.freezing is not None and self.patience is not None:
            raise ValueError("patience would keep a network that is not frozen yet; leave it out where freezing is given")
        if self.incorrect_rate >= self.correct_rate:
            raise ValueError(f"incorrect_rate must be below correct_rate, got {self.incorrect_rate} and {self.correct_rate}")
        if (self.correct_rate, self.incorrect_rate) != (1.0, 0.0) and not self.aims_at_rates:
            losses = ", ".join(get_args(MeanSquareName))
            raise ValueError(f"correct_rate and incorrect_rate belong to the losses {losses}, got loss={self.loss!r}")
        return self

    @property
    def aims_at_rates(self) -> bool:
        """Whether the loss is a mean square of counts, which pulls outputs to stated rates."""
        return self.loss in get_args(MeanSquareName)
