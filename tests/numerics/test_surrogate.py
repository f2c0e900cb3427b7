import math

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.numerics.surrogate import DERIVATIVES, Surrogate, spike

U = torch.linspace(-3, 3, 61, dtype=torch.float64)

SMOOTH = {
    "arctan": lambda u, slope: torch.atan(math.pi / 2 * slope * u) / math.pi,
    "sigmoid": lambda u, slope: torch.sigmoid(slope * u),
    "fast_sigmoid": lambda u, slope: u / (1 + slope * u.abs()),
    "squat": lambda u, slope: torch.atan(math.pi * slope * u) / (math.pi**2 * slope),
    "triangle": lambda u, slope: -((1 - slope * u.abs()).clamp(min=0) ** 2) / 2 * u.sign(),
}


@pytest.mark.parametrize(
    ("kind", "slope", "at_zero", "at_half"),
    [
        ("arctan", 2.0, 1.0, 1 / (1 + math.pi**2 / 4)),
        ("sigmoid", 4.0, 1.0, 4 * 0.8807970779 * 0.1192029221),
        ("fast_sigmoid", 10.0, 1.0, 1 / 36),
        ("triangle", 1.0, 1.0, 0.5),
        ("squat", 2.0, 1 / math.pi, 1 / math.pi / (1 + math.pi**2)),
    ],
)
def test_values_by_hand(kind: str, slope: float, at_zero: float, at_half: float) -> None:
    values = DERIVATIVES[kind](torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64), slope).tolist()
    assert values == pytest.approx([at_half, at_zero, at_half], rel=1e-9)


@pytest.mark.parametrize("kind", sorted(DERIVATIVES))
@pytest.mark.parametrize("slope", [0.5, 2.0, 10.0])
def test_each_is_the_derivative_of_its_smooth_step(kind: str, slope: float) -> None:
    u = U.clone().requires_grad_()
    SMOOTH[kind](u, slope).sum().backward()
    away = U.abs() > 1e-9  # |u| has no derivative at 0
    assert torch.allclose(DERIVATIVES[kind](U, slope)[away], u.grad[away], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", sorted(DERIVATIVES))
def test_backward_multiplies_by_the_derivative(kind: str) -> None:
    u = torch.tensor([-0.7, 0.0, 0.2], requires_grad=True)
    (spike(u, ">=", Surrogate(kind, 3.0)) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert torch.equal(u.grad, DERIVATIVES[kind](u.detach(), 3.0) * torch.tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("kind", sorted(DERIVATIVES))
def test_a_stretched_curve_is_the_same_in_other_units(kind: str) -> None:
    curve = Surrogate(kind, 1.5, 0.5)
    assert torch.allclose(curve.stretched(0.25).derivative(4 * U), 0.25 * curve.derivative(U))
    assert torch.equal(curve.derivative(U), 0.5 * DERIVATIVES[kind](U, 1.5))


def test_the_threshold_itself_fires_or_not() -> None:
    u = torch.tensor([-1e-30, -0.0, 0.0, 1e-30])
    assert spike(u, ">=").tolist() == [0, 1, 1, 1]
    assert spike(u, ">").tolist() == [0, 0, 0, 1]


def test_dtype_is_kept() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert spike(torch.zeros(2, dtype=dtype)).dtype == dtype


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean 'arctan'"):
        spike(U, surrogate=Surrogate("arktan"))
    with pytest.raises(SpecError, match=r"compare must be '>=' or '>', got '=>'"):
        spike(U, "=>")
