"""Gradients that have no gradient of their own."""

import torch

from spikequant.errors import SpecError


def refuse_second_order() -> None:
    """To be called by a backward that does not record what it computes; torch's own ``once_differentiable`` is silent where weights
    have other ways to the loss.

    Raises:
        SpecError: a gradient of the gradient may be asked for.
    """
    if torch.is_grad_enabled():
        raise SpecError("create_graph=True asks for second derivatives, which fast neurons and convolutions do not have; leave it out")
