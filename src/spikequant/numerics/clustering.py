"""Values that weights share: found by k-means, learned with the network."""

from typing import Any

import torch
from torch import Tensor

from spikequant.numerics.grid import table
from spikequant.numerics.lloyd import fit_levels
from spikequant.numerics.snap import encode


def chosen(values: Tensor, x: Tensor) -> Tensor:
    """The nearest of ascending ``values`` for each entry of ``x``, which passes its gradient on; a value takes the sum of its entries'.

    Equation: ``dL/dx = g``; ``dL/dvalue_m = sum of g over entries that take value m``. Source: SpikeFit (our reading).

    >>> values = torch.tensor([-1.0, 1.0], requires_grad=True)
    >>> chosen(values, torch.tensor([0.5, 2.0, -3.0])).sum().backward()
    >>> values.grad.tolist()
    [1.0, 2.0]
    """
    taken: Tensor = _Chosen.apply(values, x)  # type: ignore[no-untyped-call]
    return taken


class _Chosen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, x: Tensor) -> Tensor:
        codes = encode(table(values), x).long()
        ctx.save_for_backward(codes)
        ctx.count, ctx.kept = len(values), values.dtype
        return values[codes].to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (codes,), (gradient,) = ctx.saved_tensors, gradients
        sums = torch.zeros(ctx.count, dtype=torch.float64, device=gradient.device)
        return sums.index_add_(0, codes.flatten(), gradient.flatten().double()).to(ctx.kept), gradient


def k_means(x: Tensor, values: Tensor, rounds: int = 100) -> Tensor:
    """Lloyd's algorithm on a flat ``x``, from ascending ``values``: the error never rises, and a value that no entry takes stays.

    >>> k_means(torch.tensor([-1.0, -0.8, 0.5, 0.7]), torch.tensor([-1.0, 1.0])).tolist()
    [-0.8999999761581421, 0.6000000238418579]
    """
    none_held = torch.zeros_like(values, dtype=torch.bool)
    for _ in range(rounds):
        before, values = values, fit_levels(x, values, none_held)
        if torch.equal(before, values):
            break
    return values
