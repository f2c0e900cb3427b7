"""How networks learn by local rules, as data; importable without torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spikequant.quantizers import Spec

Holding = Literal["on_change", "every_step", "in_place"]
Share = Annotated[float, Field(ge=0, le=1)]


class Stdp(Spec):
    """Pair-wise, weight-dependent STDP: the equations are in ``spikequant.numerics.Plasticity``.

    ``pre`` and ``post`` are the rates of depression and potentiation, ``trace_ms`` the time constant of both traces; weights stay in
    [``low``, ``high``], and after each image those into a neuron that fired sum to ``total`` (None: a tenth of the inputs).
    ``holding`` is how quantized weights and thresholds are held while they learn (``spikequant.numerics.Formats``): ``on_change`` and
    ``every_step`` beside a float32 shadow, or ``in_place`` without one. Source: Q-SpiNN, Eq. 1; rates and times of BindsNET.

    >>> Stdp(holding="in_place").fields()["post"]
    0.01
    """

    version: Literal[1] = 1
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    pre: Share = 1e-4
    post: Share = 1e-2
    low: float = 0.0
    high: float = 1.0
    total: Annotated[float, Field(ge=0)] | None = None
    trace_ms: Annotated[float, Field(gt=0)] = 20.0
    holding: Holding = "on_change"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    @model_validator(mode="after")
    def _weights_have_room(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}; weights stay between them")
        return self


class Decolle(Spec):
    """Deep continuous local learning: every layer has a readout and a loss of its own, and learns at every time step.

    ``burn_in``: so many first steps are shown without learning; with ``compat_burnin`` only one of them is, and learning begins after
    ``burn_in`` steps from nearly cold states, as the authors' code does. The rate is ``lr`` until epoch ``falls_every``, then
    ``lr / (5 floor(epoch / falls_every))``. ``dropout``: of the spikes that readouts see. ``settling``: samples by whose membranes the
    start is settled: above 0 all weights are drawn anew; set 0 to train on, or to keep torch's start. Source: Kaiser, Mostafa,
    Neftci (2020) and their code; Q-SpiNN, section II-A.

    >>> round(Decolle().rate(29) / Decolle().rate(60))
    10
    """

    version: Literal[1] = 1
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 200
    lr: Annotated[float, Field(gt=0)] = 3.6e-4
    second_moment: Annotated[float, Field(ge=0, lt=1)] = 0.95
    falls_every: Annotated[int, Field(ge=1)] = 30
    burn_in: Annotated[int, Field(ge=0)] = 100
    compat_burnin: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    settling: Annotated[int, Field(ge=0)] = 32
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        return self.lr / max(1, 5 * (epoch // self.falls_every))
