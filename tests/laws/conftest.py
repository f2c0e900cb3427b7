"""The table of all methods: what every law is applied to."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from spikequant.numerics import Grid, levels, midpoints
from spikequant.quantizers import (
    LSQ,
    MINT,
    Anchored,
    Binary,
    FixedPoint,
    LQNet,
    Membrane,
    QSNNBinary,
    Quantizer,
    QuantizerSpec,
    ReScaW,
    SpikeFit,
    SpQuant,
    ThresholdCentered,
    Uniform,
    ZeroCentered,
)

OF_WEIGHTS = (LQNet, QSNNBinary, ReScaW, SpikeFit)
WEIGHT, STATE = ((5, 60), 0), ((1, 5), 1)
ROUNDINGS = ("nearest_even", "half_up", "truncate", "stochastic")

SPECS: tuple[QuantizerSpec, ...] = (
    *(Uniform(bits=bits, low=-1.0, high=1.0) for bits in (1, 2, 3, 4, 5, 6, 7, 8)),
    *(Uniform(bits=bits, low=-10.0, high=10.0) for bits in (2, 8)),
    *(Uniform(bits=bits, low=0.0, high=1.0) for bits in (1, 2, 4, 8)),
    *(Uniform(bits=bits, low=-1.0, high=1.2, rounding=rounding) for bits in (2, 8) for rounding in ROUNDINGS),
    *(Uniform(bits=bits, low=0.1, high=0.95, rounding="truncate") for bits in (3, 8)),
    *(Uniform(bits=bits, low=-3.0, high=-1.0) for bits in (2, 7)),
    *(Uniform(bits=bits, low=-1.0, high=1.0, levels_at=where) for bits in (2, 4, 8) for where in ("zero", "twos")),
    Uniform(bits=4, low=-1.0, high=1.0, gradient="mask"),
    Uniform(bits=16, low=-1.0, high=1.0),
    *(Uniform(bits=bits, per_channel=each) for bits in (1, 2, 8) for each in (False, True)),
    *(Uniform(bits=4, observer=observer, per_channel=each) for observer in ("percentile", "mean_square") for each in (False, True)),
    *(Uniform(bits=4, symmetric=False, per_channel=True, rounding=rounding) for rounding in ROUNDINGS),
    *(Uniform(bits=3, levels_at=where, per_channel=True, gradient="mask") for where in ("zero", "twos")),
    *(FixedPoint(integer=i, fraction=f) for i, f in ((0, 0), (0, 3), (3, 0), (1, 6), (2, 5))),
    *(FixedPoint(integer=1, fraction=6, rounding=rounding) for rounding in ("truncate", "stochastic")),
    FixedPoint(integer=5, fraction=6),
    FixedPoint(integer=None, fraction=4),
    *(LQNet(bits=bits) for bits in (1, 2, 3, 4, 8)),
    LQNet(bits=3, clip=1.0, average=0.5, debiased=False, start="mse_uniform"),
    LQNet(bits=2, ridge=0.0, fan="fan_out", gradient="mask"),
    *(LSQ(bits=bits, per_channel=each) for bits in (2, 4, 8) for each in (False, True)),
    *(LSQ(bits=bits, signed=False) for bits in (1, 8)),
    *(ThresholdCentered(bits=bits) for bits in (1, 2, 3, 4, 5, 6, 7, 8)),
    ThresholdCentered(bits=4, threshold=2.473, lower_limit=-0.5, upper_limit=1.0, multiplier=0.8, gradient="mask"),
    *(ZeroCentered(bits=bits) for bits in (1, 2, 4, 8)),
    *(Anchored(bits=bits) for bits in (1, 2, 4, 8)),
    *(Anchored(bits=4, threshold=0.3, below=0, rounding=rounding) for rounding in ROUNDINGS),
    *(Uniform(bits=bits, low=-2.0, high=3.0, below=below) for bits, below in ((2, 1), (4, 3), (8, 40))),
    Uniform(bits=4, below=3, symmetric=False),
    ThresholdCentered(bits=4, range="frozen"),
    ThresholdCentered(bits=8, range="frozen", percentile=99.0, upper_multiplier=0.9),
    ZeroCentered(bits=4, range="frozen", zero=True),
    *(ThresholdCentered(bits=bits, zero=True, on_threshold=True, decay=0.9) for bits in (1, 2, 4, 8)),
    *(ZeroCentered(bits=bits, below=1, decay=0.5) for bits in (2, 4)),
    ThresholdCentered(bits=4, below=3),
    *(Anchored(bits=bits, above=1, decay=0.97) for bits in (2, 8)),
    *(Membrane(bits=bits, fit=fit) for bits in (2, 3, 8) for fit in ("following", "calibrated")),
    Membrane(bits=3, below=0, average=0.0, anchors=False),
    *(Binary(scale=scale) for scale in ("one", "mean")),
    Binary(gradient="pass"),
    QSNNBinary(),
    *(ReScaW(bits=bits, ste=ste) for bits in (1, 2, 4, 8) for ste in ("official", "identity")),
    *(SpQuant(lowest=lowest) for lowest in (-1, -3, -7)),
    SpQuant(lowest=-2, threshold=0.3),
    *(SpQuant(lowest=lowest, threshold=0.7, learned=True) for lowest in (-1, -3)),
    *(MINT(bits=bits) for bits in (2, 4, 8)),
    *(SpikeFit(bits=bits) for bits in (1, 2, 4)),
    SpikeFit(bits=2, value_bits=4),
)


class Method(NamedTuple):
    """A spec and its quantizer for one tensor of five channels: fitted, and in evaluation mode."""

    spec: QuantizerSpec
    quantizer: Quantizer

    @property
    def grid(self) -> Grid:
        with torch.no_grad():
            return self.quantizer.grid()

    @property
    def values(self) -> Tensor:
        """``[channel, level]``."""
        return levels(self.grid).expand(5, -1)

    def edges(self) -> Tensor | None:
        """``[channel, level - 1]`` of a grid that rounds by edges of its own."""
        own = getattr(self.grid, "edges", None)
        return None if own is None else own.expand(5, -1).contiguous()

    def whole(self, rows: Tensor) -> Tensor:
        """``[channel, value]`` as the quantizer takes it."""
        return rows if self.quantizer.axis == 0 else rows.T.contiguous()

    def rows(self, x: Tensor) -> Tensor:
        """``x`` as ``[channel, value]``."""
        return x if self.quantizer.axis == 0 else x.T

    def points(self) -> Tensor:
        """``[channel, value]``, ascending, all that decides: every level (of wide grids, a sample), every midpoint, their float
        neighbors, what lies close to them, what lies outside, and zeros."""
        middles = midpoints(self.grid).expand(5, -1)
        edges = torch.cat([self.values, middles, self.values[:, -1:]], dim=1).sort(dim=1).values
        edges = edges[:, :: max(1, edges.shape[1] // 2048)]
        far = torch.tensor([-torch.inf, -1e30, -0.0, 0.0, 1e-30, 1e30, torch.inf]).expand(5, -1)
        neighbors = [torch.nextafter(edges, torch.full_like(edges, end)) for end in (-torch.inf, torch.inf)]
        hundredth = edges.diff(dim=1).clamp(min=0) / 100
        beside = [edges[:, 1:] - hundredth, edges[:, :-1] + hundredth]
        return torch.cat([edges, *neighbors, *beside, far], dim=1).sort(dim=1).values


def data(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.6


def method(spec: QuantizerSpec, shape: tuple[int, ...], axis: int) -> Method:
    quantizer = spec.build(shape, axis).eval()
    quantizer.observe(data(shape if axis == 0 else (60, *shape[1:])))
    quantizer.fit()
    return Method(spec, quantizer)


def title(spec: QuantizerSpec) -> str:
    given = [f"{name}={value}" for name, value in spec.fields().items() if value != type(spec).model_fields[name].default]
    return ",".join([spec.kind, *given])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        both = [(spec, place) for spec in SPECS for place in (WEIGHT, STATE) if place == WEIGHT or not isinstance(spec, OF_WEIGHTS)]
        ids = [f"{title(spec)}-{'weight' if place == WEIGHT else 'state'}" for spec, place in both]
        metafunc.parametrize(("spec", "place"), both, ids=ids)
    elif "spec" in metafunc.fixturenames:
        metafunc.parametrize("spec", SPECS, ids=title)


@pytest.fixture
def subject(spec: QuantizerSpec, place: tuple[tuple[int, ...], int]) -> Method:
    return method(spec, *place)


@pytest.fixture
def example() -> Method:
    """The method that the mutants are made of: two bits, signed."""
    return method(Uniform(bits=2, low=-1.0, high=1.0), *WEIGHT)
