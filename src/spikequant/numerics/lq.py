"""LQ-Net: levels that are all signed sums of a small basis, fitted by least squares."""

import torch
from torch import Tensor

from spikequant.numerics.grid import Table
from spikequant.numerics.snap import encode


def signs(bits: int, device: torch.device | None = None) -> Tensor:
    """All sign patterns ``[2^bits, bits]`` of a basis."""
    pattern, place = torch.arange(2**bits, device=device), torch.arange(bits - 1, -1, -1, device=device)
    return (((pattern.unsqueeze(1) >> place) & 1) * 2 - 1).float()


def start_basis(bits: int, fan: int, channels: int) -> Tensor:
    """The basis before any data is seen, ``[channel, bits]``.

    Equation: ``v_j = 2^j 0.6745 sqrt(2 / fan) / 2^(bits - 1)``, ``j = 0 .. bits - 1`` (0.6745 is the median of ``|N(0, 1)|``).

    Source: LQ-Nets (Zhang et al. 2018), released code; Beyond Accuracy takes ``fan`` = fan-in.

    >>> [round(v, 7) for v in start_basis(2, 576, 1)[0].tolist()]
    [0.0198726, 0.0397453]
    """
    base: float = 0.6745 * (2 / fan) ** 0.5 / 2 ** (bits - 1)
    octaves = torch.pow(2.0, torch.arange(bits))
    return (base * octaves).expand(channels, bits).clone()


def lq_grid(basis: Tensor, axis: int | None) -> tuple[Table, Tensor]:
    """The table of levels of a basis ``[channel, bits]``, and the sign pattern ``[channel, level, bits]`` of each level."""
    ordered, order = sorted_levels(basis)
    return Table(ordered, axis), signs(basis.shape[1], basis.device)[order]


def sorted_levels(basis: Tensor) -> tuple[Tensor, Tensor]:
    """All signed sums of a basis ``[channel, bits]``, ascending, and which of ``signs`` each is: both ``[channel, level]``."""
    # Added one by one: a matrix product adds in an order of its own, which differs between devices and sizes.
    sums = torch.zeros(basis.shape[0], 2 ** basis.shape[1], dtype=torch.float32, device=basis.device)
    for value, sign in zip(basis.float().unbind(1), signs(basis.shape[1], basis.device).unbind(1), strict=True):
        sums = sums + value.unsqueeze(1) * sign
    ordered, order = sums.sort(dim=1)
    return ordered, order


def fit_basis(weights: Tensor, basis: Tensor, ridge: float = 1e-4) -> Tensor:
    """One step of quantization error minimization: the basis that is best for the present codes.

    Equation: ``v = (B'B + ridge I)^-1 (B'w + ridge v_old)``, B the sign patterns of the codes that ``w`` takes under
    ``v_old``. B'B and B'w need only count and sum of the weights at each level, so nothing of size weights x levels is made.

    Shapes: ``weights`` is ``[channel, element]``, ``basis`` and the result ``[channel, bits]``.
    Source: LQ-Nets, Eq. 6 with the ridge of the released code; Beyond Accuracy, section 3.2.

    >>> w = torch.tensor([[-0.9, -0.3, 0.1, 0.2, 0.45, 1.0]])
    >>> [round(v, 6) for v in fit_basis(w, torch.tensor([[0.2, 0.4]]), ridge=0.0)[0].tolist()]
    [0.291667, 0.491667]
    """
    grid, patterns = lq_grid(basis, axis=0)
    codes = encode(grid, weights).long()
    # float64: at 8 bits a small channel leaves the normal equations close to singular.
    count = torch.zeros_like(grid.levels, dtype=torch.float64).scatter_add_(1, codes, torch.ones_like(weights, dtype=torch.float64))
    total = torch.zeros_like(grid.levels, dtype=torch.float64).scatter_add_(1, codes, weights.double())
    b = patterns.double()
    normal = torch.einsum("cm,cmi,cmj->cij", count, b, b)
    target = torch.einsum("cm,cmi->ci", total, b)
    return solve_basis(normal, target, basis, ridge)


def solve_basis(normal: Tensor, target: Tensor, basis: Tensor, ridge: float) -> Tensor:
    """The basis that ``normal`` (B'B) and ``target`` (B'w) ask for, held near the present one by the ridge."""
    normal = normal + ridge * torch.eye(basis.shape[1], dtype=torch.float64, device=basis.device)
    target = target + ridge * basis.double()
    if ridge == 0:  # codes that do not tell two basis values apart leave the equations singular
        inverse: Tensor = torch.linalg.pinv(normal, hermitian=True)
        return (inverse @ target.unsqueeze(-1)).squeeze(-1).to(basis.dtype)
    return _solved(normal, target).to(basis.dtype)


def _solved(normal: Tensor, target: Tensor) -> Tensor:
    """Gauss and Jordan without a choice of pivots, which positive definite equations do not need: no value has to be looked at."""
    rows = torch.cat([normal, target.unsqueeze(-1)], dim=-1)
    for place in range(normal.shape[-1]):
        pivot = rows[:, place : place + 1] / rows[:, place : place + 1, place : place + 1]
        rows = rows - rows[:, :, place : place + 1] * pivot
        rows[:, place : place + 1] = pivot
    return rows[..., -1]
