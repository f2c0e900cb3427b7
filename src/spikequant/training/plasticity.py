"""How an unsupervised network learns, as data; importable without torch."""

from typing import Annotated, Literal

from pydantic import Field

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
